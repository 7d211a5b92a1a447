//! `refdata_dependencies`: reference data and the variables that lead to it, in a spec or in a file of a repository.

use url::Url;

use super::Written;
use super::section::{Notes, Section, quoted, shown};
use super::variables::{self, Variable};
use super::yaml;
use crate::core::mistake::Mistake;

/// Reference data of one place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refdata {
    /// Archives to unpack.
    pub install_files: Vec<Install>,
    /// Variables that need no data.
    pub other_variables: Vec<Variable>,
}

/// One set of archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// What the spec calls it.
    pub name: Written,
    /// Its version.
    pub version: Written,
    /// Where the archives are.
    pub data_url: Vec<Written>,
    /// The variable that leads to the data.
    pub environment_variable: Written,
    /// The folder in which the archives are unpacked; may begin with a variable.
    pub install_path: Written,
    /// The folder below it which the archives make.
    pub data_path: String,
}

impl Install {
    /// Where the data is: the value of its variable.
    pub fn path(&self) -> String {
        let root = &self.install_path.text;
        // As Python joins them.
        if self.data_path.starts_with('/') {
            self.data_path.clone()
        } else if root.ends_with('/') || root.is_empty() {
            format!("{root}{}", self.data_path)
        } else {
            format!("{root}/{}", self.data_path)
        }
    }
}

/// Reads the file `refdata_dependencies.yaml` of a repository; an empty one holds nothing.
pub fn read_file(text: &str, file: &str) -> (Refdata, Vec<Mistake>) {
    let notes = Notes::new(file);
    let found = yaml::parse(text);
    for (span, text) in &found.mistakes {
        notes.mistake(*span, text.as_str());
    }
    let root = found.documents.first().filter(|root| !root.is_null() && !found.is_broken);
    let section = root.and_then(|root| Section::new(&notes, "refdata_dependencies", root.span, root));
    let refdata = section.map(read).unwrap_or_default();
    (refdata, notes.into_lists().0)
}

/// Variables that two places give different values: each with both.
pub fn conflicts<'a>(one: &'a Refdata, other: &'a Refdata) -> Vec<(&'a Variable, &'a Variable)> {
    let mut found = Vec::new();
    for variable in &one.other_variables {
        let same = other.other_variables.iter().find(|other| other.name.text == variable.name.text);
        if let Some(other) = same.filter(|other| other.value.text != variable.value.text) {
            found.push((variable, other));
        }
    }
    found
}

/// The section.
pub fn read(section: Section<'_>) -> Refdata {
    section.know(&["remote_data"]);
    let mut refdata = Refdata::default();
    if section.has("install_files")
        && let Some(files) = section.section("install_files")
    {
        refdata.install_files =
            files.named_sections().into_iter().filter_map(|(name, file)| install(name, file)).collect();
    }
    if section.has("other_variables")
        && let Some(variables) = section.section("other_variables")
    {
        refdata.other_variables = variables::all(&variables);
    }
    section.close();
    refdata
}

fn install(name: Written, section: Section<'_>) -> Option<Install> {
    let version = section.required_text("version");
    let environment_variable = section.required_text("environment_variable");
    let install_path = section.required_text("install_path");
    section.required("data_url");
    let data_url = section.texts("data_url");
    if !section.has("data_path") {
        section.mistake(section.span, "data_path is missing; write '' if the archives make no folder");
    }
    let data_path = section.text("data_path").map(|path| path.text).unwrap_or_default();
    if let Some(variable) = &environment_variable {
        variables::check_name(&section, variable);
    }
    if let Some(path) = install_path.as_ref().filter(|path| !is_install_path(&path.text)) {
        let shown = quoted(&path.text);
        section.mistake(
            path.span,
            format!("install_path {shown} must be relative, of letters, digits, `_` and `.`, without `..`; only its first part may be a variable"),
        );
    }
    for url in data_url.iter().filter(|url| !is_data_address(&url.text)) {
        let shown = shown(&url.text);
        section.mistake(
            url.span,
            format!("data_url {shown} is no http, https, ftp, s3 or file address with a host"),
        );
    }
    section.close();
    Some(Install {
        name,
        version: version?,
        data_url,
        environment_variable: environment_variable?,
        install_path: install_path?,
        data_path,
    })
}

/// `${HOME}/refdata/`, `$HOME/a.b/c`, `data`: no hyphens, as nb-wrangler has it.
fn is_install_path(path: &str) -> bool {
    let is_part = |part: &str| {
        let fits = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '.');
        !part.starts_with(|sign: char| matches!(sign, '1'..='9'))
            && !part.is_empty()
            && part.chars().all(fits)
            && part != ".."
    };
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let Some(first) = parts.next().filter(|_| !path.starts_with('/')) else { return false };
    let plain = first.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let plain = plain.or_else(|| first.strip_prefix('$')).unwrap_or(first);
    is_part(plain) && parts.all(is_part)
}

fn is_data_address(url: &str) -> bool {
    let Ok(url) = Url::parse(url.trim()) else { return false };
    matches!(url.scheme(), "http" | "https" | "ftp" | "s3" | "file")
        && url.host_str().is_some_and(|host| !host.is_empty())
}
