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
    assert_eq!(config.recipe_settings["command"]["run"][0], "make");
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
        ("state_dri = \"x\"", "1:1 configuration: unknown key state_dri (did you mean state_dir?)"),
        ("listen = \"0.0.0.0:80\"", "1:10 configuration: listen is not a loopback address"),
        ("listen = \"here\"", "1:10 configuration: listen must be an address and a port"),
        ("public_url = \"ftp://x\"", "1:14 configuration: public_url must begin with https://"),
        ("public_url = \"https://a:b@x\"", "1:14 configuration: public_url must hold no user name"),
        ("public_url = \"https://x/?a\"", "1:14 configuration: public_url must have no ?"),
        ("public_url = \"x\"", "1:14 configuration: public_url is no address"),
        ("recipe_path = \"x\"", "1:15 configuration: recipe_path must be a list of texts"),
        ("recipe_path = [1]", "1:16 configuration: recipe_path must hold texts"),
        ("executor = 1", "1:12 configuration: executor must be a table"),
        ("[executor]\nkind = \"lxc\"", "2:8 [executor]: kind must be auto, container or sandbox"),
        ("[executor]\nslots = 0", "2:9 [executor]: slots must be at least 1"),
        ("[executor]\nslots = -1", "2:9 [executor]: slots must be at least 1"),
        ("[executor]\nslots = 1.5", "2:9 [executor]: slots must be a whole number"),
        ("[limits]\noffer_lifetime = \"soon\"", "2:18 [limits]: offer_lifetime must be a length of time"),
        ("[limits]\noffer_lifetime = \"1s\"", "2:18 [limits]: offer_lifetime must be at least 60s"),
        ("[limits]\nqueue = 3", "2:1 [limits]: unknown key queue"),
        ("[commands]\nmarker = \"!!\"", "2:10 [commands]: marker must be one character"),
        ("[commands]\nmarker = \"#\"", "1:1 [commands]: the command marker '#'"),
        ("[commands]\nretry = \"testme\"", "1:1 [commands]: the command word \"testme\" stands for two"),
        ("[recipes]\nx = 3", "2:5 [recipes]: x must be a table"),
        ("a = 1\na = 2", "2:1 "),
        ("a =", "1:4 "),
    ];
    let forge: &[(&str, &str)] = &[
        ("[[forge]]\nkind = \"gitea\"\nurl = \"https://x\"", "1:1 forge 1: name is missing"),
        (
            "[[forge]]\nname = \"f\"\nkind = \"gitlab\"\nurl = \"https://x\"",
            "3:8 forge \"f\": gitlab is not supported yet",
        ),
        ("[[forge]]\nname = \"f\"\nkind = \"svn\"\nurl = \"https://x\"", "3:8 forge \"f\": kind must be"),
        ("[[forge]]\nname = \"f\"\nkind = \"gitea\"", "1:1 forge \"f\": url is missing"),
        (
            "[[forge]]\nname = \"f\"\nkind = \"gitea\"\nurl = \"http://x\"",
            "4:7 forge \"f\": url would send the credential",
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
        ("app_id = 3", "5:10: forge \"f\": app_id and installation_id belong together"),
        (
            "watch_credential = \"a\"\nreport_credential = \"a\"",
            "6:21: forge \"f\": the watch credential must not be",
        ),
        ("pol_interval = \"5s\"", "5:1: forge \"f\": unknown key pol_interval (did you mean poll_interval?)"),
        ("[[repository]]\nforge = \"g\"\nname = \"a/b\"", "6:9: repository \"a/b\": there is no [[forge]]"),
        ("[[repository]]\nforge = \"f\"\nname = \"ab\"", "7:8: repository \"ab\": name must be owner/name"),
        (
            "[[repository]]\nforge = \"f\"\nname = \"a/..\"",
            "7:8: repository \"a/..\": name must be owner/name",
        ),
        ("[[repository]]\nforge = \"f\"\nname = \"a/b\"\npaths = [\"a[\"]", "8:10: paths: "),
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
