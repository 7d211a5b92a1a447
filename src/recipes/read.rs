//! From `recipe.toml` to a recipe.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::Value;

use super::Build;
use super::services::services;
use crate::core::mistake::{Mistake, did_you_mean};
use crate::core::reader::{Source, Table};
use crate::core::recipe::{
    AlreadyFailing, Environment, Limits, Network, Overrides, Recipe, Setting, Settings, TestSet, Tier,
};
use crate::core::select::pattern;
use crate::core::time::Duration;

/// The tier that docent executes itself.
const BUILT_IN: &str = "validate";

/// What holds where a recipe says nothing.
const STANDARD: Limits = Limits {
    memory_bytes: 2 << 30,
    cpus: 2.0,
    processes: 512,
    disk_bytes: 8 << 30,
    log_bytes: 16 << 20,
    timeout_seconds: 3600,
};

/// Reads the recipe in the folder `place`. It is of use only if no mistake was noted; its digest is left empty.
pub(super) fn recipe(source: &Source<'_>, place: &Path, settings: &Settings) -> (Recipe, Vec<Build>) {
    let parsed = source.parse();
    let mut table = Table::new(source, "recipe", 0..0, parsed.get_ref());
    let name = table.required("name").unwrap_or_default();
    table.call(format!("recipe {name:?}"));
    if !is_name(&name) {
        table.mistake("name", "name must be at most 32 lower-case letters, digits, - and _");
    } else if !name.is_empty() && place.file_name().is_some_and(|folder| folder != name.as_str()) {
        table.mistake("name", "name must be the name of the recipe's folder");
    }
    let image = image_of(&table);
    let build = table.table("build").map(|table| build(table, &image, place));
    let (services, builds) = services(&table, place);
    let limits = table.table("limits").map_or(STANDARD, |table| {
        let limits = limits(&table, STANDARD);
        table.close();
        limits
    });
    let own = table.table("settings").map(|table| table.settings()).unwrap_or_default();
    let values = overridden(source, &name, own, settings.get(&name));
    let tiers = tiers(&table, limits, &values);
    let fates = [("fail", AlreadyFailing::Fail), ("pass", AlreadyFailing::Pass)];
    let recipe = Recipe {
        already_failing: table.choice("already_failing", &fates).unwrap_or_default(),
        description: table.text("description").unwrap_or_default(),
        detect: patterns(&table, "detect"),
        specs: patterns(&table, "specs"),
        image,
        settings: values.into_iter().collect(),
        services,
        tiers,
        digest: String::new(),
        name,
    };
    table.close();
    (recipe, build.into_iter().chain(builds).collect())
}

fn is_name(name: &str) -> bool {
    name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
        && !name.starts_with('-')
}

fn patterns(table: &Table<'_, '_, '_>, key: &str) -> Vec<String> {
    let mut patterns = Vec::new();
    for (text, span) in table.texts(key).unwrap_or_default() {
        match pattern(&text) {
            Ok(_) => patterns.push(text),
            Err(error) => table.mistake_at(span, format!("{key}: {error}")),
        }
    }
    patterns
}

pub(super) fn image_of(table: &Table<'_, '_, '_>) -> String {
    let image = table.required("image").unwrap_or_default();
    if image.starts_with('-') || !image.bytes().all(|b| b.is_ascii_graphic()) {
        table.mistake("image", "image must be the name of an image, as in \"docent/notebook:1\"");
    }
    image
}

pub(super) fn build(table: Table<'_, '_, '_>, image: &str, place: &Path) -> Build {
    // These become arguments of programs.
    let names = |key: &str, extra: &str| {
        let is_fit = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
        };
        let mut names = Vec::new();
        for (text, span) in table.texts(key).unwrap_or_default() {
            if is_fit(&text) {
                names.push(text);
            } else {
                table.mistake_at(span, format!("{key}: {text:?} is no name of a package"));
            }
        }
        names
    };
    let packages = names("packages", "+-.:=~");
    let python = names("python", "-_.=<>!~,[]");
    let containerfile = table.text("containerfile").and_then(|text| {
        let is_below = Path::new(&text).components().all(|part| matches!(part, Component::Normal(_)));
        let file = place.join(&text);
        if is_below && file.is_file() {
            return Some(file);
        }
        table.mistake("containerfile", "containerfile must be the path of a file in the recipe's folder");
        None
    });
    table.close();
    Build { image: image.to_owned(), packages, python, containerfile }
}

pub(super) fn limits(table: &Table<'_, '_, '_>, default: Limits) -> Limits {
    let timeout = table.duration("timeout", Duration::seconds(1));
    let timeout = timeout.and_then(|timeout| u64::try_from(timeout.num_seconds()).ok());
    let processes = table.number("processes", 1, 4_000_000).and_then(|number| u32::try_from(number).ok());
    Limits {
        memory_bytes: table.size("memory", 16 << 20).unwrap_or(default.memory_bytes),
        cpus: table.fraction("cpus", 0.01, 4096.0).unwrap_or(default.cpus),
        processes: processes.unwrap_or(default.processes),
        disk_bytes: table.size("disk", 1 << 20).unwrap_or(default.disk_bytes),
        log_bytes: table.size("log", 1 << 10).unwrap_or(default.log_bytes),
        timeout_seconds: timeout.unwrap_or(default.timeout_seconds),
    }
}

/// The recipe's settings with those of the operator in their place. The operator adds none: a name that the recipe does not have
/// is a slip, and so is a value of another kind.
fn overridden(
    source: &Source<'_>,
    recipe: &str,
    own: BTreeMap<String, Setting>,
    overrides: Option<&Overrides>,
) -> BTreeMap<String, Value> {
    let mut values: BTreeMap<String, Value> =
        own.into_iter().map(|(name, setting)| (name, setting.value)).collect();
    for (name, setting) in overrides.iter().flat_map(|overrides| &overrides.values) {
        let wrong = |text: String| source.foreign(Mistake::new(setting.place.clone(), text));
        match values.get(name) {
            None if source.is_broken() => {}
            None => {
                let hint = did_you_mean(name, values.keys().map(String::as_str));
                wrong(format!("[recipes]: the recipe {recipe:?} has no setting {name:?}{hint}"));
            }
            Some(value) if kind(value) != kind(&setting.value) => {
                wrong(format!("[recipes]: {name} of the recipe {recipe:?} must be {}", kind(value)));
            }
            Some(_) => {
                values.insert(name.clone(), setting.value.clone());
            }
        }
    }
    values
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

fn tiers(table: &Table<'_, '_, '_>, limits: Limits, settings: &BTreeMap<String, Value>) -> Vec<Tier> {
    let mut tiers: Vec<Tier> = Vec::new();
    for mut table in table.tables("tier") {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("tier {name:?}"));
        if !is_name(&name) {
            table.mistake("name", "name must be at most 32 lower-case letters, digits, - and _");
        }
        if !name.is_empty() && tiers.iter().any(|tier| tier.name == name) {
            table.mistake("name", "there are two tiers of that name");
        }
        let tier = tier(&table, name, limits, settings);
        let is_made = tiers.iter().any(|tier| tier.environment == Environment::Write);
        if tier.environment == Environment::Read && !is_made && !table.source().is_broken() {
            table.mistake(
                "environment",
                "no earlier tier has environment = \"write\": there is nothing to read",
            );
        }
        table.close();
        tiers.push(tier);
    }
    if tiers.is_empty() && !table.source().is_broken() {
        table.mistake("tier", "there is no [[tier]]");
    }
    tiers
}

fn tier(table: &Table<'_, '_, '_>, name: String, limits: Limits, settings: &BTreeMap<String, Value>) -> Tier {
    let run = table.texts("run").map(|words| command(table, words, settings)).unwrap_or_default();
    if table.value("run").is_none() && name != BUILT_IN && !table.source().is_broken() {
        table.mistake("run", format!("run is missing: only {BUILT_IN} is built into docent"));
    }
    let networks = [("none", Network::None), ("index", Network::Index), ("egress", Network::Egress)];
    let environments =
        [("none", Environment::None), ("read", Environment::Read), ("write", Environment::Write)];
    let sets = [("notebooks", TestSet::Notebooks), ("extra_notebooks", TestSet::ExtraNotebooks)];
    Tier {
        name,
        run,
        network: table.choice("network", &networks).unwrap_or(Network::None),
        environment: table.choice("environment", &environments).unwrap_or(Environment::None),
        is_gate: table.flag("gate").unwrap_or(false),
        is_opt_in: table.flag("opt_in").unwrap_or(false),
        tests: table.choice("tests", &sets),
        lock: table.text("lock"),
        is_reusable: table.flag("reuse").unwrap_or(false),
        covers: patterns(table, "covers"),
        limits: self::limits(table, limits),
    }
}

/// The command of a tier. An element that is exactly `${settings.NAME}` stands for that setting: for the elements of a list, or
/// for a text.
fn command(
    table: &Table<'_, '_, '_>,
    words: Vec<(String, std::ops::Range<usize>)>,
    settings: &BTreeMap<String, Value>,
) -> Vec<String> {
    let mut command = Vec::new();
    if words.is_empty() {
        table.mistake("run", "run is empty: it is the program and its arguments");
    }
    for (text, span) in words {
        let Some(name) = text.strip_prefix("${settings.").and_then(|rest| rest.strip_suffix('}')) else {
            if text.contains("${settings.") {
                table.mistake_at(
                    span,
                    "run: a setting is replaced only where it is a whole element: \"${settings.NAME}\"",
                );
            }
            command.push(text);
            continue;
        };
        match settings.get(name).map(spliced) {
            Some(Some(words)) => command.extend(words),
            Some(None) => table.mistake_at(
                span,
                format!("run: settings.{name} must be a text or a list of texts, and not empty"),
            ),
            None => {
                let hint = did_you_mean(name, settings.keys().map(String::as_str));
                table.mistake_at(span, format!("run: there is no settings.{name}{hint}"));
            }
        }
    }
    command
}

fn spliced(setting: &Value) -> Option<Vec<String>> {
    let word = |value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty() && !text.contains('\0'));
        text.map(str::to_owned)
    };
    match setting {
        Value::Array(list) if !list.is_empty() => list.iter().map(word).collect(),
        Value::Array(_) => None,
        other => word(other).map(|word| vec![word]),
    }
}
