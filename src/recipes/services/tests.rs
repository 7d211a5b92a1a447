//! Services are read strictly, and each mistake is named at its place.

use std::fs;

use crate::core::recipe::Settings;
use crate::recipes::{RecipeError, Shelf};

const HEAD: &str = "name = \"mine\"\nimage = \"mine:1\"\n[[tier]]\nname = \"t\"\nrun = [\"x\"]\n";

fn load(services: &str) -> Result<Shelf, Vec<String>> {
    let (folder, unpack) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/recipe.toml"), format!("{HEAD}{services}")).unwrap();
    Shelf::load(&[folder.path().to_owned()], unpack.path(), &Settings::new()).map_err(|error| {
        let RecipeError::Mistakes(mistakes) = error else { panic!("{error}") };
        let file = folder.path().join("mine/recipe.toml").display().to_string();
        mistakes.iter().map(|mistake| mistake.to_string().replace(&format!("{file}:"), "")).collect()
    })
}

/// A service, line by line: `[[service]]` is line 6 of the file.
fn service(name: &str, more: &str) -> String {
    format!("[[service]]\nname = {name:?}\nimage = \"s:1\"\nport = 6379\n{more}\n")
}

#[test]
fn services_are_read_in_the_order_in_which_they_come_up() {
    let more = "run = [\"serve\", \"\"]\nafter = [\"db\"]\nhealth = [\"ask\"]\nhealth_timeout = \"5m\"\nopt_in = true\n\
                memory = \"64MiB\"\ndisk = \"32MiB\"\ncpus = 0.5\nprocesses = 9\nlog = \"2KiB\"\n\
                [service.variables]\nEMPTY = \"\"\nLINES = \"a\\nb\"\n[service.build]\npackages = [\"redis-server\"]\n";
    let shelf = load(&(service("a-1", more) + &service("db", "") + &service("other", ""))).unwrap();
    let services = &shelf.recipes["mine"].services;
    let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
    // Two services may have one port: each has an address of its own.
    assert_eq!(names, ["db", "a-1", "other"]);
    let a = &services[1];
    assert_eq!((a.run.join(" "), a.health.join(" ")), ("serve ".to_owned(), "ask".to_owned()));
    assert_eq!((a.health_seconds, a.is_opt_in, a.port), (300, true, 6379));
    assert_eq!(a.variables["LINES"], "a\nb");
    assert_eq!(a.variables["EMPTY"], "");
    let limits = (a.limits.memory_bytes, a.limits.disk_bytes, a.limits.cpus, a.limits.processes);
    assert_eq!(limits, (64 << 20, 32 << 20, 0.5, 9));
    let db = &services[0];
    assert_eq!((db.health_seconds, db.limits.memory_bytes, db.limits.disk_bytes), (60, 1 << 30, 256 << 20));
    assert_eq!((db.run.len(), db.health.len(), db.is_opt_in), (0, 0, false));
    let builds: Vec<_> =
        shelf.builds("mine").map(|build| (build.image.as_str(), build.packages.len())).collect();
    assert_eq!(builds, [("s:1", 1)]);
}

#[test]
fn each_mistake_is_named_at_its_place() {
    for (text, wanted) in [
        ("[[service]]\nimage = \"s\"\nport = 1\n".to_owned(), "6:1: service 1: name is missing"),
        ("[[service]]\nname = \"a\"\nport = 1\n".to_owned(), "6:1: service \"a\": image is missing"),
        ("[[service]]\nname = \"a\"\nimage = \"s\"\n".to_owned(), "6:1: service \"a\": port is missing"),
        (service("A", ""), "7:8: service \"A\": name is the name of a host"),
        (service("a_b", ""), "7:8: service \"a_b\": name is the name of a host"),
        (service("-a", ""), "7:8: service \"-a\": name is the name of a host"),
        (service("a-", ""), "7:8: service \"a-\": name is the name of a host"),
        (service("a.b", ""), "7:8: service \"a.b\": name is the name of a host"),
        (service("a b;", ""), "7:8: service \"a b;\": name is the name of a host"),
        (service("../a", ""), "7:8: service \"../a\": name is the name of a host"),
        (service("1a", ""), "7:8: service \"1a\": name is the name of a host"),
        (service("caf\u{e9}", ""), "7:8: service \"caf\u{e9}\": name is the name of a host"),
        (
            service(&"a".repeat(33), ""),
            "7:8: service \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": name is the name of",
        ),
        (service("localhost", ""), "7:8: service \"localhost\": a host calls itself that"),
        (service("a", "") + &service("a", ""), "12:8: service \"a\": there are two services of that name"),
        (service("a", "").replace("6379", "0"), "9:8: service \"a\": port must be at least 1"),
        (service("a", "").replace("6379", "65536"), "9:8: service \"a\": port must be at most 65535"),
        (service("a", "").replace("6379", "\"http\""), "9:8: service \"a\": port must be a whole number"),
        (service("a", "").replace("s:1", "-s"), "8:9: service \"a\": image must be the name of an image"),
        (
            service("a", "after = [\"a\"]"),
            "10:10: service \"a\": after: these services wait for each other: a after a",
        ),
        (
            service("a", "after = [\"b\"]")
                + &service("b", "after = [\"x\", \"c\"]")
                + &service("x", "")
                + &service("c", "after = [\"b\"]"),
            "25:10: service \"c\": after: these services wait for each other: b after c after b",
        ),
        (
            service("cache", "") + &service("b", "after = [\"cahce\"]"),
            "15:10: service \"b\": after: there is no service \"cahce\" (did you mean \"cache\"?)",
        ),
        (
            service("a", "opt_in = true") + &service("b", "after = [\"a\"]"),
            "15:10: service \"b\": after: a is opt_in, so b must be as well",
        ),
        (service("a", "run = [\"\", \"x\"]"), "10:8: service \"a\": run begins with the program"),
        (service("a", "health = [\"x\", 1]"), "10:16: service \"a\": health must hold texts in quotes"),
        (service("a", "run = []"), "10:7: service \"a\": run is empty"),
        (service("a", "health = []"), "10:10: service \"a\": health is empty"),
        (service("a", "health_timeout = \"0s\""), "10:18: service \"a\": health_timeout must be at least 1s"),
        (service("a", "timeout = \"5m\""), "10:11: service \"a\": a service lives as long as its run"),
        (service("a", "disk = \"2GiB\""), "10:8: service \"a\": disk must be at most memory"),
        (service("a", "network = \"egress\""), "10:1: service \"a\": unknown key \"network\""),
        (service("a", "variables = { PATH = \"x\" }"), "10:22: [variables]: PATH is docent's to set"),
        (
            service("a", "variables = { DOCENT_RUN = \"x\" }"),
            "10:28: [variables]: DOCENT_RUN is docent's to set",
        ),
        (
            service("a", "variables = { \"a=b\" = \"x\" }"),
            "10:23: [variables]: \"a=b\" is no name of a variable",
        ),
        (service("a", "variables = { A = 1 }"), "10:19: [variables]: A must be a text in quotes"),
        (service("a", "variables = { A = \"\\u0000\" }"), "10:19: [variables]: A holds a NUL character"),
        (service("a", "build = { packages = [\"-x\"] }"), "10:23: [build]: packages: \"-x\" is no name"),
    ] {
        let found = load(&text).expect_err(&text);
        assert!(found.len() == 1 && found[0].starts_with(wanted), "{text}\n{found:#?}\n{wanted}");
    }
    let many: String = (0..40).map(|at| service(&format!("s{at}"), "")).collect();
    assert!(load(&many).unwrap_err()[0].contains("there are more than 32 services"));
}
