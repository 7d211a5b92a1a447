//! Shipped recipes are sound, the operator's are read strictly, and nothing leads out of a recipe.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;
use crate::core::recipe::{Environment, Network, Overrides, Setting, TestSet};

const SOUND: &str = "name = \"mine\"\nimage = \"mine:1\"\n[settings]\nrun = [\"make\", \"test\"]\nwhat = \"all\"\ncell_timeout = \"1m\"\n[[tier]]\nname = \"t\"\nrun = [\"sh\", \"${settings.run}\", \"${settings.what}\"]\n";

/// A folder for recipes, with one recipe in it.
fn with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(name)).unwrap();
    fs::write(folder.path().join(name).join("recipe.toml"), text).unwrap();
    folder
}

fn load(folder: &tempfile::TempDir, settings: &Settings) -> Result<Shelf, RecipeError> {
    let unpack = tempfile::tempdir().unwrap();
    Shelf::load(&[folder.path().to_owned()], unpack.path(), settings)
}

/// The mistakes, with paths from the folder on.
fn mistakes(folder: &tempfile::TempDir, settings: &Settings) -> Vec<String> {
    let error = load(folder, settings).unwrap_err().to_string();
    let here = format!("{}/", folder.path().display());
    error.lines().map(|line| line.replace(&here, "")).collect()
}

fn set(name: &str, value: Value) -> Settings {
    let setting = Setting { value, place: Place { file: "docent.toml".into(), line: 7, column: 3 } };
    let overrides = Overrides { place: Place::default(), values: [(name.to_owned(), setting)].into() };
    [("mine".to_owned(), overrides)].into()
}

#[test]
fn the_shipped_recipes_are_sound() {
    let unpack = tempfile::tempdir().unwrap();
    let shelf = Shelf::load(&[], unpack.path(), &Settings::new()).unwrap();
    assert_eq!(shelf.recipes.keys().collect::<Vec<_>>(), ["command", "notebook"]);
    let notebook = &shelf.recipes["notebook"];
    let names: Vec<&str> = notebook.tiers.iter().map(|tier| tier.name.as_str()).collect();
    assert_eq!(names, ["validate", "resolve", "environment", "imports", "notebooks", "extra"]);
    assert!(notebook.tiers[0].is_built_in());
    for tier in &notebook.tiers[1..3] {
        assert_eq!(
            (tier.network, tier.environment, tier.is_gate),
            (Network::Index, Environment::Write, true)
        );
    }
    assert!(notebook.tiers[5].is_opt_in);
    assert_eq!(notebook.tiers[5].tests, Some(TestSet::ExtraNotebooks));
    assert_eq!(notebook.settings["cell_timeout"], 600);
    assert_eq!(shelf.recipes["command"].tiers[0].run, ["make", "test"]);
    for name in ["command", "notebook"] {
        let build = shelf.builds(name).next().unwrap();
        assert!(build.containerfile.as_ref().unwrap().is_file() && build.image == shelf.recipes[name].image);
        assert!(shelf.folder(name).unwrap().join("recipe.toml").is_file());
    }
}

#[test]
fn shipped_recipes_are_unpacked_whole_and_mended_where_harmed() {
    let unpack = tempfile::tempdir().unwrap();
    let place = shipped::unpack(unpack.path()).unwrap();
    let digest = folder::digest(&place).unwrap();
    assert_eq!(shipped::unpack(unpack.path()).unwrap(), place);
    fs::write(place.join("notebook/recipe.toml"), "").unwrap();
    fs::remove_file(place.join("command/recipe.toml")).unwrap();
    assert_eq!(shipped::unpack(unpack.path()).unwrap(), place);
    assert_eq!(folder::digest(&place).unwrap(), digest);
    assert_eq!(fs::read_dir(unpack.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_digest_is_of_the_content_and_of_nothing_else() {
    let (one, two) = (with("mine", SOUND), with("mine", SOUND));
    let digest = |folder: &tempfile::TempDir| folder::digest(&folder.path().join("mine")).unwrap();
    assert_eq!(digest(&one), digest(&two));
    fs::create_dir_all(one.path().join("mine/a/__pycache__")).unwrap();
    fs::write(one.path().join("mine/a/__pycache__/x.pyc"), "x").unwrap();
    assert_eq!(digest(&one), digest(&two));
    fs::write(one.path().join("mine/a/b"), "x").unwrap();
    fs::write(two.path().join("mine/b"), "x").unwrap();
    assert_ne!(digest(&one), digest(&two));
}

#[test]
fn settings_of_the_operator_take_the_place_of_the_recipes() {
    let folder = with("mine", SOUND);
    let run = |settings| load(&folder, &settings).unwrap().recipes["mine"].tiers[0].run.clone();
    assert_eq!(run(Settings::new()), ["sh", "make", "test", "all"]);
    assert_eq!(run(set("run", json!(["just"]))), ["sh", "just", "all"]);
    for (name, value, wanted) in [
        (
            "rum",
            json!(["just"]),
            "docent.toml:7:3: [recipes]: the recipe \"mine\" has no setting \"rum\" (did you mean \"run\"?)",
        ),
        ("run", json!("just"), "docent.toml:7:3: [recipes]: run of the recipe \"mine\" must be a list"),
        (
            "cell_timeout",
            json!(true),
            "docent.toml:7:3: [recipes]: cell_timeout of the recipe \"mine\" must be a number",
        ),
    ] {
        assert_eq!(mistakes(&folder, &set(name, value)), [wanted]);
    }
    let empty = mistakes(&folder, &set("run", json!([])));
    assert_eq!(
        empty,
        [
            "mine/recipe.toml:9:14: tier \"t\": run: settings.run must be a text or a list of texts, and not empty"
        ]
    );
}

#[test]
fn each_mistake_is_named_at_its_place() {
    let head = "name = \"mine\"\nimage = \"mine:1\"\n";
    let tier = "[[tier]]\nname = \"t\"\nrun = [\"x\"]\n";
    for (text, wanted) in [
        (format!("image = \"x\"\n{tier}"), "1:1: recipe: name is missing"),
        (format!("name = \"Mine\"\nimage = \"x\"\n{tier}"), "1:8: recipe \"Mine\": name must be at most 32"),
        (
            format!("name = \"other\"\nimage = \"x\"\n{tier}"),
            "1:8: recipe \"other\": name must be the name of the recipe's folder",
        ),
        (
            format!("name = \"mine\"\nimage = \"-x\"\n{tier}"),
            "2:9: recipe \"mine\": image must be the name of an image",
        ),
        (
            format!("name = \"mine\"\nimage = \"x\"\ndetect = [\"*\", \"a[\"]\n{tier}"),
            "3:16: recipe \"mine\": detect: error parsing",
        ),
        (head.to_owned(), "1:1: recipe \"mine\": there is no [[tier]]"),
        (
            format!("{head}{tier}[build]\npackages = [\"bash\", \"-x\"]"),
            "7:21: [build]: packages: \"-x\" is no name",
        ),
        (
            format!("{head}{tier}[build]\npython = [\"--index-url=x\"]"),
            "7:11: [build]: python: \"--index-url=x\" is no name",
        ),
        (format!("{head}{tier}[build]\ncontainerfile = \"../x\""), "7:17: [build]: containerfile must be"),
        (format!("{head}{tier}[build]\ncontainerfile = \"absent\""), "7:17: [build]: containerfile must be"),
        (format!("{head}{tier}[limits]\nmemory = \"1KiB\""), "7:10: [limits]: memory must be at least"),
        (format!("{head}{tier}[limits]\ncpus = 0"), "7:8: [limits]: cpus must be between"),
        (
            format!("{head}{tier}[limits]\ncpu = 1"),
            "7:1: [limits]: unknown key \"cpu\" (did you mean \"cpus\"?)",
        ),
        (format!("{head}{tier}[settings]\nx_limit = \"1 MB\""), "7:11: [settings]: x_limit must be a size"),
        (format!("{head}{tier}timeout = \"0s\""), "6:11: tier \"t\": timeout must be at least 1s"),
        (
            format!("{head}{tier}network = \"indx\""),
            "6:11: tier \"t\": network must be one of none, index, egress, not \"indx\" (did you mean \"index\"?)",
        ),
        (format!("{head}{tier}environment = \"read\""), "6:15: tier \"t\": no earlier tier has environment"),
        (format!("{head}{tier}tests = \"all\""), "6:9: tier \"t\": tests must be one of"),
        (
            format!("{head}{tier}gates = true"),
            "6:1: tier \"t\": unknown key \"gates\" (did you mean \"gate\"?)",
        ),
        (format!("{head}{tier}{tier}"), "7:8: tier \"t\": there are two tiers of that name"),
        (
            format!("{head}[[tier]]\nname = \"t\""),
            "3:1: tier \"t\": run is missing: only validate is built into docent",
        ),
        (format!("{head}[[tier]]\nname = \"t\"\nrun = []"), "5:7: tier \"t\": run is empty"),
        (
            format!("{head}[[tier]]\nname = \"t\"\nrun = [\"a${{settings.b}}\"]"),
            "5:8: tier \"t\": run: a setting is replaced only",
        ),
        (
            format!("{head}[[tier]]\nname = \"t\"\nrun = [\"${{settings.b}}\"]"),
            "5:8: tier \"t\": run: there is no settings.b",
        ),
    ] {
        let found = mistakes(&with("mine", &text), &Settings::new());
        let wanted = format!("mine/recipe.toml:{wanted}");
        assert!(found.len() == 1 && found[0].starts_with(&wanted), "{text}\n{found:#?}\n{wanted}");
    }
}

#[test]
fn a_recipe_holds_all_of_itself() {
    let folder = with("mine", SOUND);
    let mine = folder.path().join("mine");
    fs::create_dir(mine.join("sub")).unwrap();
    symlink("../recipe.toml", mine.join("sub/fine")).unwrap();
    symlink("sub", mine.join("alias")).unwrap();
    assert!(load(&folder, &Settings::new()).is_ok());
    fs::write(folder.path().join("secret"), "x").unwrap();
    for (target, wanted) in [
        ("../secret", "mine/link: is a link out of the recipe (../secret)"),
        ("alias/../../secret", "mine/link: is a link out of the recipe"),
        ("absent", "mine/link: is a link that leads nowhere (absent)"),
        ("link", "mine/link: is a link that leads nowhere (link)"),
    ] {
        symlink(target, mine.join("link")).unwrap();
        let found = mistakes(&folder, &Settings::new());
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{found:#?}");
        fs::remove_file(mine.join("link")).unwrap();
    }
    symlink(mine.join("sub"), mine.join("link")).unwrap();
    assert!(mistakes(&folder, &Settings::new())[0].starts_with("mine/link: is a link out of the recipe"));
}

#[test]
fn a_folder_of_recipes_may_hold_links_to_recipes() {
    let (real, path) = (with("mine", SOUND), tempfile::tempdir().unwrap());
    symlink(real.path().join("mine"), path.path().join("mine")).unwrap();
    let shelf = load(&path, &Settings::new()).unwrap();
    assert_eq!(shelf.recipes["mine"].digest, folder::digest(&real.path().join("mine")).unwrap());
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = with("mine", SOUND);
    fs::create_dir_all(folder.path().join("other/recipe.toml")).unwrap();
    fs::write(folder.path().join("mine/recipe.toml"), b"name = \"mine\"\n# \xff").unwrap();
    let found = mistakes(&folder, &Settings::new());
    assert_eq!(found[0], "mine/recipe.toml:2:3: it is not UTF-8 text from here on");
    assert!(found[1].starts_with("other/recipe.toml: cannot be read: "), "{found:#?}");

    let unpack = tempfile::tempdir().unwrap();
    let path = [folder.path().join("mine"), folder.path().join("absent")];
    let error = Shelf::load(&path, unpack.path(), &Settings::new()).unwrap_err().to_string();
    assert!(error.contains("/mine: is itself a recipe"), "{error}");
    assert!(error.contains("/absent: this folder of recipe_path cannot be read"), "{error}");
}

#[test]
fn the_operators_recipes_come_first_and_the_reason_is_told() {
    let folder = with(
        "zebra",
        "name = \"zebra\"\nimage = \"z\"\ndetect = [\"zebra.txt\", \"**/*.ipynb\"]\n[[tier]]\nname = \"t\"\nrun = [\"x\"]\n",
    );
    let shelf = load(&folder, &Settings::new()).unwrap();
    let paths = ["a/b.ipynb".to_owned()];
    assert_eq!(shelf.detect(&paths).unwrap().name, "zebra");
    let fits: Vec<_> =
        shelf.fits(&paths).map(|fit| (fit.recipe.name.as_str(), fit.pattern, fit.path)).collect();
    assert_eq!(fits, [("zebra", "**/*.ipynb", "a/b.ipynb"), ("notebook", "**/*.ipynb", "a/b.ipynb")]);
    let none = shelf.detect(&["README".to_owned()]).unwrap_err().to_string();
    assert!(none.contains("tried zebra, command, notebook"), "{none}");
}

#[test]
fn a_recipe_of_the_operator_takes_the_place_of_a_shipped_one() {
    let folder =
        with("command", "name = \"command\"\nimage = \"mine\"\n[[tier]]\nname = \"t\"\nrun = [\"x\"]\n");
    assert_eq!(load(&folder, &Settings::new()).unwrap().recipes["command"].image, "mine");
}
