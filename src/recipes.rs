//! Recipes on disk: the operator's first, then the shipped ones, which travel inside the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rust_embed::Embed;
use sha2::{Digest, Sha256};

use crate::core::mistake::Mistake;
use crate::core::reader::{self, Source, Table};
use crate::core::recipe::{Environment, Limits, Network, Recipe, Recipes, Settings, TestSet, Tier};
use crate::core::select::pattern;

#[derive(Embed)]
#[folder = "recipes/"]
#[exclude = "**/__pycache__/*"]
#[exclude = "**/*.pyc"]
struct Shipped;

/// What an image is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Its name.
    pub image: String,
    /// Debian packages.
    pub packages: Vec<String>,
    /// Python packages for `/opt/tools`.
    pub python: Vec<String>,
    /// A Containerfile that makes the same.
    pub containerfile: Option<PathBuf>,
}

/// Recipes that can be used, and where they are.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    /// By name.
    pub recipes: Recipes,
    folders: BTreeMap<String, PathBuf>,
    builds: BTreeMap<String, Build>,
}

/// Why no recipe fits a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no recipe fits the files of this repository (tried {tried}): name one in the configuration, or with --recipe"
)]
pub struct Undetected {
    tried: String,
}

/// Why recipes cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// Mistakes in them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
    /// Their files cannot be read, or the shipped ones not be unpacked.
    #[error("{folder}: {source}", folder = folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

impl Shelf {
    /// Reads all recipes below the folders of `path`, then the shipped ones, unpacked below `unpack`. A name found earlier wins.
    pub fn load(path: &[PathBuf], unpack: &Path, settings: &Settings) -> Result<Self, RecipeError> {
        let mut shelf = Self::default();
        let mut mistakes = Vec::new();
        let shipped = unpack_shipped(unpack)?;
        for folder in path.iter().chain([&shipped]) {
            let failed = |source| RecipeError::Io { folder: folder.clone(), source };
            let mut folders = Vec::new();
            for entry in fs::read_dir(folder).map_err(failed)? {
                let place = entry.map_err(failed)?.path();
                if place.join("recipe.toml").is_file() {
                    folders.push(place);
                }
            }
            folders.sort();
            for place in folders {
                shelf.add(&place, settings, &mut mistakes).map_err(failed)?;
            }
        }
        let unknown = settings.keys().filter(|name| !shelf.recipes.contains_key(*name));
        mistakes.extend(unknown.map(|name| Mistake {
            file: "[recipes]".to_owned(),
            line: 1,
            column: 1,
            text: format!("there is no recipe {name:?}"),
        }));
        if mistakes.is_empty() { Ok(shelf) } else { Err(RecipeError::Mistakes(mistakes)) }
    }

    fn add(&mut self, place: &Path, settings: &Settings, mistakes: &mut Vec<Mistake>) -> io::Result<()> {
        let file = place.join("recipe.toml");
        let text = fs::read_to_string(&file)?;
        let source = Source::new(&file.display().to_string(), &text);
        let read = read(&source, settings);
        mistakes.extend(source.into_mistakes());
        if let Some((mut recipe, mut build)) = read
            && !self.recipes.contains_key(&recipe.name)
        {
            recipe.digest = digest(place)?;
            build.containerfile = build.containerfile.map(|file| place.join(file));
            self.folders.insert(recipe.name.clone(), place.to_owned());
            self.builds.insert(recipe.name.clone(), build);
            self.recipes.insert(recipe.name.clone(), recipe);
        }
        Ok(())
    }

    /// Where a recipe is.
    pub fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.get(name).map(PathBuf::as_path)
    }

    /// What a recipe's image is made from.
    pub fn build(&self, name: &str) -> Option<&Build> {
        self.builds.get(name).filter(|build| !build.packages.is_empty() || build.containerfile.is_some())
    }

    /// The recipe for a repository with these files: the first by name of which a pattern fits.
    pub fn detect(&self, paths: &[String]) -> Result<&Recipe, Undetected> {
        let fits = |recipe: &&Recipe| {
            let mut patterns = recipe.detect.iter().filter_map(|text| pattern(text).ok());
            patterns.any(|pattern| paths.iter().any(|path| pattern.is_match(path)))
        };
        self.recipes.values().find(fits).ok_or_else(|| Undetected {
            tried: self.recipes.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Puts the shipped recipes into a folder named by their content, whole or not at all.
fn unpack_shipped(below: &Path) -> Result<PathBuf, RecipeError> {
    let failed = |source| RecipeError::Io { folder: below.to_owned(), source };
    let mut files: Vec<_> =
        Shipped::iter().filter_map(|name| Some((name.to_string(), Shipped::get(&name)?))).collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    let mut digest = Sha256::new();
    for (name, file) in &files {
        digest.update(format!("{name}\n{}\n", file.data.len()));
        digest.update(&file.data);
    }
    let place = below.join(&hex(&digest.finalize())[..16]);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(below).map_err(failed)?;
    let partial = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(below).map_err(failed)?;
    for (name, file) in &files {
        let to = partial.path().join(name);
        fs::create_dir_all(to.parent().unwrap_or(below)).map_err(failed)?;
        fs::write(&to, &file.data).map_err(failed)?;
    }
    match fs::rename(partial.path(), &place) {
        Err(error) if !place.is_dir() => Err(failed(error)),
        _ => Ok(place),
    }
}

/// SHA-256 over the names and contents of all files of a folder.
fn digest(place: &Path) -> io::Result<String> {
    let mut digest = Sha256::new();
    let is_source = |entry: &walkdir::DirEntry| entry.file_name() != "__pycache__";
    for entry in walkdir::WalkDir::new(place).sort_by_file_name().into_iter().filter_entry(is_source) {
        let entry = entry.map_err(io::Error::other)?;
        if entry.file_type().is_file() {
            let content = fs::read(entry.path())?;
            let name = entry.path().strip_prefix(place).unwrap_or(entry.path());
            digest.update(format!("{}\n{}\n", name.display(), content.len()));
            digest.update(&content);
        }
    }
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(source: &Source<'_>, settings: &Settings) -> Option<(Recipe, Build)> {
    let parsed = source.parse()?;
    let mut table = Table::new(source, "recipe", parsed.span(), parsed.get_ref());
    let name = table.required("name").unwrap_or_default();
    table.call(format!("recipe {name:?}"));
    let is_name = |name: &str| {
        name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    if !is_name(&name) {
        table.mistake("name", "name must be lower-case letters, digits, - and _");
    }
    let detect = texts(&table, "detect");
    for (text, span) in table.texts("detect").unwrap_or_default() {
        if let Err(error) = pattern(&text) {
            source.mistake(span, format!("detect: {error}"));
        }
    }
    let image = table.required("image").unwrap_or_default();
    let build = table.table("build").map(|table| {
        let build = Build {
            image: image.clone(),
            packages: texts(&table, "packages"),
            python: texts(&table, "python"),
            containerfile: table.text("containerfile").map(PathBuf::from),
        };
        table.close();
        build
    });
    let standard = Limits {
        memory_bytes: 2 << 30,
        cpus: 2.0,
        processes: 512,
        disk_bytes: 8 << 30,
        log_bytes: 16 << 20,
        timeout_seconds: 3600,
    };
    let limits = table.table("limits").map_or(standard, |table| {
        let limits = limits(&table, standard);
        table.close();
        limits
    });
    let mut values = table.table("settings").map(|table| table.free()).unwrap_or_default();
    values.extend(settings.get(&name).cloned().unwrap_or_default());
    let values = in_base_units(values);
    let mut tiers: Vec<Tier> = Vec::new();
    for mut table in table.tables("tier") {
        let name = table.required("name").unwrap_or_default();
        table.call(format!("tier {name:?}"));
        if !is_name(&name) || name.len() > 32 {
            table.mistake("name", "name must be at most 32 lower-case letters, digits, - and _");
        }
        if tiers.iter().any(|tier| tier.name == name) {
            table.mistake("name", "there are two tiers of that name");
        }
        let run = spliced(&table, source, &values);
        tiers.push(Tier {
            run,
            network: one_of(
                &table,
                "network",
                &[("none", Network::None), ("index", Network::Index), ("egress", Network::Egress)],
            )
            .unwrap_or(Network::None),
            environment: one_of(
                &table,
                "environment",
                &[("none", Environment::None), ("read", Environment::Read), ("write", Environment::Write)],
            )
            .unwrap_or(Environment::None),
            is_gate: table.flag("gate").unwrap_or(false),
            is_opt_in: table.flag("opt_in").unwrap_or(false),
            tests: one_of(
                &table,
                "tests",
                &[("notebooks", TestSet::Notebooks), ("extra_notebooks", TestSet::ExtraNotebooks)],
            ),
            limits: self::limits(&table, limits),
            name,
        });
        table.close();
    }
    if tiers.is_empty() {
        table.mistake("tier", "there is no [[tier]]");
    }
    let recipe = Recipe {
        name,
        description: table.text("description").unwrap_or_default(),
        detect,
        image,
        settings: values,
        tiers,
        digest: String::new(),
    };
    table.close();
    Some((recipe, build.unwrap_or_default()))
}

fn texts(table: &Table<'_, '_, '_>, key: &str) -> Vec<String> {
    table.texts(key).unwrap_or_default().into_iter().map(|(text, _)| text).collect()
}

fn limits(table: &Table<'_, '_, '_>, default: Limits) -> Limits {
    let timeout = table.duration("timeout").and_then(|timeout| u64::try_from(timeout.num_seconds()).ok());
    let processes = table.number("processes", 1).map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    Limits {
        memory_bytes: table.size("memory").unwrap_or(default.memory_bytes),
        cpus: table.fraction("cpus").unwrap_or(default.cpus),
        processes: processes.unwrap_or(default.processes),
        disk_bytes: table.size("disk").unwrap_or(default.disk_bytes),
        log_bytes: table.size("log").unwrap_or(default.log_bytes),
        timeout_seconds: timeout.unwrap_or(default.timeout_seconds),
    }
}

fn one_of<T: Copy>(table: &Table<'_, '_, '_>, key: &str, choices: &[(&str, T)]) -> Option<T> {
    let text = table.text(key)?;
    let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        table.mistake(key, format!("{key} must be one of {names}"));
    }
    found
}

/// The command of a tier. An element that is exactly `${settings.NAME}` stands for the text, or the
/// texts of the list, of that name in the settings.
fn spliced(
    table: &Table<'_, '_, '_>,
    source: &Source<'_>,
    settings: &serde_json::Map<String, serde_json::Value>,
) -> Vec<String> {
    let mut command = Vec::new();
    for (text, span) in table.texts("run").unwrap_or_default() {
        let Some(name) = text.strip_prefix("${settings.").and_then(|rest| rest.strip_suffix('}')) else {
            command.push(text);
            continue;
        };
        let value = settings.get(name);
        if let Some(word) = value.and_then(serde_json::Value::as_str) {
            command.push(word.to_owned());
            continue;
        }
        let list = value.and_then(serde_json::Value::as_array);
        let words: Option<Vec<String>> =
            list.and_then(|list| list.iter().map(|word| word.as_str().map(str::to_owned)).collect());
        match words {
            Some(words) if !words.is_empty() => command.extend(words),
            // A recipe that nobody has set up is no mistake until somebody uses it.
            Some(_) => command.push(text),
            None => missing_setting(source, span, name),
        }
    }
    command
}

fn missing_setting(source: &Source<'_>, span: Range<usize>, name: &str) {
    source
        .mistake(span, format!("settings.{name} must be a text or a list of texts: the words of a command"));
}

/// Times in seconds and sizes in bytes, so that steps need not read units: keys that end in `timeout` or `limit`.
fn in_base_units(
    settings: serde_json::Map<String, serde_json::Value>,
) -> serde_json::Map<String, serde_json::Value> {
    let units: BTreeSet<&str> = ["timeout", "limit"].into();
    let convert = |(key, value): (String, serde_json::Value)| {
        let unit = key.rsplit('_').next().filter(|word| units.contains(word)).map(str::to_owned);
        let value = match (unit.as_deref(), value.as_str()) {
            (Some("timeout"), Some(text)) => reader::duration(text).map(|time| time.num_seconds().into()),
            (Some("limit"), Some(text)) => reader::size(text).map(Into::into),
            _ => None,
        }
        .unwrap_or(value);
        (key, value)
    };
    settings.into_iter().map(convert).collect()
}
