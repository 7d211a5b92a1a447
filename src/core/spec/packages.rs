//! The lists of packages, and what a line of such a list or of a requirement file asks for.

use super::Written;
use super::section::Section;

/// The lists of packages of a spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packages {
    /// For mamba, in the environment of the notebooks only.
    pub extra_mamba: Vec<Written>,
    /// For mamba, in the base environment too.
    pub common_mamba: Vec<Written>,
    /// For pip, in the environment of the notebooks only.
    pub extra_pip: Vec<Written>,
    /// For pip, in the base environment too.
    pub common_pip: Vec<Written>,
    /// For the system of the full image.
    pub apt: Vec<Written>,
    /// Lines that replace every other constraint on their packages.
    pub override_pip: Vec<Written>,
}

impl Packages {
    /// The lists of a spec.
    pub fn read(top: &Section<'_>) -> Self {
        Self {
            extra_mamba: top.texts("extra_mamba_packages"),
            common_mamba: top.texts("common_mamba_packages"),
            extra_pip: top.texts("extra_pip_packages"),
            common_pip: top.texts("common_pip_packages"),
            apt: top.texts("apt_packages"),
            override_pip: top.texts("override_pip_versions"),
        }
    }
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: a comment, a blank line.
    Nothing,
    /// A package of an index, by name.
    Package,
    /// An option of the program that reads the line: `-r file`, `--index-url`.
    Option(String),
    /// Something at an address: `https://…`, `git+https://…`.
    Address(String),
    /// Something on this machine.
    Path(String),
    /// A variable, whose value the line would carry elsewhere.
    Variable,
}

/// What a line of a pip list or of a requirement file asks for.
pub fn asked_of_pip(line: &str) -> Asked {
    let line = without_comment(line).trim();
    if line.is_empty() {
        return Asked::Nothing;
    }
    if line.starts_with('-') {
        return Asked::Option(line.split([' ', '=', '\t']).next().unwrap_or_default().to_owned());
    }
    if line.contains("${") {
        return Asked::Variable;
    }
    // Options may follow a requirement: `name --config-settings …`.
    if let Some(option) = line.split_whitespace().skip(1).find(|word| word.starts_with("--")) {
        return Asked::Option(option.split('=').next().unwrap_or_default().to_owned());
    }
    // `name @ address`, `name[extra]@address`.
    let source = match line.split_once('@') {
        Some((name, source)) if is_name(name) => source.trim(),
        _ if is_requirement(line) => return Asked::Package,
        _ => line,
    };
    let source = source.split(';').next().unwrap_or_default().trim();
    asked_of_source(source)
}

fn asked_of_source(source: &str) -> Asked {
    let has_scheme = source.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|sign| sign.is_ascii_alphanumeric() || "+.-".contains(sign))
    });
    if has_scheme && !source.to_ascii_lowercase().starts_with("file:") {
        return Asked::Address(source.to_owned());
    }
    // Whatever is no address, a program would look for here: `./x`, `x.whl`, `file:x`, `git@host:x`.
    Asked::Path(source.to_owned())
}

/// `name`, `name[extra, extra]`.
fn is_name(text: &str) -> bool {
    let text = text.trim();
    let (name, extras) = match text.split_once('[') {
        Some((name, extras)) => (name.trim_end(), extras.strip_suffix(']')),
        None => (text, Some("")),
    };
    let fits = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && text.starts_with(|sign: char| sign.is_ascii_alphanumeric())
            && text.ends_with(|sign: char| sign.is_ascii_alphanumeric())
    };
    fits(name)
        && extras.is_some_and(|extras| extras.is_empty() || extras.split(',').all(|extra| fits(extra.trim())))
}

/// `name >= 1, < 2 ; marker`: what an index is asked for.
fn is_requirement(line: &str) -> bool {
    let line = line.split(';').next().unwrap_or_default();
    let end = line.find(['<', '>', '=', '!', '~', '(']).unwrap_or(line.len());
    let (name, versions) = line.split_at(end);
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "<>=!~,.*+-_() \t".contains(sign);
    // pip takes what ends so for a file.
    let ends = [".whl", ".zip", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar"];
    is_name(name)
        && versions.chars().all(fits)
        && !ends.iter().any(|end| name.trim().to_ascii_lowercase().ends_with(end))
}

/// What a line of a mamba list asks for.
pub fn asked_of_mamba(line: &str) -> Asked {
    let line = without_comment(line).trim();
    if line.is_empty() {
        Asked::Nothing
    } else if line.starts_with(['-', '@']) {
        Asked::Option(line.split([' ', '=', '\t']).next().unwrap_or_default().to_owned())
    } else if line.contains('$') {
        Asked::Variable
    } else if line.contains("://") {
        asked_of_source(line)
    } else if line.starts_with(['.', '/', '~', '\\'])
        || line.split('/').any(|part| part == "..")
        || is_archive(line)
        // `[channel=…]` and `[url=…]` lead elsewhere as well.
        || line.contains(['[', '('])
    {
        Asked::Path(line.to_owned())
    } else {
        Asked::Package
    }
}

fn is_archive(line: &str) -> bool {
    [".conda", ".tar.bz2"].iter().any(|end| line.to_ascii_lowercase().ends_with(end))
}

/// What a line of an apt list asks for.
pub fn asked_of_apt(line: &str) -> Asked {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || "+-.:=~".contains(sign);
    if line.starts_with('-') {
        Asked::Option(line.to_owned())
    } else if line.chars().all(fits) && line.starts_with(|sign: char| sign.is_ascii_alphanumeric()) {
        Asked::Package
    } else {
        Asked::Path(line.to_owned())
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    let comment = line.find(" #").or_else(|| line.find("\t#"));
    comment.and_then(|at| line.get(..at)).unwrap_or(line)
}

/// The lines of a requirement file with their numbers, those that end in a backslash put together with the next one.
pub fn requirement_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (first, mut whole) = open.take().unwrap_or((at + 1, String::new()));
        match line.strip_suffix('\\') {
            Some(begin) if !line.trim_start().starts_with('#') => {
                whole.push_str(begin);
                open = Some((first, whole));
            }
            _ => {
                whole.push_str(line);
                lines.push((first, whole));
            }
        }
    }
    lines.extend(open);
    lines
}
