//! `dev_overrides`: a second opinion on parts of the spec, for development runs only.
//!
//! They are laid over the tree before anything is read from it, so that whatever they bring is judged like the rest and
//! mistakes in it point at where it stands.

use std::collections::HashMap;

use super::section::Section;
use super::yaml::{Content, Entry, Node};

const LISTS: [&str; 5] = [
    "extra_mamba_packages",
    "common_mamba_packages",
    "extra_pip_packages",
    "common_pip_packages",
    "apt_packages",
];

const SECTIONS: [&str; 5] =
    ["environment_vars", "refdata_dependencies", "repositories", "system", "test_environment_vars"];

/// Notes keys that must not stand in the two sections of overrides. Values are not looked at: they may be partial.
pub fn check(top: &Section<'_>) {
    for key in ["dev_overrides", "deactivated_dev_overrides"] {
        let Some(section) = top.section_or_nothing(key) else { continue };
        section.know(&LISTS);
        section.know(&SECTIONS);
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
    let Some(mut overrides) = overrides.filter(|_| dev.unwrap_or(true)) else { return (root, false) };
    let Content::Map(entries) = &mut overrides.content else { return (root, false) };
    // What must not stand here was told of; some keys nb-wrangler takes and does nothing with; and nothing is no override.
    let is_known = |key: &str| LISTS.contains(&key) || SECTIONS.contains(&key);
    entries.retain(|entry| is_known(&entry.key) && !entry.value.is_null());
    for entry in entries.iter_mut() {
        let effective: &[&str] = match entry.key.as_str() {
            "system" => &["spi", "nb-wrangler", "primary_repo"],
            "refdata_dependencies" => &["install_files", "other_variables"],
            _ => continue,
        };
        if let Content::Map(parts) = &mut entry.value.content {
            parts.retain(|part| effective.contains(&part.key.as_str()) && !part.value.is_null());
        }
    }
    // Down to the fields of a repository or tool, and no further: one set of reference data is replaced as a whole.
    lay(&mut root, &overrides, 3);
    (root, true)
}

/// Puts every key of the map `from` into the map `target`. Where both hold maps, down to `depth`, those are merged; all else,
/// lists among them, is replaced.
fn lay(target: &mut Node, from: &Node, depth: usize) {
    let (Content::Map(entries), Content::Map(new)) = (&mut target.content, &from.content) else { return };
    let mut places: HashMap<String, usize> =
        entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
    for entry in new {
        let place = places.get(&entry.key).and_then(|at| entries.get_mut(*at));
        let are_maps = |old: &Entry| {
            matches!((&old.value.content, &entry.value.content), (Content::Map(_), Content::Map(_)))
        };
        match place {
            Some(old) if depth > 1 && are_maps(old) => lay(&mut old.value, &entry.value, depth - 1),
            Some(old) => old.clone_from(entry),
            None => {
                places.insert(entry.key.clone(), entries.len());
                entries.push(entry.clone());
            }
        }
    }
}
