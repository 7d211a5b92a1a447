//! `docent run` with a bundle: what an earlier run left to be repeated anywhere.

use std::path::Path;

use url::Url;

use super::Trouble;
use super::run::{RunHere, asked};
use crate::bundle::{BundleError, fetch, unpack};
use crate::core::bundle::{self, Carried, NAME, Unpacked};
use crate::core::command::TestOptions;
use crate::core::neutral;
use crate::core::run::Request;
use crate::recipes::Shelf;

/// Whether a place is somewhere else.
pub fn is_address(place: &str) -> bool {
    place.starts_with("https://") || place.starts_with("http://")
}

/// The bundle that `place` is, unpacked below `folder`. None: it is a folder, or a repository, of which a commit is named.
pub async fn open(place: &str, has_sha: bool, folder: &Path) -> Result<Option<Unpacked>, Trouble> {
    let into = folder.join("bundle");
    if is_address(place) && !has_sha {
        let url = Url::parse(place).map_err(|error| Trouble::Usage(format!("{place}: {error}")))?;
        let file = folder.join(NAME);
        fetch(&url, &file).await.map_err(|error| unfit(place, error))?;
        let hint =
            |error| Trouble::Usage(format!("{place}: {error}. The address of a repository needs --sha"));
        return unpack(&file, &into).map(Some).map_err(hint);
    }
    let is_file = !is_address(place) && Path::new(place).is_file();
    is_file.then(|| unpack(Path::new(place), &into).map_err(|error| unfit(place, error))).transpose()
}

fn unfit(place: &str, error: BundleError) -> Trouble {
    Trouble::Usage(format!("{place}: {error}"))
}

/// What is asked for by a bundle, and by the flags beside it. The recipe is the one that is here, with the bundle's settings.
pub fn request(arguments: &RunHere, unpacked: Unpacked, shelf: &mut Shelf) -> Result<Request, Trouble> {
    let own = asked(arguments);
    let about = &unpacked.bundle;
    let name = own.recipe.clone().unwrap_or_else(|| about.recipe.name.clone());
    if let Some(recipe) = shelf.recipes.get_mut(&name).filter(|_| name == about.recipe.name) {
        recipe.settings = bundle::settings(&recipe.settings, &about.settings);
    }
    let place = match (&about.files, &about.repository) {
        (Carried::Whole { .. }, _) => about.place.clone(),
        (Carried::Nothing { .. }, Some(repository)) if is_address(repository) && about.sha.is_some() => {
            repository.clone()
        }
        (Carried::Nothing { why }, _) => {
            let why = neutral::plain(why, 200);
            let text = format!("the bundle has no files ({why}), and names no repository to fetch them from");
            return Err(Trouble::Usage(text));
        }
    };
    let options = TestOptions {
        extra_tests: own.options.extra_tests || about.options.extra_tests,
        tiers: first(own.options.tiers, &about.options.tiers),
        notebooks: own.options.notebooks.or_else(|| about.options.notebooks.clone()),
        spec: own.options.spec.or_else(|| about.options.spec.clone()),
        full: own.options.full || about.options.full,
        sha: None,
    };
    Ok(Request {
        place,
        sha: about.sha.clone(),
        recipe: Some(name),
        options,
        only: first(own.only, &about.only),
        bundle: Some(Box::new(unpacked)),
        ..own
    })
}

/// What was said, else what stands in the bundle.
fn first(said: Vec<String>, bundled: &[String]) -> Vec<String> {
    if said.is_empty() { bundled.to_vec() } else { said }
}
