//! `assets`: files that are copied into the full image. docent makes no such image; it reads and judges them.

use super::section::Section;
use super::yaml::Content;
use super::{Written, section::quoted};

/// One file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The repository, by address.
    pub url: Written,
    /// Branch, tag or commit.
    pub reference: Option<Written>,
    /// The path in it.
    pub source: Written,
    /// Where it goes in the image.
    pub destination: Written,
}

/// The section, with groups laid out flat.
pub fn read(top: &Section<'_>) -> Vec<Asset> {
    let Some(node) = top.value("assets") else { return Vec::new() };
    if !matches!(node.content, Content::List(_)) {
        top.mistake(node.span, "assets must be a list: lines of `- item`");
        return Vec::new();
    }
    let mut assets = Vec::new();
    for (at, item) in node.items().iter().enumerate() {
        let what = format!("assets, item {}", at + 1);
        let Some(group) = Section::new(top.notes, what.as_str(), item.span, item) else { continue };
        let url = group.required_text("repo");
        let reference = group.text("ref");
        match group.value("items") {
            None => assets.extend(asset(&group, url, reference)),
            Some(items) => {
                for (at, item) in items.items().iter().enumerate() {
                    let what = format!("{what}, item {}", at + 1);
                    let Some(one) = Section::new(top.notes, what, item.span, item) else { continue };
                    let url = one.text("repo").or_else(|| url.clone());
                    let reference = one.text("ref").or_else(|| reference.clone());
                    assets.extend(asset(&one, url, reference));
                    one.close_loosely();
                }
            }
        }
        group.close_loosely();
    }
    assets
}

fn asset(section: &Section<'_>, url: Option<Written>, reference: Option<Written>) -> Option<Asset> {
    section.know(&["contents_only"]);
    let source = section.required_text("source");
    let destination = section.required_text("destination");
    if let Some(source) = &source
        && source.text.split('/').any(|part| part == "..")
    {
        section.mistake(source.span, format!("source {} leads out of its repository", quoted(&source.text)));
    }
    Some(Asset { url: url?, reference, source: source?, destination: destination? })
}
