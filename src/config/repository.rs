//! `[[repository]]`: what is watched, and who may start runs there.

use std::collections::BTreeMap;

use super::publish::publish;
use super::{ForgeConfig, RecipeMention, RepositoryConfig};
use crate::core::extra::{ExtraPolicy, ExtraRule};
use crate::core::mistake::{Mistake, did_you_mean};
use crate::core::policy::Allow;
use crate::core::pull::Permission;
use crate::core::reader::{Source, Table};
use crate::core::select::pattern;

/// All repositories. Recipes that they name and what is seldom meant are added to the lists.
pub(super) fn repositories(
    table: &Table<'_, '_, '_>,
    forges: &[ForgeConfig],
    mentions: &mut Vec<RecipeMention>,
    warnings: &mut Vec<Mistake>,
) -> Vec<RepositoryConfig> {
    let mut repositories = Vec::new();
    let mut known = BTreeMap::new();
    for mut table in table.tables("repository") {
        let name = table.required("name").unwrap_or_default();
        let what = format!("repository {name:?}");
        table.call(&what);
        if !name.is_empty() && !is_owner_and_name(&name) {
            table.mistake("name", "name must be owner/name, as in the address of the repository");
        }
        let forge = table.required("forge").unwrap_or_default();
        if !forge.is_empty() && !forges.iter().any(|known| known.name == forge) && !table.source().is_broken()
        {
            let hint = did_you_mean(&forge, forges.iter().map(|forge| forge.name.as_str()));
            table.mistake("forge", format!("there is no [[forge]] with the name {forge:?}{hint}"));
        }
        if let Some(line) = known.insert((forge.clone(), name.to_ascii_lowercase()), table.place("name").line)
            && !name.is_empty()
        {
            table.mistake("name", format!("the repository is listed twice: in line {line} as well"));
        }
        let recipe = table.text("recipe");
        if let Some(name) = &recipe {
            mentions.push(RecipeMention {
                name: name.clone(),
                place: table.place("recipe"),
                what: what.clone(),
            });
        }
        let allow = allow(&table);
        if allow.as_ref().is_none_or(Vec::is_empty) {
            let text = format!("{what}: nobody may start runs: its allow list is empty");
            warnings.push(Mistake::new(table.place("allow"), text));
        }
        let branches = branches(&table);
        let publish = publish(&table, &what, &branches);
        repositories.push(RepositoryConfig {
            forge,
            name,
            recipe,
            branches,
            paths: paths(&table),
            extra: extra(&table),
            allow: allow.unwrap_or_default(),
            publish,
        });
        table.close();
    }
    repositories
}

/// What reads, what reports and what publishes are three credentials: each can do one thing, so each loss is a small one.
pub(super) fn keep_credentials_apart(
    source: &Source<'_>,
    forges: &[ForgeConfig],
    repositories: &[RepositoryConfig],
) {
    for publish in repositories.iter().filter_map(|repository| repository.publish.as_ref()) {
        let is_it = |name: &Option<String>| name.as_ref() == Some(&publish.credential);
        let of = |forge: &&ForgeConfig| is_it(&forge.watch_credential) || is_it(&forge.report_credential);
        if let Some(forge) = forges.iter().find(of) {
            let text = format!(
                "publish_credential {:?} is a credential of forge {:?} already: what publishes must be able to do nothing else",
                publish.credential, forge.name
            );
            source.foreign(Mistake::new(publish.place.clone(), text));
        }
    }
}

fn is_owner_and_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    name.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

fn branches(table: &Table<'_, '_, '_>) -> Vec<String> {
    let mut branches = Vec::new();
    for (text, span) in table.texts("branches").unwrap_or_default() {
        // Git's own rules for names, in short.
        let is_odd = |c: char| c.is_whitespace() || c.is_control() || "~^:?*[\\".contains(c);
        if text.starts_with(['-', '/']) || text.contains("..") || text.chars().any(is_odd) {
            table.mistake_at(span, format!("branches: {text:?} is no name of a branch"));
        } else {
            branches.push(text);
        }
    }
    branches
}

fn paths(table: &Table<'_, '_, '_>) -> Vec<String> {
    let mut paths = Vec::new();
    for (text, span) in table.texts("paths").unwrap_or_default() {
        // One that begins with `!` takes away.
        let glob = text.strip_prefix('!').unwrap_or(&text);
        if glob.is_empty() || glob.starts_with('/') || glob.split('/').any(|part| part == "..") {
            table.mistake_at(span, format!("paths: {text:?} must be relative to the root of the repository"));
        } else if let Err(error) = pattern(glob) {
            table.mistake_at(span, format!("paths: {error}"));
        } else {
            paths.push(text);
        }
    }
    paths
}

fn extra(table: &Table<'_, '_, '_>) -> ExtraPolicy {
    let rules = [("run", ExtraRule::Run), ("offer", ExtraRule::Offer), ("never", ExtraRule::Never)];
    ExtraPolicy {
        rule: table.choice("extra_tests", &rules).unwrap_or_default(),
        per_day: super::whole(table, "extra_tests_per_day", 0, 100),
    }
}

/// None where there is no list, or nothing in it can be used: the mistakes are noted.
fn allow(table: &Table<'_, '_, '_>) -> Option<Vec<Allow>> {
    let mut allow = Vec::new();
    for (text, span) in table.texts("allow")? {
        match allowed(&text) {
            Ok(line) => allow.push(line),
            Err(why) => table.mistake_at(span, format!("allow: {why}")),
        }
    }
    Some(allow)
}

fn allowed(text: &str) -> Result<Allow, String> {
    const USAGE: &str = "must be login:number, team:organisation/team or permission:read|write|admin";
    let is_plain =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    match text.split_once(':') {
        Some(("team", team)) => match team.split_once('/') {
            Some((organisation, team)) if is_plain(organisation) && is_plain(team) && !team.contains('/') => {
                Ok(Allow::Team(format!("{organisation}/{team}")))
            }
            _ => Err(format!("{text:?}: a team is written team:organisation/team")),
        },
        Some(("permission", word)) => match word {
            "read" => Ok(Allow::Permission(Permission::Read)),
            "write" => Ok(Allow::Permission(Permission::Write)),
            "admin" => Ok(Allow::Permission(Permission::Admin)),
            _ => Err(format!("{text:?}: a permission is read, write or admin")),
        },
        Some((login, number)) if is_plain(login) => match number.parse() {
            Ok(number) if number > 0 => Ok(Allow::Account { login: login.to_owned(), number }),
            _ => Err(format!("{text:?}: {number:?} is no account number")),
        },
        Some(_) => Err(format!("{text:?} {USAGE}")),
        None => Err(format!("{text:?} {USAGE}: a name alone can change hands, the number cannot")),
    }
}
