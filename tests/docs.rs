//! The documentation is run: its commands, its configurations, its recipes; and what it lists is compared with what there is.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use docent::config;
use docent::core::command::{Grammar, read};
use docent::core::recipe::Settings;
use docent::recipes::Shelf;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use regex::Regex;
use serde_json::Value;
use support::not_run;

/// Kinds of console blocks that need something which a test of documents has not.
const NEEDS: [(&str, &str); 3] = [
    ("forge", "a forge"),
    ("executor", "an executor with its image; tests/demo.rs and the executors' tests have them"),
    ("machine", "a machine to set up"),
];

/// One fenced block.
#[derive(Debug)]
struct Block {
    document: String,
    language: String,
    words: Vec<String>,
    text: String,
}

impl Block {
    fn file(&self) -> Option<&str> {
        self.words.iter().find_map(|word| word.strip_prefix("file="))
    }

    fn is_recipe(&self) -> bool {
        self.language == "toml" && self.text.contains("[[tier]]")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents() -> Vec<String> {
    let walk = walkdir::WalkDir::new(root().join("docs")).sort_by_file_name();
    let files = walk.into_iter().map(|entry| entry.unwrap().into_path());
    let inside = files.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let mut documents: Vec<String> =
        inside.map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()).collect();
    documents.extend(["README.md".to_owned(), "recipes/README.md".to_owned()]);
    assert!(documents.len() > 12, "{documents:?}");
    documents
}

fn blocks(document: &str) -> Vec<Block> {
    let whole = text(document);
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for event in Parser::new(&whole) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let mut words = info.split_whitespace().map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let document = document.to_owned();
                open = Some(Block { document, language, words: words.collect(), text: String::new() });
            }
            Event::Text(piece) => {
                if let Some(block) = &mut open {
                    block.text.push_str(&piece);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}

fn all_blocks(language: &str) -> Vec<Block> {
    let all = documents().into_iter().flat_map(|document| blocks(&document));
    let found: Vec<Block> = all.filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "there is no {language} in the documents");
    found
}

/// What is in backticks in the first column of the tables of a document.
fn first_column(document: &str) -> BTreeSet<String> {
    let quoted = Regex::new("`([^`]+)`").unwrap();
    let whole = text(document);
    let rows = whole.lines().filter_map(|line| line.trim().strip_prefix('|')?.split_once('|'));
    let names = rows.flat_map(|(cell, _)| quoted.captures_iter(cell).map(|found| found[1].to_owned()));
    names.collect()
}

/// Where the blocks of one document are carried out. Paths of a real machine stand for places in here.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.write("docent.toml", &text("docs/docent.example.toml"));
        desk
    }

    fn write(&self, name: &str, content: &str) {
        let file = self.folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let state = self.folder.path().join("state");
        fs::write(file, content.replace("/var/lib/docent", &state.to_string_lossy())).unwrap();
    }

    fn run(&self, command: &str) -> (i32, String) {
        let docent = Path::new(env!("CARGO_BIN_EXE_docent")).parent().unwrap().to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([docent].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("home-state"))
            .env_remove("DOCENT_LOG")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }
}

/// The commands of a console block, the exit code that each promises, and the lines that it shows.
fn commands(block: &Block) -> Vec<(String, i32, Vec<String>)> {
    let mut commands: Vec<(String, i32, Vec<String>)> = Vec::new();
    for line in block.text.lines().filter(|line| !line.trim().is_empty()) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => {
                let code =
                    command.split_once("# exit code ").map_or(0, |(_, code)| code.trim().parse().unwrap());
                commands.push((command.to_owned(), code, Vec::new()));
            }
            (None, Some((.., shown))) => shown.push(line.trim().to_owned()),
            (None, None) => panic!("{}: a console block begins with `$ `: {line}", block.document),
        }
    }
    commands
}

#[test]
fn the_commands_of_the_documents_do_what_they_show() {
    let mut left_out = vec![0; NEEDS.len()];
    let mut ran = 0;
    for document in documents().into_iter().filter(|document| document.starts_with("docs/")) {
        let desk = Desk::new();
        for block in blocks(&document) {
            if let Some(file) = block.file() {
                desk.write(file, &block.text);
            }
            if block.language != "console" {
                continue;
            }
            let commands = commands(&block);
            assert!(!commands.is_empty(), "{document}: an empty console block");
            if let Some(word) = block.words.first() {
                let kind = NEEDS.iter().position(|(kind, _)| kind == word);
                left_out[kind.unwrap_or_else(|| panic!("{document}: a console block of kind {word}"))] += 1;
                continue;
            }
            for (command, code, shown) in commands {
                let (ended, said) = desk.run(&command);
                assert_eq!(ended, code, "{document}: `{command}` said\n{said}");
                for line in shown {
                    assert!(
                        said.contains(&line),
                        "{document}: `{command}` does not say {line:?} but\n{said}"
                    );
                }
                ran += 1;
            }
        }
    }
    for ((_, what), count) in NEEDS.iter().zip(left_out) {
        println!("not run: {count} console blocks need {what}");
    }
    println!("{ran} commands ran");
    assert!(ran >= 10);
}

#[test]
fn every_configuration_is_one_and_every_recipe_loads() {
    for block in all_blocks("toml") {
        if block.is_recipe() {
            let folder = tempfile::tempdir().unwrap();
            let name = block.text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
            let place = folder.path().join("path").join(name.unwrap());
            fs::create_dir_all(&place).unwrap();
            fs::write(place.join("recipe.toml"), &block.text).unwrap();
            let path = [folder.path().join("path")];
            let shelf = Shelf::load(&path, &folder.path().join("shipped"), &Settings::new());
            let shelf = shelf.unwrap_or_else(|error| panic!("{}: {error}", block.document));
            assert_eq!(shelf.recipes.len(), 3, "{}: it has the name of a shipped one", block.document);
        } else if let Err(mistakes) = config::parse(&block.document, &block.text) {
            panic!("{mistakes:#?}\n{}", block.text);
        }
    }
}

#[test]
fn every_json_is_json_and_every_shell_line_is_shell() {
    for block in all_blocks("json") {
        let read = serde_json::from_str::<Value>(&block.text);
        assert!(read.is_ok(), "{}: {read:?}", block.document);
    }
    let folder = tempfile::tempdir().unwrap();
    for block in all_blocks("sh") {
        let file = folder.path().join("example.sh");
        fs::write(&file, &block.text).unwrap();
        let output = Command::new("sh").arg("-n").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}: {}", block.document, String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_nix_expression_is_one() {
    let folder = tempfile::tempdir().unwrap();
    for block in all_blocks("nix") {
        let file = folder.path().join("example.nix");
        fs::write(&file, &block.text).unwrap();
        match Command::new("nix-instantiate").arg("--parse").arg(&file).output() {
            Err(error) => return not_run("nix", &format!("nix-instantiate: {error}")),
            Ok(output) => {
                assert!(
                    output.status.success(),
                    "{}: {}",
                    block.document,
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
    }
}

/// The step of the example recipe, as docent runs it but for the sandbox.
#[test]
fn the_step_of_the_example_recipe_works() {
    let document = "docs/how-to/write-a-recipe.md";
    let step = blocks(document).into_iter().find(|block| block.language == "python").unwrap();
    let desk = Desk::new();
    desk.write("links.py", &step.text);
    desk.write("in/plan.json", r#"{"settings": {"folder": "manual"}}"#);
    desk.write("repo/manual/good.md", "[other](bad.md) [far](https://example.org/x) [here](#top)");
    desk.write("repo/manual/bad.md", "[gone](nowhere.md)");
    fs::create_dir(desk.folder.path().join("out")).unwrap();
    let step = "DOCENT_REPO=repo DOCENT_IN=in DOCENT_OUT=out python3 links.py";
    if desk.run("python3 --version").0 != 0 {
        return not_run("python", "there is no python3");
    }
    assert_eq!(desk.run(step), (1, String::new()));
    let outputs = fs::read_to_string(desk.folder.path().join("out/outputs.json")).unwrap();
    let outputs: Value = serde_json::from_str(&outputs).unwrap();
    let told = |number: usize| (&outputs["tests"][number]["name"], &outputs["tests"][number]["outcome"]);
    assert_eq!(told(0), (&Value::from("manual/bad.md"), &Value::from("failed")));
    assert_eq!(told(1), (&Value::from("manual/good.md"), &Value::from("passed")));
    desk.run("rm -r repo/manual && mkdir repo/manual");
    assert_eq!(desk.run(step).0, 77, "nothing to do");
}

/// Every command with its flags, from the program's own help.
fn help(desk: &Desk, command: &str, found: &mut Vec<(String, BTreeSet<String>)>) {
    let (code, said) = desk.run(&format!("{command} --help"));
    assert_eq!(code, 0, "{said}");
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?(--[a-z-]+)").unwrap();
    let flags = flag.captures_iter(&said).map(|found| found[1].to_owned());
    let everywhere = ["--help", "--version", "--config"];
    let flags = flags.filter(|flag| !everywhere.contains(&flag.as_str())).collect();
    let below = said.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap().to_owned());
    let name = Regex::new(r"(?m)^  ([a-z]+) ").unwrap();
    let below: Vec<String> = below
        .iter()
        .flat_map(|below| name.captures_iter(below).map(|found| found[1].to_owned()))
        .filter(|name| name != "help")
        .collect();
    if below.is_empty() {
        found.push((command.to_owned(), flags));
    }
    for name in below {
        help(desk, &format!("{command} {name}"), found);
    }
}

#[test]
fn the_command_line_is_described_as_it_is() {
    let document = text("docs/reference/command-line.md");
    let mut commands = Vec::new();
    help(&Desk::new(), "docent", &mut commands);
    assert!(commands.len() >= 15, "{commands:?}");
    let mut known = BTreeSet::from(["--config".to_owned(), "--help".to_owned()]);
    for (command, flags) in commands {
        assert!(document.contains(&command), "`{command}` is not described");
        // What is said of a command stands under its heading, or under that of the group.
        let top = command.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let section = document.split("\n## ").find(|section| section.starts_with(&format!("{top}\n")));
        let section = section.unwrap_or_else(|| panic!("no section for `{top}`"));
        for flag in &flags {
            assert!(section.contains(flag), "`{command} {flag}` is not described");
        }
        known.extend(flags);
    }
    let flag = Regex::new(r"`[^`]*?(--[a-z][a-z-]+)").unwrap();
    for found in flag.captures_iter(&document) {
        assert!(known.contains(&found[1]), "{} is described and is not there", &found[1]);
    }
}

#[test]
fn the_configuration_is_described_key_by_key() {
    let key = Regex::new(r"(?m)^(?:# )?([a-z_]+) = ").unwrap();
    let example = text("docs/docent.example.toml");
    let settings = example.split_once("[recipes.command.settings]").unwrap();
    let settings = [settings.0, settings.1.split_once("[[forge]]").unwrap().1].concat();
    let keys: BTreeSet<String> = key.captures_iter(&settings).map(|found| found[1].to_owned()).collect();
    let described = first_column("docs/reference/configuration.md");
    let described: BTreeSet<String> = described.into_iter().filter(|name| !name.contains('"')).collect();
    assert_eq!(described, keys);
    // A key that is read and shown nowhere would be found by nobody.
    let methods = "text|texts|flag|number|required|duration|path|safe_address|address|credential|whole|value";
    let read = Regex::new(&format!(r#"\b(?:{methods})\((?:&?table, )?"([a-z_]+)""#)).unwrap();
    let files = ["src/config.rs", "src/config/forge.rs", "src/config/publish.rs", "src/config/repository.rs"];
    let source: String = files.into_iter().map(text).collect();
    let read: BTreeSet<&str> =
        read.captures_iter(&source).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(read.len() > 25, "{read:?}");
    for name in read {
        assert!(keys.contains(name), "{name} is read and not in the example");
    }
    assert!(config::parse("docs/docent.example.toml", &example).is_ok());
}

#[test]
fn every_refusal_code_is_described_and_every_described_one_is_used() {
    let code = Regex::new(r#"(?:Refusal::new|refuse)\(\s*"([a-z-]+)""#).unwrap();
    let mut used = BTreeSet::new();
    for entry in walkdir::WalkDir::new(root().join("src/core")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            let source = fs::read_to_string(&path).unwrap();
            used.extend(code.captures_iter(&source).map(|found| found[1].to_owned()));
        }
    }
    assert_eq!(first_column("docs/reference/codes.md"), used);
}

#[test]
fn the_fields_of_result_json_are_those_of_its_schema() {
    let schema: Value = serde_json::from_str(&text("docs/schema/result.schema.json")).unwrap();
    let fields: BTreeSet<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(first_column("docs/reference/result.md"), fields);
}

#[test]
fn the_example_commands_are_commands() {
    let examples = blocks("docs/reference/commands.md");
    let lines: Vec<&str> = examples
        .iter()
        .filter(|block| block.language == "text")
        .flat_map(|block| block.text.lines())
        .collect();
    assert!(lines.len() >= 4);
    for line in lines {
        let reading = read(line, &Grammar::default());
        assert!(matches!(reading.found.as_slice(), [one] if one.command.is_ok()), "{line}: {reading:?}");
    }
}

/// What operators look up must be what docent writes.
#[test]
fn the_described_log_lines_are_in_the_sources() {
    let mut sources = String::new();
    // What the daemon itself says while it works, as distinct from single adapters.
    let mut operating = text("src/secrets.rs");
    for entry in walkdir::WalkDir::new(root().join("src")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            if path.starts_with(root().join("src/daemon")) {
                operating += &source;
            }
            sources += &source;
        }
    }
    let document = text("docs/how-to/operate.md");
    let section = document.split("\n## Lines in the log").nth(1).unwrap().split("\n## ").next().unwrap();
    let line = Regex::new(r"(?m)^\| `([^`]+)`").unwrap();
    let lines: Vec<&str> = line.captures_iter(section).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(lines.len() > 10);
    let said = Regex::new(r#"tracing::(?:warn|error)!\([^"]*"([^"{]+)""#).unwrap();
    let mut messages = 0;
    for message in said.captures_iter(&operating).map(|found| found[1].to_owned()) {
        assert!(lines.iter().any(|line| message.contains(line)), "nothing describes «{message}»");
        messages += 1;
    }
    assert!(messages > 10, "only {messages} were found");
    for line in lines {
        for piece in line.split('…') {
            assert!(sources.contains(piece.trim()), "no source says {piece:?} of `{line}`");
        }
    }
}

/// tests/tidy looks whether the file of a link is there; this, whether the heading is.
#[test]
fn links_to_headings_lead_to_headings() {
    let link = Regex::new(r"\]\(([^)\s#]*)#([^)\s]+)\)").unwrap();
    let mut count = 0;
    for document in documents() {
        let whole = text(&document);
        let folder = Path::new(&document).parent().unwrap();
        for found in link.captures_iter(&whole).filter(|found| !found[1].contains("://")) {
            let target = match &found[1] {
                "" => document.clone(),
                file => folder.join(file).to_string_lossy().into_owned(),
            };
            let target = text(&target);
            let headings = target.lines().filter_map(|line| line.strip_prefix('#'));
            let mut slugs = headings.map(|line| slug(line.trim_start_matches('#')));
            assert!(slugs.any(|slug| slug == found[2]), "{document}: no heading for {}", &found[0]);
            count += 1;
        }
    }
    assert!(count >= 3);
}

/// As forges make them of headings.
fn slug(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
