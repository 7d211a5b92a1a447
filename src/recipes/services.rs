//! From `[[service]]` to the services of a recipe.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::Build;
use super::read::{build, image_of, limits};
use crate::core::mistake::did_you_mean;
use crate::core::reader::Table;
use crate::core::recipe::Limits;
use crate::core::service::{self, Service};
use crate::core::time::Duration;

/// What holds where a service says nothing. Its data is in its memory.
const STANDARD: Limits = Limits {
    memory_bytes: 1 << 30,
    cpus: 1.0,
    processes: 256,
    disk_bytes: 256 << 20,
    log_bytes: 1 << 20,
    timeout_seconds: 0,
};
const HEALTH_SECONDS: u64 = 60;
/// Names that a host has for itself.
const TAKEN: [&str; 2] = ["localhost", "docent"];
/// More than anybody wants beside one run, and fewer than a network has addresses.
const MOST: usize = 32;

/// A name in `after`, and where it stands.
type Wait = (String, Range<usize>);

/// Reads all of them, in the order in which they are brought up, and what their images are made from.
pub(super) fn services(recipe: &Table<'_, '_, '_>, place: &Path) -> (Vec<Service>, Vec<Build>) {
    let tables = recipe.tables("service");
    let (mut services, mut waits, mut builds) = (Vec::<Service>::new(), Vec::new(), Vec::new());
    if tables.len() > MOST {
        recipe.mistake("service", format!("there are more than {MOST} services"));
    }
    for mut table in tables {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("service {name:?}"));
        name_is_sound(&table, &name, &services);
        let (service, after) = service(&table, name);
        builds.extend(table.table("build").map(|table| build(table, &service.image, place)));
        waits.push((after, table));
        services.push(service);
    }
    waits_are_sound(&services, &waits);
    let ordered = service::order(&services);
    if let Err(circle) = &ordered {
        circle_is_told(&services, &waits, circle);
    }
    for (_, table) in waits {
        table.close();
    }
    let ordered = ordered.unwrap_or_default();
    (ordered.into_iter().filter_map(|at| services.get(at).cloned()).collect(), builds)
}

fn name_is_sound(table: &Table<'_, '_, '_>, name: &str, others: &[Service]) {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let is_host = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_plain);
    if name.is_empty() {
        // Missing, or no text: that is told already.
    } else if !is_host {
        table.mistake(
            "name",
            "name is the name of a host: at most 32 lower-case letters, digits and -, a letter first and no - at the end",
        );
    } else if TAKEN.contains(&name) {
        table.mistake("name", "a host calls itself that: choose another name");
    } else if others.iter().any(|other| other.name == name) {
        table.mistake("name", "there are two services of that name");
    }
}

fn service(table: &Table<'_, '_, '_>, name: String) -> (Service, Vec<Wait>) {
    let after = table.texts("after").unwrap_or_default();
    let port = table.number("port", 1, u64::from(u16::MAX)).and_then(|port| u16::try_from(port).ok());
    if table.value("port").is_none() {
        table.missing("port");
    }
    let health = table.duration("health_timeout", Duration::seconds(1));
    let health = health.and_then(|time| u64::try_from(time.num_seconds()).ok());
    let limits = limits_of(table);
    let service = Service {
        image: image_of(table),
        run: words(table, "run"),
        port: port.unwrap_or_default(),
        variables: table.table("variables").map(variables).unwrap_or_default(),
        after: after.iter().map(|(name, _)| name.clone()).collect(),
        health: words(table, "health"),
        health_seconds: health.unwrap_or(HEALTH_SECONDS),
        is_opt_in: table.flag("opt_in").unwrap_or(false),
        limits,
        name,
    };
    (service, after)
}

fn words(table: &Table<'_, '_, '_>, key: &str) -> Vec<String> {
    let words = table.words(key);
    if words.as_ref().is_some_and(Vec::is_empty) {
        table.mistake(key, format!("{key} is empty: it is a program and its arguments, or is left out"));
    }
    words.unwrap_or_default()
}

fn limits_of(table: &Table<'_, '_, '_>) -> Limits {
    let limits = limits(table, STANDARD);
    if table.value("timeout").is_some() {
        table.mistake(
            "timeout",
            "a service lives as long as its run: it has no timeout, but a health_timeout",
        );
    }
    if limits.disk_bytes > limits.memory_bytes {
        table.mistake("disk", "disk must be at most memory: what a service keeps in /data is in its memory");
    }
    limits
}

fn variables(table: Table<'_, '_, '_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for name in table.settings().into_keys() {
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            table.mistake(&name, format!("{name:?} is no name of a variable"));
        } else if ["PATH", "HOME", "LANG"].contains(&name.as_str()) || name.starts_with("DOCENT_") {
            table.mistake(&name, format!("{name} is docent's to set"));
        } else if let Some(text) = table.plain(&name) {
            variables.insert(name, text);
        }
    }
    table.close();
    variables
}

fn waits_are_sound(services: &[Service], waits: &[(Vec<Wait>, Table<'_, '_, '_>)]) {
    for (service, (after, table)) in services.iter().zip(waits) {
        for (name, span) in after {
            match services.iter().find(|other| other.name == *name) {
                None if table.source().is_broken() => {}
                None => {
                    let others = services.iter().map(|it| it.name.as_str()).filter(|it| *it != service.name);
                    let hint = did_you_mean(name, others);
                    table.mistake_at(span.clone(), format!("after: there is no service {name:?}{hint}"));
                }
                Some(other) if other.is_opt_in && !service.is_opt_in => table.mistake_at(
                    span.clone(),
                    format!("after: {name} is opt_in, so {} must be as well", service.name),
                ),
                Some(_) => {}
            }
        }
    }
}

/// At the name that closes the circle.
fn circle_is_told(services: &[Service], waits: &[(Vec<Wait>, Table<'_, '_, '_>)], circle: &[String]) {
    let [.., last, first] = circle else { return };
    let Some(at) = services.iter().position(|service| service.name == *last) else { return };
    let (after, table) = &waits[at];
    let Some((_, span)) = after.iter().find(|(name, _)| name == first) else { return };
    let circle = circle.join(" after ");
    table.mistake_at(span.clone(), format!("after: these services wait for each other: {circle}"));
}

#[cfg(test)]
mod tests;
