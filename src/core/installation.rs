//! What installing a curated spec asks of a machine: which packages at which versions, which kernel, which variables.
//!
//! The spec may be anybody's. Nothing of its text reaches a program as it stands: every line is understood, and written anew.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::neutral;
use super::spec::checksum::Checksum;
use super::spec::header::Environment;
use super::spec::packages::{Asked, asked_of_mamba, asked_of_pip};
use super::spec::{Spec, Written};

/// What the user lets a spec do beyond installing built packages of the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Packages may come from addresses that the spec names.
    pub addresses: bool,
    /// A text without a checksum will do.
    pub unverified: bool,
}

/// A kernel, and the environment that it runs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Of the kernel.
    pub name: String,
    /// Of the kernel, for people.
    pub display_name: String,
    /// `3.11`.
    pub python: String,
    /// Every package with its one version, as pip is told: `numpy==2.0 ; python_version < '3.13'`.
    pub pins: Vec<String>,
    /// What only conda channels have, as micromamba is told.
    pub mamba: Vec<String>,
    /// Variables of the kernel.
    pub variables: BTreeMap<String, String>,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

/// Why a spec is not installed: all of it at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uninstallable {
    /// It is not what somebody curated.
    #[error("{0}")]
    Unproven(String),
    /// It wants what is not allowed, each in words.
    #[error("it asks for what installing does not do:\n  {}", .0.join("\n  "))]
    Refused(Vec<String>),
    /// It has no name that a kernel can have.
    #[error(
        "{0:?} cannot be the name of a kernel: letters, digits, `.`, `_` and `-`; give another with --name"
    )]
    Name(String),
    /// Its kernel would hide Jupyter's own.
    #[error("a kernel named {0} would take the place of Jupyter's own; give another with --name")]
    Jupyters(String),
}

impl Installation {
    /// What `spec` asks for, under `name` if one is given.
    pub fn of(spec: &Spec, name: Option<&str>, allowed: Allowed) -> Result<Self, Uninstallable> {
        check_origin(spec, allowed)?;
        let mut refused = Vec::new();
        let (python, kernel) = match &spec.environment {
            Environment::Python { version, kernel_name } => (version.text.clone(), kernel_name.text.as_str()),
            _ => {
                refused.push("an environment that is made of another file by mamba".to_owned());
                (String::new(), "")
            }
        };
        let name = name.unwrap_or(kernel).to_ascii_lowercase();
        if refused.is_empty() {
            check_name(&name)?;
            check_python(&python, &mut refused);
        }
        let locked = locked(spec);
        let pins = locked.as_deref().map(|text| pins(text, allowed, &mut refused)).unwrap_or_default();
        let mamba = mamba(spec, &mut refused);
        if !refused.is_empty() {
            return Err(Uninstallable::Refused(refused));
        }
        let mut notes = Vec::new();
        let written = spec.header.display_name.as_ref().map_or(name.as_str(), |name| name.text.as_str());
        Ok(Self {
            display_name: neutral::plain(written, 100),
            variables: variables(spec, &mut notes),
            name,
            python,
            pins,
            mamba,
            notes,
        })
    }

    /// The identity of its environment: what its kernel is called and told does not count.
    pub fn digest(&self) -> String {
        let parts = [&[self.python.clone()][..], &self.pins, &["--".to_owned()], &self.mamba].concat();
        let digest = Sha256::digest(parts.join("\n").as_bytes());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether a package is among the pins.
    pub fn has(&self, package: &str) -> bool {
        self.pins.iter().any(|pin| normal(name_of(pin)) == package)
    }

    /// The pins as limits for others: without extras and addresses, which a list of limits may not have.
    pub fn limits(&self) -> Vec<String> {
        let limit = |pin: &String| {
            let rest = pin.get(name_of(pin).len()..)?;
            let rest = rest.trim_start();
            let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
            rest.trim_start().starts_with("==").then(|| format!("{}{}", name_of(pin), rest.trim_start()))
        };
        self.pins.iter().filter_map(limit).collect()
    }
}

fn check_origin(spec: &Spec, allowed: Allowed) -> Result<(), Uninstallable> {
    let unproven = |text: &str| Err(Uninstallable::Unproven(text.to_owned()));
    match &spec.checksum {
        Checksum::Differs { .. } => {
            return unproven("its checksum does not fit: it was changed after it was curated");
        }
        Checksum::Absent if !allowed.unverified => {
            return unproven("it has no checksum, which curating writes; --unverified takes it as it is");
        }
        _ => {}
    }
    match locked(spec) {
        Some(_) => Ok(()),
        None => {
            unproven("it is not curated: it has no out.pip_compiler_output. `docent spec curate` makes one")
        }
    }
}

fn locked(spec: &Spec) -> Option<String> {
    let node = spec.root()?.at(&["out", "pip_compiler_output"])?;
    Some(node.scalar()?.text.clone())
}

fn check_name(name: &str) -> Result<(), Uninstallable> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 100 || !name.bytes().all(fits) || name.starts_with(['.', '-']) {
        return Err(Uninstallable::Name(name.chars().take(120).collect()));
    }
    if Environment::is_base(name) { Err(Uninstallable::Jupyters(name.to_owned())) } else { Ok(()) }
}

fn check_python(version: &str, refused: &mut Vec<String>) {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if version.split('.').count() < 2 || !version.split('.').all(is_number) {
        refused.push(format!("Python {version:?}, which is no version such as \"3.11\""));
    }
}

/// The pins, each understood and written anew.
fn pins(text: &str, allowed: Allowed, refused: &mut Vec<String>) -> Vec<String> {
    let mut pins = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.trim_start().starts_with('#') || line.is_empty() {
            continue;
        }
        let mut refuse = |why: &str| {
            refused.push(format!(
                "out.pip_compiler_output, line {}: {}: {why}",
                at + 1,
                neutral::plain(line, 120)
            ));
        };
        match asked_of_pip(line) {
            Asked::Nothing => {}
            Asked::Package => match pin(line) {
                Some(pin) => pins.push(pin),
                None => refuse("it is no package with one version"),
            },
            Asked::Address(_) if allowed.addresses => match at_address(line) {
                Some(pin) => pins.push(pin),
                None => refuse("only https and git+https addresses without a password are fetched"),
            },
            Asked::Address(_) => refuse("it comes from an address; --allow-addresses lifts this"),
            Asked::Option(_) => refuse("options are not for a spec to set"),
            Asked::Path(_) => refuse("it is a path on this machine"),
            Asked::Variable => refuse("it holds a variable"),
        }
    }
    pins
}

/// `name[extra]==1.2 ; marker`.
fn pin(line: &str) -> Option<String> {
    let (package, marker) = parts(line)?;
    let (name, version) = package.split_once("==")?;
    let (name, version) = (name.trim(), version.trim());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'!' | b'+' | b'-' | b'_');
    let is_version = !version.is_empty() && !version.starts_with('-') && version.bytes().all(fits);
    let has_one = !name.contains(['<', '>', '=', '!', '~', '(', ' ']);
    (is_version && has_one).then(|| with_marker(&format!("{name}=={version}"), marker))
}

/// `name @ git+https://…`.
fn at_address(line: &str) -> Option<String> {
    let (package, marker) = parts(line)?;
    let (name, address) = package.split_once('@')?;
    let (name, address) = (name.trim(), address.trim());
    let is_name = asked_of_pip(name) == Asked::Package && !name.contains(['<', '>', '=', '!', '~', '(', ' ']);
    let rest = address.strip_prefix("git+https://").or_else(|| address.strip_prefix("https://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let is_plain = !host.is_empty() && !host.contains('@') && !address.contains(char::is_whitespace);
    (is_name && is_plain).then(|| with_marker(&format!("{name} @ {address}"), marker))
}

/// What stands before the comment, cut at its marker.
fn parts(line: &str) -> Option<(&str, Option<&str>)> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    let (package, marker) = match line.split_once(';') {
        Some((package, marker)) => (package.trim(), Some(marker.trim())),
        None => (line, None),
    };
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "_.<>=!~ '\"(),+-*".contains(sign);
    marker.is_none_or(|marker| !marker.is_empty() && marker.chars().all(fits)).then_some((package, marker))
}

fn with_marker(package: &str, marker: Option<&str>) -> String {
    marker.map_or(package.to_owned(), |marker| format!("{package} ; {marker}"))
}

fn name_of(pin: &str) -> &str {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_' | '-');
    pin.find(|sign| !fits(sign)).and_then(|end| pin.get(..end)).unwrap_or(pin)
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// What the spec wants of conda channels: its own lists, and that of its image repository as curation found it.
fn mamba(spec: &Spec, refused: &mut Vec<String>) -> Vec<String> {
    let written = |list: &[Written]| list.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
    let found = spec.root().and_then(|root| root.at(&["out", "mamba_package_map", "spi_mamba_packages"]));
    let found = found.into_iter().flat_map(|list| list.items());
    let found = found.filter_map(|item| Some(item.scalar()?.text.clone()));
    let packages = &spec.packages;
    let all: Vec<String> = written(&packages.common_mamba)
        .into_iter()
        .chain(written(&packages.extra_mamba))
        .chain(found)
        .collect();
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "._-<>=!~,*| ".contains(sign);
    let mut wanted = Vec::new();
    for line in all.iter().map(|line| line.split(" #").next().unwrap_or_default().trim()) {
        match asked_of_mamba(line) {
            Asked::Nothing => {}
            Asked::Package if line.chars().all(fits) => wanted.push(line.to_owned()),
            _ => refused.push(format!("mamba package {}: no plain package", neutral::plain(line, 120))),
        }
    }
    wanted
}

/// The variables of the kernel, without those by which something else than the kernel's packages would be run or asked.
fn variables(spec: &Spec, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for variable in &spec.environment_vars {
        let name = &variable.name.text;
        if is_loaders(name) {
            notes.push(format!(
                "the variable {} is left out: it would change which programs run, or what they ask",
                neutral::plain(name, 64)
            ));
        } else {
            variables.insert(name.clone(), variable.value.text.clone());
        }
    }
    variables
}

fn is_loaders(name: &str) -> bool {
    const HARMLESS: [&str; 4] = ["PYTHONHASHSEED", "PYTHONUTF8", "PYTHONUNBUFFERED", "PYTHONWARNINGS"];
    let name = name.to_ascii_uppercase();
    let begins = ["LD_", "DYLD_", "PYTHON", "PIP_", "UV_", "JUPYTER_", "BASH_FUNC_", "GIT_"];
    let is_it = ["PATH", "HOME", "SHELL", "BASH_ENV", "ENV", "IFS"].contains(&name.as_str());
    (is_it || begins.iter().any(|begin| name.starts_with(begin))) && !HARMLESS.contains(&name.as_str())
}

#[cfg(test)]
mod tests;
