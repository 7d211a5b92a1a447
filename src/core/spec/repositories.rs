//! `repositories`: what is cloned, from where and at which commit.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::section::{Section, quoted};
use super::{Mode, Written, name, variables};

/// One repository of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// What the spec calls it.
    pub name: Written,
    /// Where it is cloned from; not judged yet.
    pub url: Written,
    /// Branch, tag, begin of a tag, or commit; variables have their values.
    pub reference: Written,
    /// Its folder under `references/`. No two checkouts share one.
    pub folder: String,
}

/// The section `repositories`, and names of those that can be referred to.
pub fn read(top: &Section<'_>, mode: &Mode) -> Vec<Repository> {
    if !top.has("repositories") {
        top.mistake(top.span, "repositories is missing");
    }
    let Some(section) = top.section_or_nothing("repositories") else { return Vec::new() };
    let mut repositories = Vec::new();
    for (name, entry) in section.named_sections() {
        let url = entry.required_text("url");
        let reference = reference(&entry, mode);
        if let Some(url) = url {
            check_address(&entry, &url);
            repositories.push(Repository { name, folder: String::new(), url, reference });
        } else {
            // It is named all the same, so that nobody is told that it does not exist.
            repositories.push(Repository { name, folder: String::new(), url: Written::default(), reference });
        }
        entry.close();
    }
    place(&mut repositories);
    repositories
}

/// The `ref` of a section, with its variables resolved; `main` if it has none.
pub fn reference(section: &Section<'_>, mode: &Mode) -> Written {
    let Some(written) = section.text("ref") else {
        return Written { text: "main".to_owned(), span: section.span };
    };
    let (text, unknown) = variables::resolve(&written.text, &mode.variables);
    if let Some(unknown) = unknown.first() {
        let name = quoted(unknown);
        section.mistake(
            written.span,
            format!("ref needs the variable {name}, which has no value here: write ${{NAME:-default}}, or ask the operator"),
        );
    } else if let Some(why) = name::no_ref(&text) {
        section.mistake(written.span, format!("ref {} {why}", quoted(&text)));
    }
    Written { text, span: written.span }
}

/// Notes an address that is none, whoever the operator trusts.
fn check_address(section: &Section<'_>, url: &Written) {
    let shown = quoted(&url.text);
    if url.text.starts_with('-') {
        section.mistake(url.span, format!("url {shown} begins with `-`, which git takes for an option"));
    } else if url.text.chars().any(|sign| sign.is_control() || sign.is_whitespace()) {
        section.mistake(url.span, format!("url {shown} holds blanks or control characters"));
    } else if !name::is_part(last_part(&url.text)) {
        section.mistake(
            url.span,
            format!("url {shown} must end in the name of a repository: letters, digits, `_`, `.` and `-`"),
        );
    }
}

/// The last part of an address without `.git`, which names the folder of the checkout.
fn last_part(url: &str) -> &str {
    let url = address(url);
    url.rsplit('/').next().unwrap_or_default()
}

/// An address without what makes no difference.
fn address(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url)
}

/// Gives each checkout its folder. nb-wrangler lets all addresses with the same last part share one; here only the first by
/// name has the plain folder, and a second gets a suffix that depends on nothing but what it is.
fn place(repositories: &mut [Repository]) {
    let mut checkouts: BTreeMap<String, BTreeMap<(String, String), Vec<usize>>> = BTreeMap::new();
    for (at, repository) in repositories.iter().enumerate() {
        let what = (address(&repository.url.text).to_owned(), repository.reference.text.clone());
        let folder = last_part(&repository.url.text).to_owned();
        checkouts.entry(folder).or_default().entry(what).or_default().push(at);
    }
    let mut taken: BTreeSet<String> = checkouts.keys().cloned().collect();
    let mut folders = vec![String::new(); repositories.len()];
    for (folder, sharing) in &checkouts {
        let name_of = |at: &Vec<usize>| {
            let names = at
                .iter()
                .filter_map(|at| repositories.get(*at))
                .map(|repository| repository.name.text.as_str());
            // The one that is called like its folder comes first.
            names.map(|name| (name != folder, name)).min()
        };
        let first = sharing.values().min_by_key(|at| name_of(at));
        for (what, users) in sharing {
            let mut own = folder.clone();
            if Some(users) != first {
                let digest = Sha256::digest(format!("{}\n{}", what.0, what.1));
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                own = format!("{folder}-{}", digest.get(..8).unwrap_or_default());
                if !taken.insert(own.clone()) {
                    own = format!("{folder}-{digest}");
                }
            }
            for at in users {
                if let Some(place) = folders.get_mut(*at) {
                    place.clone_from(&own);
                }
            }
        }
    }
    for (repository, folder) in repositories.iter_mut().zip(folders) {
        repository.folder = folder;
    }
}
