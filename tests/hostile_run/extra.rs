//! docs/extra-tests.md, carried out: its files are the repository, and what it says of the run is what becomes of it.

use std::collections::BTreeMap;
use std::fs;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use crate::bench::{Bench, NOTEBOOK, Ran};
use crate::hostile::not_run;

/// The files of the document's repository, by path.
fn files() -> BTreeMap<String, String> {
    let document = fs::read_to_string("docs/extra-tests.md").unwrap();
    let (mut files, mut open) = (BTreeMap::new(), None);
    for event in Parser::new(&document) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                let name = info.split_whitespace().find_map(|word| word.strip_prefix("file=survey/"));
                open = name.map(str::to_owned);
            }
            Event::Text(text) => {
                if let Some(name) = &open {
                    *files.entry(name.clone()).or_insert_with(String::new) += &text;
                }
            }
            Event::End(TagEnd::CodeBlock) => open = None,
            _ => {}
        }
    }
    assert_eq!(files.len(), 4, "{files:?}");
    files
}

fn tests(ran: &Ran, tier: &str) -> Vec<(String, String)> {
    let tests = ran.tier(tier)["tests"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut tests: Vec<_> = tests.iter().map(|test| (text(&test["name"]), text(&test["outcome"]))).collect();
    tests.sort();
    tests
}

pub fn the_document_is_carried_out(executor: &'static str) {
    let bench = match Bench::new(executor, NOTEBOOK) {
        Ok(bench) => bench,
        Err(why) => return not_run(if executor == "container" { "engine" } else { executor }, &why),
    };
    let repo = bench.path("survey");
    for (name, content) in files() {
        let place = repo.join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, content).unwrap();
    }
    let usual = bench.start(&repo, "notebook", "resolve", "", &[]).wait(600);
    let extra = bench.start(&repo, "notebook", "resolve", "", &["--extra-tests"]).wait(600);
    for ran in [&usual, &extra] {
        assert_eq!((ran.code, ran.result["verdict"].as_str()), (0, Some("pass")), "{}", ran.said);
        assert!(ran.said.contains("✔ pass: 1 passed"), "{}", ran.said);
    }
    // A default run knows nothing of extra tests, and has the same lock.
    assert!(usual.result["extra_verdict"].is_null() && !usual.said.contains("extra"), "{}", usual.said);
    let lock = |ran: &Ran| {
        let place = ran.output.join("r1-resolve-1/artifacts/requirements.lock");
        fs::read_to_string(place).unwrap_or_else(|error| panic!("{error}: {}", ran.said))
    };
    assert_eq!(lock(&usual), lock(&extra));
    assert!(!lock(&extra).contains("pytest"));
    assert_eq!(extra.result["extra_verdict"], "pass", "{}", extra.said);
    assert!(extra.said.contains("extra tests: pass: 2 passed"), "{}", extra.said);
    let names = ["tests/extra/test_survey.py::test_a_million_names", "tests/test_names.py::test_a_long_name"];
    let document = fs::read_to_string("docs/extra-tests.md").unwrap();
    assert!(names.iter().all(|name| document.contains(name)));
    assert_eq!(tests(&extra, "extra"), names.map(|name| (name.to_owned(), "passed".to_owned())));
    bench.assert_nothing_left(&[&usual, &extra]);
}
