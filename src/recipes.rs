//! Recipes on disk: the operator's first, then the shipped ones, which travel inside the program.

mod folder;
mod read;
mod services;
mod shipped;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::core::mistake::{Mistake, Place, lines, position};
use crate::core::reader::Source;
use crate::core::recipe::{Recipe, Recipes, Settings};
use crate::core::select::pattern;

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
    /// Names in the order in which they were found: the operator's, then the shipped ones.
    order: Vec<String>,
    folders: BTreeMap<String, PathBuf>,
    builds: BTreeMap<String, Vec<Build>>,
}

/// Why a recipe is the one for a repository.
#[derive(Debug, Clone, Copy)]
pub struct Fit<'a> {
    /// The recipe.
    pub recipe: &'a Recipe,
    /// Its pattern that fits.
    pub pattern: &'a str,
    /// The first path that it fits.
    pub path: &'a str,
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
    /// What is wrong in their folders.
    #[error("{}", lines(.0))]
    Mistakes(Vec<Mistake>),
    /// The shipped ones cannot be unpacked.
    #[error("the shipped recipes cannot be unpacked: {folder}: {source}", folder = folder.display())]
    Io { folder: PathBuf, source: io::Error },
}

impl Shelf {
    /// Reads all recipes below the folders of `path`, then the shipped ones, unpacked below `unpack`. A name found earlier wins.
    /// What the operator set takes the place of a recipe's own settings.
    pub fn load(path: &[PathBuf], unpack: &Path, settings: &Settings) -> Result<Self, RecipeError> {
        let shipped = shipped::unpack(unpack)
            .map_err(|source| RecipeError::Io { folder: unpack.to_owned(), source })?;
        let mut shelf = Self::default();
        let mut mistakes = Vec::new();
        for folder in path.iter().chain([&shipped]) {
            match recipes_in(folder) {
                Ok(places) => places.iter().for_each(|place| shelf.add(place, settings, &mut mistakes)),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if mistakes.is_empty() { Ok(shelf) } else { Err(RecipeError::Mistakes(mistakes)) }
    }

    fn add(&mut self, place: &Path, settings: &Settings, mistakes: &mut Vec<Mistake>) {
        let file = place.join("recipe.toml");
        let text = match text_of(&file) {
            Ok(text) => text,
            Err(mistake) => return mistakes.push(mistake),
        };
        let source = Source::new(&file.display().to_string(), &text);
        let (mut recipe, builds) = read::recipe(&source, place, settings);
        let wrong = source.into_mistakes();
        let is_sound = wrong.is_empty();
        mistakes.extend(wrong);
        match folder::digest(place) {
            Ok(digest) => recipe.digest = digest,
            Err(wrong) => return mistakes.extend(wrong),
        }
        if is_sound && !self.recipes.contains_key(&recipe.name) {
            self.order.push(recipe.name.clone());
            // Executors copy the folder, and a link would be copied as a link.
            let folder = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
            self.folders.insert(recipe.name.clone(), folder);
            self.builds.insert(recipe.name.clone(), builds);
            self.recipes.insert(recipe.name.clone(), recipe);
        }
    }

    /// Where a recipe is.
    pub fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.get(name).map(PathBuf::as_path)
    }

    /// What the images of a recipe are made from, its own first; nothing of those that it only names.
    pub fn builds(&self, name: &str) -> impl Iterator<Item = &Build> {
        let builds = self.builds.get(name).into_iter().flatten();
        builds.filter(|build| !build.packages.is_empty() || build.containerfile.is_some())
    }

    /// All recipes that fit a repository with these files, the operator's first, each with the reason.
    pub fn fits<'a>(&'a self, paths: &'a [String]) -> impl Iterator<Item = Fit<'a>> {
        let recipes = self.order.iter().filter_map(|name| self.recipes.get(name));
        recipes.filter_map(|recipe| {
            recipe.detect.iter().find_map(|text| {
                let pattern = pattern(text).ok()?;
                let path = paths.iter().find(|path| pattern.is_match(path))?;
                Some(Fit { recipe, pattern: text, path })
            })
        })
    }

    /// The recipe for a repository with these files: the first that fits.
    pub fn detect(&self, paths: &[String]) -> Result<&Recipe, Undetected> {
        let name = self.fits(paths).next().map(|fit| fit.recipe.name.clone());
        let recipe = name.and_then(|name| self.recipes.get(&name));
        recipe.ok_or_else(|| Undetected { tried: self.order.join(", ") })
    }
}

/// The folders with a recipe below this one, by name.
fn recipes_in(folder: &Path) -> Result<Vec<PathBuf>, Mistake> {
    let mistake = |text: String| Mistake::new(Place::whole(folder.display()), text);
    if folder.join("recipe.toml").exists() {
        return Err(mistake("is itself a recipe: recipe_path names the folder above".to_owned()));
    }
    let failed = |error: io::Error| mistake(format!("this folder of recipe_path cannot be read: {error}"));
    let mut places = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let place = entry.map_err(failed)?.path();
        if fs::symlink_metadata(place.join("recipe.toml")).is_ok() {
            places.push(place);
        }
    }
    places.sort();
    Ok(places)
}

fn text_of(file: &Path) -> Result<String, Mistake> {
    let whole = || Place::whole(file.display());
    let bytes = fs::read(file).map_err(|error| Mistake::new(whole(), format!("cannot be read: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let (line, column) =
            position(&String::from_utf8_lossy(error.as_bytes()), error.utf8_error().valid_up_to());
        Mistake::new(Place { line, column, ..whole() }, "it is not UTF-8 text from here on")
    })
}

#[cfg(test)]
mod tests;
