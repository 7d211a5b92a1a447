//! `[repository.publish]`: where the curated specs of a repository go, and with which credential.

use std::ops::Range;

use super::{PublishConfig, forge};
use crate::core::image_name::{Home, SPEC_PREFIX, Tag, Wanted};
use crate::core::publishing::NAME;
use crate::core::reader::Table;

/// None where nothing is to be published. `branches` are those that the repository watches.
pub(super) fn publish(
    repository: &Table<'_, '_, '_>,
    what: &str,
    branches: &[String],
) -> Option<PublishConfig> {
    let mut table = repository.table("publish")?;
    table.call(format!("{what}: publish"));
    let place = place(&table);
    let credential = match table.value("publish_credential") {
        Some(_) => forge::credential(&table, "publish_credential"),
        None => {
            table.missing("publish_credential");
            None
        }
    };
    let place_of_credential = table.place("publish_credential");
    let insecure_http = table.flag("insecure_http").unwrap_or(false);
    let chosen = table.texts("branches");
    if branches.is_empty() {
        table.mistake(
            "to",
            "only runs of watched branches are published: name some in branches of the repository",
        );
    }
    for (branch, span) in chosen.iter().flatten().filter(|(branch, _)| !branches.contains(branch)) {
        table.mistake_at(
            span.clone(),
            format!("branches: {branch:?} is none of the branches that are watched"),
        );
    }
    let aliases = table.texts("aliases").unwrap_or_default();
    aliases.iter().for_each(|alias| check_alias(&table, alias));
    table.close();
    let (registry, project) = place?;
    Some(PublishConfig {
        registry,
        project,
        credential: credential?,
        place: place_of_credential,
        insecure_http,
        branches: match chosen {
            Some(chosen) => chosen.into_iter().map(|(branch, _)| branch).collect(),
            None => branches.to_vec(),
        },
        aliases: aliases.into_iter().map(|(alias, _)| alias).collect(),
    })
}

/// `registry.example.org/astro/images`: the registry is never filled in.
fn place(table: &Table<'_, '_, '_>) -> Option<(String, String)> {
    let to = table.required("to")?;
    let nowhere = Home { registry: String::new(), project: String::new() };
    let has_tag = to.rsplit('/').next().is_some_and(|last| last.contains(':')) || to.contains('@');
    match Wanted::read(&format!("{to}:x"), &nowhere) {
        Ok(wanted) if !has_tag => Some((wanted.registry, wanted.repository)),
        _ => {
            table.mistake("to", "to must be REGISTRY/PROJECT, as in \"registry.example.org/astro/images\"");
            None
        }
    }
}

fn check_alias(table: &Table<'_, '_, '_>, (alias, span): &(String, Range<usize>)) {
    if let Err(error) = Tag::new(alias.replace(NAME, "nbs_x")) {
        table.mistake_at(span.clone(), format!("aliases: {error}"));
    } else if alias.starts_with(SPEC_PREFIX)
        || alias == NAME
        || alias.strip_prefix(NAME).is_some_and(is_number)
    {
        let why = "is what images of runs are called: an alias would hide one of them";
        table.mistake_at(span.clone(), format!("aliases: {alias:?} {why}"));
    }
}

fn is_number(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
