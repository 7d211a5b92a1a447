//! `image_spec_header`, the name of what is published, and where the environment comes from: exactly one way.

use super::repositories::Repository;
use super::section::{Section, quoted};
use super::yaml::{Content, Node};
use super::{Written, name};

/// What a spec is called and how long it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The name of the image.
    pub image_name: Written,
    /// Which deployment of the image repository it builds on.
    pub deployment_name: Written,
    /// What people see in their lab; the kernel's name if nothing else.
    pub display_name: Option<Written>,
    /// What it is for.
    pub description: Option<Written>,
    /// The first day.
    pub valid_on: Written,
    /// The last day.
    pub expires_on: Written,
    /// The name under which specs and images are kept, without prefix and run number.
    pub artifact_name: String,
}

impl Header {
    /// The name of the image without blanks.
    pub fn moniker(&self) -> String {
        moniker(&self.image_name.text)
    }
}

/// Where the interpreter and the packages around it come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// A plain Python of this version, and a kernel of this name.
    Python {
        /// `3.12`, with the digits of the source.
        version: Written,
        /// The kernel's name.
        kernel_name: Written,
    },
    /// The second document of the file.
    Inline(Inline),
    /// A file with an environment at an http address, or relative to the spec.
    Uri(Written),
    /// A file with an environment in one of the repositories.
    File {
        /// The repository, by its name in the spec.
        repository: Written,
        /// The path in it.
        path: Written,
    },
}

impl Environment {
    /// The name of the kernel, unless it stands in a file that must be fetched first.
    pub fn kernel_name(&self) -> Option<&str> {
        match self {
            Self::Python { kernel_name, .. } => Some(&kernel_name.text),
            Self::Inline(inline) => Some(&inline.name.text),
            Self::Uri(_) | Self::File { .. } => None,
        }
    }

    /// A kernel of this name is that of the base environment.
    pub fn is_base(kernel_name: &str) -> bool {
        matches!(kernel_name, "python" | "python3")
    }
}

/// An environment as mamba and conda take it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inline {
    /// Its name, and that of the kernel.
    pub name: Written,
    /// Where packages come from.
    pub channels: Vec<Written>,
    /// Packages of those channels.
    pub dependencies: Vec<Written>,
    /// Packages for pip.
    pub pip: Vec<Written>,
    /// It sets variables as well.
    pub has_variables: bool,
}

/// Room for `_` and the number of a run behind the name of an artifact.
const RUN_NUMBER: usize = 8;

/// The header; `is_development` is part of the name.
pub fn read(top: &Section<'_>, is_development: bool) -> Option<Header> {
    top.required("image_spec_header")?;
    let header = top.section("image_spec_header")?;
    header.know(&["python_version", "kernel_name", "manager"]);
    let image_name = header.required_text("image_name");
    let deployment_name = header.required_text("deployment_name");
    let display_name = header.text("display_name");
    let description = header.text("description");
    let valid_on = header.required_text("valid_on");
    let expires_on = header.required_text("expires_on");
    if !header.has("display_name") {
        header.warning(
            "display-name",
            header.span,
            "display_name is missing; the kernel's name is shown instead",
        );
    }
    if let Some(deployment) = deployment_name.as_ref().filter(|name| !name::is_part(&name.text)) {
        header.mistake(deployment.span, format!("deployment_name {} {PART}", quoted(&deployment.text)));
    }
    for day in [&valid_on, &expires_on].into_iter().flatten() {
        if !is_day(&day.text) {
            header.warning("date", day.span, format!("{} is no date such as 2026-04-13", quoted(&day.text)));
        }
    }
    if let (Some(first), Some(last)) = (&valid_on, &expires_on)
        && is_day(&first.text)
        && is_day(&last.text)
        && last.text < first.text
    {
        header.warning("date", last.span, "expires_on is before valid_on");
    }
    let artifact_name = match (&image_name, &valid_on, &expires_on) {
        (Some(image), Some(first), Some(last)) => {
            artifact_name(&header, image, [first, last], is_development)
        }
        _ => String::new(),
    };
    header.close();
    Some(Header {
        image_name: image_name?,
        deployment_name: deployment_name?,
        display_name,
        description,
        valid_on: valid_on?,
        expires_on: expires_on?,
        artifact_name,
    })
}

const PART: &str = "must be made of letters, digits, `_`, `.` and `-`, the first one no `.` and no `-`";

fn moniker(image_name: &str) -> String {
    image_name.replace(' ', "-")
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is =
        |part: &str, digits: usize| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [year, month, day] if is(year, 4) && is(month, 2) && is(day, 2))
}

fn artifact_name(
    header: &Section<'_>,
    image_name: &Written,
    days: [&Written; 2],
    is_development: bool,
) -> String {
    let begins = |at: usize| {
        let fits = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (at > 0 && byte == b'.')
        };
        image_name.text.as_bytes().get(at).copied().is_some_and(fits)
    };
    let shown = quoted(&image_name.text);
    let iteration = if is_development { "dev" } else { "prod" };
    let [first, last] = days.map(|day| day.text.replace('-', ""));
    let name = format!("{}_{iteration}_{first}-{last}", moniker(&image_name.text));
    if !begins(0) || !begins(1) {
        header.mistake(
            image_name.span,
            format!(
                "image_name {shown} must begin with two letters, digits, `_` or `-`; the second may be `.`"
            ),
        );
    } else if !name::is_tag(&moniker(&image_name.text)) && image_name.text.len() <= name::LONGEST_TAG {
        header.mistake(
            image_name.span,
            format!("image_name {shown} must be made of letters, digits, blanks, `_`, `.` and `-`: it becomes a tag"),
        );
    } else if "nbs_".len() + name.len() + RUN_NUMBER > name::LONGEST_TAG {
        let most = name::LONGEST_TAG;
        header.mistake(
            image_name.span,
            format!("image_name {shown} is too long: with prefix, days and run number a tag has at most {most} signs"),
        );
    } else if let Some(day) = days.iter().find(|day| !name::is_tag(&day.text.replace('-', ""))) {
        header.mistake(day.span, format!("{} cannot be a part of a tag; write a date", quoted(&day.text)));
    }
    name
}

/// The one way in which the environment is given.
pub fn environment(
    top: &Section<'_>,
    inline: Option<&Node>,
    repositories: &[Repository],
) -> Option<Environment> {
    let external = top.value("environment_spec").and_then(|_| top.section("environment_spec"));
    let header_entry = top.entry("image_spec_header")?;
    let header = Section::new(top.notes, "image_spec_header", header_entry.span, &header_entry.value)?;
    let simple = header.entry("python_version");
    let ways =
        usize::from(simple.is_some()) + usize::from(inline.is_some()) + usize::from(external.is_some());
    const WAYS: &str = "python_version here, a second YAML document, or environment_spec";
    if ways == 0 {
        // One that cannot be read was told of already.
        if top.value("environment_spec").is_none() {
            header.mistake(header.span, format!("nothing says which environment: give {WAYS}"));
        }
        return None;
    }
    if ways > 1 {
        let second = match (&external, inline) {
            (Some(external), _) => external.span,
            (None, Some(inline)) => inline.span,
            (None, None) => header.span,
        };
        top.mistake(second, format!("the environment is given more than once; keep one of: {WAYS}"));
        return None;
    }
    if simple.is_some() {
        let version = header.required_text("python_version");
        let kernel_name = header.required_text("kernel_name");
        if let Some(version) = version.as_ref().filter(|version| !is_version(&version.text)) {
            header.mistake(
                version.span,
                format!("python_version {} is no version such as 3.12", quoted(&version.text)),
            );
        }
        if let Some(kernel) = kernel_name.as_ref().filter(|kernel| !name::is_part(&kernel.text)) {
            header.mistake(kernel.span, format!("kernel_name {} {PART}", quoted(&kernel.text)));
        }
        return Some(Environment::Python { version: version?, kernel_name: kernel_name? });
    }
    if let Some(kernel) = header.entry("kernel_name") {
        header.mistake(
            kernel.span,
            "kernel_name must not be given: the name in the environment file is the kernel's",
        );
    }
    match (external, inline) {
        (Some(external), _) => {
            let found = external_file(&external, repositories);
            external.close_loosely();
            found
        }
        (None, Some(inline)) => inline_environment(top, inline).map(Environment::Inline),
        (None, None) => None,
    }
}

/// `3`, `3.12`, `3.11.13`, `3.14.0rc1`.
fn is_version(text: &str) -> bool {
    let mut parts = text.split('.');
    let last = parts.next_back().unwrap_or_default();
    let number =
        |part: &str| !part.is_empty() && part.len() < 6 && part.bytes().all(|byte| byte.is_ascii_digit());
    let last = last.split(['a', 'b']).collect::<Vec<_>>().join("0").replace("rc", "0");
    parts.clone().count() < 3 && parts.all(number) && number(&last)
}

fn external_file(external: &Section<'_>, repositories: &[Repository]) -> Option<Environment> {
    let has = ["uri", "repo", "path"].map(|key| external.has(key));
    if let [true, true, _] | [true, _, true] = has {
        external.mistake(external.span, "uri cannot stand next to repo or path; keep one of them");
        return None;
    }
    let found = match has {
        [true, ..] => {
            let uri = external.required_text("uri")?;
            let is_address = uri.text.contains("://");
            if let Some(why) = name::escape(&uri.text).filter(|_| !is_address) {
                external.mistake(
                    uri.span,
                    format!("uri {} {why}; give a path below the spec's folder", quoted(&uri.text)),
                );
            }
            Environment::Uri(uri)
        }
        [_, true, true] => {
            let repository = external.required_text("repo")?;
            let path = external.required_text("path")?;
            if !repositories.iter().any(|known| known.name.text == repository.text) {
                let shown = quoted(&repository.text);
                external.mistake(repository.span, format!("repo {shown} is none of the repositories"));
            }
            if let Some(why) = name::escape(&path.text) {
                external.mistake(
                    path.span,
                    format!("path {} {why}; give a path in the repository", quoted(&path.text)),
                );
            }
            Environment::File { repository, path }
        }
        _ => {
            external.mistake(external.span, "give either uri, or both repo and path");
            return None;
        }
    };
    Some(found)
}

fn inline_environment(top: &Section<'_>, node: &Node) -> Option<Inline> {
    let section = Section::new(top.notes, "the second document", node.span, node)?;
    let name = section.required_text("name");
    if let Some(name) = name.as_ref().filter(|name| !name::is_part(&name.text)) {
        section.mistake(name.span, format!("name {} {PART}", quoted(&name.text)));
    }
    let channels = section.texts("channels");
    let (mut dependencies, mut pip) = (Vec::new(), Vec::new());
    for item in section.value("dependencies").map(Node::items).unwrap_or_default() {
        match &item.content {
            Content::Scalar(scalar) if !scalar.meaning().is_empty() => {
                dependencies.push(Written { text: scalar.meaning().to_owned(), span: item.span });
            }
            Content::Map(_) => {
                let inner = Section::new(top.notes, "dependencies of the second document", item.span, item)?;
                pip.extend(inner.texts("pip"));
                inner.close();
            }
            _ => section.mistake(item.span, "dependencies must hold packages, and at most one map with pip"),
        }
    }
    let has_variables = section.has("variables");
    section.know(&["variables", "prefix"]);
    section.close_loosely();
    Some(Inline { name: name?, channels, dependencies, pip, has_variables })
}
