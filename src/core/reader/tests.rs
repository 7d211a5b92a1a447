//! Every mistake at its place, and none twice.

use super::*;

#[test]
fn times_and_sizes_have_one_unit() {
    assert_eq!(duration("90s"), Some(Duration::seconds(90)));
    assert_eq!(duration("30d"), Some(Duration::days(30)));
    assert_eq!(size("2GiB"), Some(2 << 30));
    for bad in ["", "5", "s", "-5s", "5 m", "1.5h", "99999999999999999999d", "9223372036854775807d"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
    for bad in ["", "5", "5MB", "-1MiB", "99999999999TiB", "8388608TiB"] {
        assert_eq!(size(bad), None, "{bad}");
    }
}

#[test]
fn settings_are_in_seconds_and_bytes() {
    let text = "[settings]\ncell_timeout = \"10m\"\nlimit = \"2KiB\"\nstart_timeout = 3\nx_limit = \"2 KB\"\nat = 0x10\n";
    let source = Source::new("x.toml", text);
    let parsed = source.parse();
    let settings = Table::new(&source, "file", 0..0, parsed.get_ref()).table("settings").unwrap().settings();
    let values: Vec<_> = settings.iter().map(|(name, setting)| format!("{name}={}", setting.value)).collect();
    assert_eq!(values, ["at=16", "cell_timeout=600", "limit=2048", "start_timeout=3"]);
    assert_eq!(settings["limit"].place.to_string(), "x.toml:3:9");
    assert!(
        source.into_mistakes()[0].to_string().starts_with("x.toml:5:11: [settings]: x_limit must be a size")
    );
}

#[test]
fn what_is_no_toml_hides_nothing_and_is_said_once() {
    let text = "size = \n[[item]]\nname = x\nsise = 1\n[list]\nlist = [1,\nx = \"x\"\n[z\n";
    let found = |text: &str| {
        let source = Source::new("x.toml", text);
        let parsed = source.parse();
        let table = Table::new(&source, "file", 0..0, parsed.get_ref());
        table.size("size", 1);
        for item in table.tables("item") {
            item.required("name");
            item.close();
        }
        if let Some(list) = table.table("list") {
            list.texts("list");
            list.close();
        }
        table.missing("other");
        table.close();
        source.into_mistakes().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        found(text),
        [
            "x.toml:1:8: string values must be quoted, expected literal string",
            "x.toml:3:8: string values must be quoted, expected literal string",
            "x.toml:4:1: item 1: unknown key \"sise\"",
            "x.toml:7:1: string values must be quoted, expected literal string",
        ]
    );
    assert_eq!(found("size = \"x\"\ng h = 1\n[[item]\n[[\n").len(), 2);
    assert_eq!(found("size = \"1B"), ["x.toml:1:11: invalid basic string, expected `\"`"]);
}

#[test]
fn every_mistake_is_noted_with_its_place() {
    let text = "name = 3\ncolour = \"red\"\n\n[[item]]\nsize = \"5 apples\"\nsise = 1\n";
    let source = Source::new("x.toml", text);
    let parsed = source.parse();
    let table = Table::new(&source, "file", 0..0, parsed.get_ref());
    assert_eq!(table.text("name"), None);
    for item in table.tables("item") {
        assert_eq!(item.size("size", 1), None);
        item.close();
    }
    table.close();
    let mistakes: Vec<String> = source.into_mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "x.toml:1:8: file: name must be a text in quotes",
            "x.toml:2:1: file: unknown key \"colour\"",
            "x.toml:5:8: item 1: size must be a size such as \"64KiB\", \"512MiB\" or \"2GiB\"",
            "x.toml:6:1: item 1: unknown key \"sise\" (did you mean \"size\"?)",
        ]
    );
}
