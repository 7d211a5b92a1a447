//! The example is a configuration, and every mistake has its place.

use super::*;

const FORGE: &str = "[[forge]]\nname = \"f\"\nkind = \"gitea\"\nurl = \"https://git.example.org\"\n";

/// The mistakes of a text, as `line:column text`.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = parse("x", text).err().unwrap_or_default();
    mistakes.iter().map(|mistake| mistake.to_string().replacen("x:", "", 1)).collect()
}

#[test]
fn the_example_of_the_documentation_is_a_configuration() {
    let text = std::fs::read_to_string("docs/docent.example.toml").unwrap();
    let config = parse("docent.example.toml", &text).unwrap();
    assert_eq!((config.slots, config.forges.len(), config.repositories.len()), (2, 2, 1));
    assert_eq!(config.repositories[0].allow[0], Allow::Account { login: "mira".into(), number: 1042 });
    assert_eq!(config.forges[1].app, Some((12345, 67890)));
    assert_eq!(config.recipe_settings["command"].values["run"].value[0], "make");
    assert_eq!(config.public_url.as_deref(), Some("https://docent.example.org"));
}

#[test]
fn nothing_at_all_is_a_configuration_that_watches_nothing() {
    let config = parse("x", "").unwrap();
    assert!(config.forges.is_empty() && config.listen.ip().is_loopback());
}

#[test]
fn each_mistake_is_named_at_its_place() {
    let top: &[(&str, &str)] = &[
        ("state_dir = 3", "1:13 configuration: state_dir must be a text in quotes"),
        ("state_dri = \"x\"", "1:1 configuration: unknown key \"state_dri\" (did you mean \"state_dir\"?)"),
        ("listen = \"0.0.0.0:80\"", "1:10 configuration: listen is not a loopback address"),
        ("listen = \"here\"", "1:10 configuration: listen must be an address and a port"),
        ("public_url = \"ftp://x\"", "1:14 configuration: public_url must begin with https://"),
        ("public_url = \"https://a:b@x\"", "1:14 configuration: public_url must hold no user name"),
        ("public_url = \"https://x/?a\"", "1:14 configuration: public_url must have no ?"),
        ("public_url = \"x\"", "1:14 configuration: public_url is no address"),
        ("recipe_path = \"x\"", "1:15 configuration: recipe_path must be a list of texts"),
        ("recipe_path = [1]", "1:16 configuration: recipe_path must hold texts"),
        ("executor = 1", "1:12 configuration: executor must be a table"),
        (
            "[executor]\nkind = \"lxc\"",
            "2:8 [executor]: kind must be one of auto, container, sandbox, not \"lxc\"",
        ),
        (
            "[executor]\nindex_hosts = [\"index.example.org\", \"https://a/simple\"]",
            "2:37 [executor]: index_hosts: \"https://a/simple\" is no host of an index: write \"index.example.org\", \
             \"index.example.org:8443\" or, without TLS, \"http://index.example.org\"",
        ),
        ("[executor]\nslots = 0", "2:9 [executor]: slots must be at least 1"),
        ("[executor]\nslots = -1", "2:9 [executor]: slots must be at least 1"),
        ("[executor]\nslots = 1.5", "2:9 [executor]: slots must be a whole number"),
        ("[limits]\noffer_lifetime = \"soon\"", "2:18 [limits]: offer_lifetime must be a length of time"),
        ("[limits]\noffer_lifetime = \"1s\"", "2:18 [limits]: offer_lifetime must be at least 60s"),
        ("[limits]\nqueue = 3", "2:1 [limits]: unknown key \"queue\" (did you mean \"queue_limit\"?)"),
        ("[commands]\nmarker = \"!!\"", "2:10 [commands]: marker must be one character"),
        ("[commands]\nmarker = \"#\"", "2:10 [commands]: the command marker '#'"),
        ("[commands]\nretry = \"testme\"", "2:9 [commands]: the command word \"testme\" stands for two"),
        ("[recipes]\nx = 3", "2:5 [recipes]: x must be a table"),
        ("[executor]\nslots = 99999999999999999999", "2:9 [executor]: slots must be at most 1000"),
        ("[limits]\noffer_lifetime = \"99999d\"", "2:18 [limits]: offer_lifetime must be at most 3650d"),
        ("[limits]\nretention = \"1m\"", "2:13 [limits]: retention must be at least 3600s"),
        ("state_dir = \"\"", "1:13 configuration: state_dir is empty"),
        ("state_dir = \"a\\u0000\"", "1:13 configuration: state_dir holds control characters"),
        (
            "[recipes.x]\nsetings = {}",
            "2:1 [recipes] \"x\": unknown key \"setings\" (did you mean \"settings\"?)",
        ),
        ("[recipes.x.settings]\na_timeout = \"x\"", "2:13 [settings]: a_timeout must be a length of time"),
        ("# ö\n  listn = \"x\"", "2:3 configuration: unknown key \"listn\" (did you mean \"listen\"?)"),
        ("a = 1\na = 2", "2:1 duplicate key"),
        ("a =", "1:4 "),
    ];
    let forge: &[(&str, &str)] = &[
        ("[[forge]]\nkind = \"gitea\"\nurl = \"https://x\"", "1:1 forge 1: name is missing"),
        (
            "[[forge]]\nname = \"f\"\nkind = \"gitlab\"\nurl = \"https://x\"",
            "3:8 forge \"f\": gitlab comes later",
        ),
        (
            "[[forge]]\nname = \"f\"\nkind = \"svn\"\nurl = \"https://x\"",
            "3:8 forge \"f\": kind must be one of github, gitea, forgejo, gitlab, not \"svn\"",
        ),
        ("[[forge]]\nname = \"f\"\nkind = \"gitea\"", "1:1 forge \"f\": url is missing"),
        (
            "[[forge]]\nname = \"f\"\nkind = \"gitea\"\nurl = \"http://x\"",
            "4:7 forge \"f\": url would send credentials",
        ),
    ];
    for (text, wanted) in top.iter().chain(forge) {
        let found = mistakes(text);
        let wanted = wanted.replacen(' ', ": ", 1);
        assert!(
            found.iter().any(|mistake| mistake.starts_with(&wanted)),
            "{text:?}\n  {found:#?}\n  {wanted}"
        );
    }
    let below: &[(&str, &str)] = &[
        ("poll_interval = \"0s\"", "5:17: forge \"f\": poll_interval must be at least 1s"),
        ("watch_credential = \"../x\"", "5:20: forge \"f\": watch_credential must be the name of a file"),
        ("app_id = 3", "5:10: forge \"f\": app_id is for GitHub Apps"),
        (
            "watch_credential = \"a\"\nreport_credential = \"a\"",
            "6:21: forge \"f\": the watch credential cannot be",
        ),
        (
            "pol_interval = \"5s\"",
            "5:1: forge \"f\": unknown key \"pol_interval\" (did you mean \"poll_interval\"?)",
        ),
        ("[[repository]]\nforge = \"g\"\nname = \"a/b\"", "6:9: repository \"a/b\": there is no [[forge]]"),
        ("[[repository]]\nforge = \"f\"\nname = \"ab\"", "7:8: repository \"ab\": name must be owner/name"),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/..\"",
            "7:8: repository \"a/..\": name must be owner/name",
        ),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/b\"\npaths = [\"a[\"]",
            "8:10: repository \"a/b\": paths: error parsing glob",
        ),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/b\"\nallow = [\"mira\"]",
            "8:10: repository \"a/b\": allow: \"mira\" must be",
        ),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/b\"\nallow = [\"mira:x\"]",
            "8:10: repository \"a/b\": allow: ",
        ),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/b\"\nallow = [\"permission:own\"]",
            "8:10: repository \"a/b\": allow: ",
        ),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/b\"\n[[repository]]\nforge = \"f\"\nname = \"A/B\"",
            "10:8: repository \"A/B\": the repository is listed twice",
        ),
    ];
    for (text, wanted) in below {
        let found = mistakes(&format!("{FORGE}{text}"));
        assert!(
            found.iter().any(|mistake| mistake.starts_with(wanted)),
            "{text:?}\n  {found:#?}\n  {wanted}"
        );
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let text = "state_dri = 1\n[executor]\nslots = 0\nkind = \"x\"\n[[repository]]\nname = \"a/b\"\n";
    assert_eq!(mistakes(text).len(), 4, "{:#?}", mistakes(text));
}

#[test]
fn a_secret_that_stands_where_its_name_should_is_not_repeated() {
    let found = mistakes(&format!("{FORGE}watch_credential = \"s3cret/+=\""));
    assert!(found.len() == 1 && !found.concat().contains("s3cret"), "{found:#?}");
}

#[test]
fn paths_are_relative_to_the_file_and_loopback_is_known_in_all_its_forms() {
    let config =
        parse("/etc/docent/docent.toml", "state_dir = \"state\"\nrecipe_path = [\"/r\", \"mine\"]").unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/docent/state"));
    assert_eq!(config.recipe_path, [Path::new("/r"), Path::new("/etc/docent/mine")]);
    for near in ["http://localhost:3000", "http://127.1.2.3", "http://[::1]:80"] {
        let text = FORGE.replace("https://git.example.org", near);
        assert!(parse("x", &text).is_ok(), "{near}");
    }
    assert!(parse("x", "listen = \"[::1]:0\"").is_ok());
    assert!(parse("x", "listen = \"0.0.0.0:1\"\nlisten_publicly = true").is_ok());
}

#[test]
fn what_is_seldom_meant_is_said() {
    let text = format!(
        "{FORGE}[[forge]]\nname = \"g\"\nkind = \"github\"\n[[repository]]\nforge = \"f\"\nname = \"a/b\"\nrecipe = \"notebok\""
    );
    let config = parse("x", &text).unwrap();
    assert_eq!(config.forges[1].url.as_str(), "https://github.com/");
    let warnings: Vec<String> = config.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "x:8:1: repository \"a/b\": nobody may start runs: its allow list is empty",
            "x:6:8: forge \"g\": no [[repository]] is watched there",
        ]
    );
    let unknown = config.unknown_recipes(["command", "notebook"].into_iter());
    assert_eq!(
        lines(&unknown),
        "x:11:10: repository \"a/b\": there is no recipe \"notebok\" (did you mean \"notebook\"?); there are: command, notebook. \
         recipe_path says where more are"
    );
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("docent.toml");
    let said = |content: &[u8]| {
        std::fs::write(&file, content).unwrap();
        load(&file).unwrap_err().to_string()
    };
    assert!(said(b"a = 1\n\"\xff\" = 2").ends_with("docent.toml:2:2: it is not UTF-8 text from here on"));
    assert!(said(&[b'#'; 2 << 20]).contains("larger than 1 MiB"));
    assert!(said("x = ]\n".repeat(1000).as_bytes()).lines().count() <= 200);
    std::fs::remove_file(&file).unwrap();
    assert!(load(&file).unwrap_err().to_string().contains("docent.toml: No such file"));
    assert_eq!(find(Some(&file)).unwrap(), file);
}

proptest::proptest! {
    #[test]
    fn a_damaged_configuration_gives_mistakes_inside_it(at in 0usize..2600, len in 0usize..40, with in "[\\[\\]{}=\"'#\n a-z0-9ö.]{0,6}") {
        let example = std::fs::read_to_string("docs/docent.example.toml").unwrap();
        let mut text: String = example.chars().take(at).collect();
        text.push_str(&with);
        text.extend(example.chars().skip(at + len));
        for mistake in parse("x", &text).err().unwrap_or_default() {
            let line = text.split('\n').nth(mistake.place.line - 1).unwrap();
            proptest::prop_assert!((1..=line.chars().count() + 1).contains(&mistake.place.column), "{mistake}");
        }
    }
}

const PUBLISH: &str = "[[repository]]\nforge = \"f\"\nname = \"a/b\"\nallow = [\"m:1\"]\nbranches = [\"main\", \"dev\"]\n\
    [repository.publish]\n";

#[test]
fn where_specs_go_is_read_with_a_credential_of_its_own() {
    let with = |text: &str| format!("{FORGE}watch_credential = \"watch\"\n{PUBLISH}{text}");
    let whole = "to = \"registry.example.org:5000/astro/images\"\npublish_credential = \"push\"\n";
    let config = parse("x", &with(whole)).unwrap();
    let publish = config.repositories[0].publish.clone().unwrap();
    assert_eq!(publish.to(), "registry.example.org:5000/astro/images");
    assert_eq!(
        (publish.credential.as_str(), publish.branches.as_slice()),
        ("push", &["main".into(), "dev".into()][..])
    );
    let more = format!("{whole}branches = [\"dev\"]\naliases = [\"latest\", \"{{name}}_latest\"]\n");
    let publish = parse("x", &with(&more)).unwrap().repositories[0].publish.clone().unwrap();
    assert_eq!((publish.branches.len(), publish.aliases.len()), (1, 2));
    for (text, wanted) in [
        ("to = \"registry.example.org/a/b\"", "publish_credential is missing"),
        ("publish_credential = \"push\"", "to is missing"),
        ("to = \"astro/images\"\npublish_credential = \"push\"", "to must be REGISTRY/PROJECT"),
        ("to = \"registry.example.org/a/b:c\"\npublish_credential = \"push\"", "to must be REGISTRY/PROJECT"),
        (
            "to = \"https://registry.example.org/a\"\npublish_credential = \"push\"",
            "to must be REGISTRY/PROJECT",
        ),
        (
            "to = \"registry.example.org/a/b\"\npublish_credential = \"watch\"",
            "is a credential of forge \"f\" already",
        ),
        ("to = \"registry.example.org/a/b\"\npublish_credential = \"me:s3cret\"", "the name of a file"),
        (&format!("{whole}branches = [\"mian\"]"), "is none of the branches that are watched"),
        (&format!("{whole}aliases = [\"a b\"]"), "cannot be a tag"),
        (&format!("{whole}aliases = [\"{{name}}_3\"]"), "is what images of runs are called"),
        (&format!("{whole}aliases = [\"nbs_x\"]"), "is what images of runs are called"),
        (&format!("{whole}password = \"x\""), "unknown key \"password\""),
    ] {
        let told = mistakes(&with(text));
        assert!(told.len() == 1 && told[0].contains(wanted), "{text}: {told:?}");
        assert!(!told[0].contains("s3cret"));
    }
    let unwatched = with(whole).replace("branches = [\"main\", \"dev\"]\n", "");
    assert!(mistakes(&unwatched)[0].contains("only runs of watched branches"), "{:?}", mistakes(&unwatched));
}
