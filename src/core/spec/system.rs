//! `system`: what curators rarely touch.

use super::Written;
use super::section::{Section, quoted};

/// The oldest version of the format that is not deprecated, and the newest one that is known.
const VERSIONS: (f64, f64) = (2.0, 2.3);
const ARCHIVES: [&str; 8] =
    [".tar.gz", ".tar.xz", ".tar", ".tar.bz2", ".tar.zst", ".tar.lzma", ".tar.lzo", ".tar.lz"];

/// A repository of the tools, by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Where it is cloned from.
    pub url: Written,
    /// Branch, tag or commit.
    pub reference: Option<Written>,
}

/// What curators rarely touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// The version of the format.
    pub spec_version: Written,
    /// The repository of the images.
    pub spi: Tool,
    /// The repository of nb-wrangler itself.
    pub nb_wrangler: Option<Tool>,
    /// When it was last saved, as it is written.
    pub date_updated: Option<Written>,
    /// How environments are packed.
    pub archive_format: String,
    /// The repository that this spec is about, `owner/name`.
    pub primary_repo: Option<Written>,
    /// Programs that nb-wrangler would start in place of its own, by kind.
    pub commands: Vec<(String, Written)>,
}

/// The section.
pub fn read(top: &Section<'_>) -> Option<System> {
    top.required("system")?;
    let section = top.section("system")?;
    section.know(&["spec_sha256"]);
    let date_updated = section.text("date_updated");
    let spec_version = section.required_text("spec_version");
    if let Some(version) = &spec_version {
        match version.text.trim().parse::<f64>() {
            Ok(number) if number < VERSIONS.0 => {
                let newest = VERSIONS.1;
                section.warning(
                    "spec-version",
                    version.span,
                    format!("spec_version {number} is deprecated; the newest is {newest}"),
                );
            }
            Ok(number) if number > VERSIONS.1 => {
                let newest = VERSIONS.1;
                section.warning(
                    "spec-version",
                    version.span,
                    format!("spec_version {number} is newer than {newest}, the newest that is known here"),
                );
            }
            Ok(_) => {}
            Err(_) => {
                section.mistake(version.span, format!("spec_version {} is no number", quoted(&version.text)))
            }
        }
    }
    section.required("spi");
    let spi = section.section_or_nothing("spi").and_then(tool);
    let nb_wrangler =
        if section.has("nb-wrangler") { section.section("nb-wrangler").and_then(tool) } else { None };
    let archive = section.text("archive_format").filter(|format| !format.text.is_empty());
    if let Some(archive) = archive.as_ref().filter(|archive| !ARCHIVES.contains(&archive.text.as_str())) {
        let text = format!("archive_format {} is none of {}", quoted(&archive.text), ARCHIVES.join(", "));
        section.warning("archive-format", archive.span, text);
    }
    let primary_repo = section.text("primary_repo");
    let mut commands = commands(&section);
    commands.extend(self::commands(top));
    section.close();
    Some(System {
        date_updated,
        spec_version: spec_version?,
        spi: spi?,
        nb_wrangler,
        archive_format: archive.map_or_else(|| ".tar".to_owned(), |archive| archive.text),
        primary_repo,
        commands,
    })
}

fn tool(section: Section<'_>) -> Option<Tool> {
    let url = section.required_text("repo");
    let reference = section.text("ref");
    section.close();
    Some(Tool { url: url?, reference })
}

fn commands(section: &Section<'_>) -> Vec<(String, Written)> {
    let Some(commands) = section.section_or_nothing("commands") else { return Vec::new() };
    let mut found = Vec::new();
    for kind in ["mamba", "pip"] {
        found.extend(commands.text(kind).map(|command| (kind.to_owned(), command)));
    }
    commands.know(&["favor"]);
    commands.close();
    found
}
