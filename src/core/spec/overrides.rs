//! `dev_overrides`: a second opinion on parts of the spec, for development runs only.
//!
//! They are laid over the tree before anything is read from it, so that whatever they bring is judged like the rest and
//! mistakes in it point at where it stands.

use super::section::Section;
use super::yaml::{Content, Entry, Node};

const LISTS: [&str; 5] = [
    "extra_mamba_packages",
    "common_mamba_packages",
    "extra_pip_packages",
    "common_pip_packages",
    "apt_packages",
];

/// Notes keys that must not stand in the two sections of overrides. Values are not looked at: they may be partial.
pub fn check(top: &Section<'_>) {
    for key in ["dev_overrides", "deactivated_dev_overrides"] {
        let Some(section) = top.section_or_nothing(key) else { continue };
        section.know(&LISTS);
        section.know(&["test_environment_vars", "repositories", "refdata_dependencies", "environment_vars"]);
        section.know(&["override_pip_versions"]);
        if let Some(system) = section.section_or_nothing("system") {
            system.know(&["primary_repo", "date_updated"]);
            let inner: [(_, &[_]); 3] = [
                ("commands", &["mamba", "pip", "favor"]),
                ("spi", &["repo", "ref"]),
                ("nb-wrangler", &["repo", "ref"]),
            ];
            for (key, known) in inner {
                if let Some(inner) = system.section_or_nothing(key) {
                    inner.know(known);
                    inner.close();
                }
            }
            system.close();
        }
        section.close();
    }
}

/// The spec with its overrides, if they apply, and whether there are any that do.
pub fn apply(root: &Node, dev: Option<bool>) -> (Node, bool) {
    let mut root = root.clone();
    let overrides = root.value("dev_overrides").filter(|node| !node.entries().is_empty()).cloned();
    let Some(overrides) = overrides.filter(|_| dev.unwrap_or(true)) else { return (root, false) };
    for entry in overrides.entries() {
        let key = entry.key.as_str();
        match key {
            _ if entry.value.is_null() => {}
            "repositories" => {
                for repository in entry.value.entries() {
                    lay(&mut root, &[key, &repository.key], repository);
                }
            }
            "environment_vars" | "test_environment_vars" => lay(&mut root, &[key], entry),
            "refdata_dependencies" => {
                for part in entry.value.entries().iter().filter(|part| part.key != "remote_data") {
                    lay(&mut root, &[key, &part.key], part);
                }
            }
            "system" => {
                for part in entry.value.entries() {
                    match part.key.as_str() {
                        "spi" | "nb-wrangler" => lay(&mut root, &[key, &part.key], part),
                        "primary_repo" if !part.value.is_null() => {
                            let own = Entry {
                                value: Node { content: Content::Map(vec![part.clone()]), ..entry.value },
                                ..entry.clone()
                            };
                            lay(&mut root, &[key], &own);
                        }
                        // nb-wrangler takes commands here and does nothing with them.
                        _ => {}
                    }
                }
            }
            _ if LISTS.contains(&key) => replace(&mut root, entry),
            _ => {}
        }
    }
    (root, true)
}

/// Puts every key of the map `from` into the map at the end of `path`, which is made where it is missing.
fn lay(root: &mut Node, path: &[&str], from: &Entry) {
    let mut target = root;
    for key in path {
        let Content::Map(entries) = &mut target.content else { return };
        let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
            let value = Node { content: Content::Map(Vec::new()), ..from.value.clone() };
            entries.push(Entry { key: (*key).to_owned(), span: from.span, value });
            entries.len() - 1
        });
        let Some(entry) = entries.get_mut(at) else { return };
        if entry.value.is_null() {
            entry.value.content = Content::Map(Vec::new());
        }
        target = &mut entry.value;
    }
    let Content::Map(new) = &from.value.content else {
        // What is no map is told of where it is read.
        target.clone_from(&from.value);
        return;
    };
    for entry in new {
        replace(target, entry);
    }
}

fn replace(map: &mut Node, entry: &Entry) {
    let Content::Map(entries) = &mut map.content else { return };
    match entries.iter_mut().find(|old| old.key == entry.key) {
        Some(old) => old.clone_from(entry),
        None => entries.push(entry.clone()),
    }
}
