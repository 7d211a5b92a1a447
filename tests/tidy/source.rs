//! The rules for one source file.
//!
//! They read tokens, not text: what stands in a comment or a string is no import, and what stands in a macro is.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The floors of `docs/architecture.md`, lowest first. A module uses floors below its own and itself, nothing else:
/// neighbours never meet. `demo` is an outside thing made of docent's own parts, so it stands above all but `cli`.
const FLOORS: &[&[&str]] = &[
    &["core"],
    &[
        "config",
        "bundle",
        "recipes",
        "secrets",
        "clock",
        "telemetry",
        "git",
        "forge",
        "executor",
        "store",
        "publish",
        "install",
    ],
    &["daemon", "web"],
    &["demo"],
    &["cli"],
    &["main"],
];

/// What the core must not touch, because then it could fail, wait or differ for outside reasons.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "rusqlite",
    "axum",
    "bollard",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Local::now",
    "async",
];

/// Reading the clock, which one file does.
const CLOCK: &[&str] = &["Utc::now", "Local::now", "SystemTime::now"];

/// Words that say nothing about what a type is.
const EMPTY_WORDS: &[&str] = &["Manager", "Handler", "Service", "Util", "Utils"];

/// One token and its line. Groups stand as their two delimiters.
struct Token {
    text: String,
    line: usize,
}

/// Everything wrong with the source at `path` (`src/…`, with `/`).
pub fn complaints_about_source(path: &str, text: &str) -> Vec<String> {
    let Ok(stream) = text.parse::<TokenStream>() else {
        return vec![format!("{path}:1: is no Rust")];
    };
    let modules = modules_of(path);
    // A file of tests that stands apart from what it tests is under no rule but the words.
    let is_test = modules.iter().any(|module| *module == "tests" || module.ends_with("_tests"));
    let mut tokens = Vec::new();
    if !is_test {
        flatten(stream, &mut tokens);
    }
    let home = modules[0];
    let mut complaints = Vec::new();
    if home != "lib" {
        imports(path, home, modules.len(), &tokens, &mut complaints);
    }
    if home == "core" {
        for name in IMPURE {
            for line in occurrences(&tokens, name) {
                complaints.push(format!(
                    "{path}:{line}: `{name}` in core, which does no I/O, reads no clock and waits for nothing"
                ));
            }
        }
    }
    if home != "clock" && home != "demo" {
        for name in CLOCK {
            for line in occurrences(&tokens, name) {
                complaints.push(format!(
                    "{path}:{line}: `{name}`: only src/clock.rs reads the clock; take the time as an argument"
                ));
            }
        }
    }
    panics(path, &tokens, &mut complaints);
    words(path, &tokens, &mut complaints);
    complaints
}

/// `src/forge/gitea.rs` → `forge`, `gitea`; `src/forge/mod.rs` → `forge`.
fn modules_of(path: &str) -> Vec<&str> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    inner.trim_end_matches("/mod").split('/').collect()
}

/// Lays the tokens out in order, without items under `#[cfg(test)]` or `#[test]`.
fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Punct(punct)
                if punct.as_char() == '#' && trees.peek().is_some_and(is_test_attribute) =>
            {
                // The item ends with its body, or with a semicolon where it has none.
                for skipped in trees.by_ref() {
                    match skipped {
                        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                        TokenTree::Punct(punct) if punct.as_char() == ';' => break,
                        _ => {}
                    }
                }
            }
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                into.push(Token { text: open.to_owned(), line });
                let end = group.span_close().start().line;
                flatten(group.stream(), into);
                into.push(Token { text: close.to_owned(), line: end });
            }
            other => into.push(Token { text: other.to_string(), line }),
        }
    }
}

fn is_test_attribute(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    let inside: String = group.stream().into_iter().map(|tree| tree.to_string()).collect();
    inside == "test" || inside.replace(' ', "") == "cfg(test)"
}

/// Complains about every use of a module that stands no lower than the user's own.
fn imports(path: &str, home: &str, depth: usize, tokens: &[Token], complaints: &mut Vec<String>) {
    let floor_of = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let Some(floor) = floor_of(home) else {
        complaints.push(format!(
            "{path}:1: module `{home}` stands on no floor; give it one in tests/tidy/source.rs"
        ));
        return;
    };
    for (module, line) in top_modules_used(tokens, depth) {
        // What is no module of the house is an item of lib.rs, which has none but modules.
        let Some(other) = floor_of(&module) else { continue };
        if module != home && other >= floor {
            let relation = if other == floor { "its neighbour" } else { "above it" };
            complaints.push(format!(
                "{path}:{line}: `{home}` (floor {floor}) uses `{module}` (floor {other}), {relation}; only floors below may be used"
            ));
        }
    }
}

/// The modules right under the crate's root that are named: `crate::X`, `crate::{X, Y}`, `docent::X`, and `super::…`
/// as far as it climbs to the root from a module `depth` deep.
fn top_modules_used(tokens: &[Token], depth: usize) -> Vec<(String, usize)> {
    let text = |index: usize| tokens.get(index).map_or("", |token| token.text.as_str());
    let is_path = |index: usize| text(index) == ":" && text(index + 1) == ":";
    let mut used = Vec::new();
    for start in 0..tokens.len() {
        let mut after = start;
        match text(start) {
            "crate" | "docent" if is_path(start + 1) => after += 3,
            "super" if start == 0 || text(start - 1) != ":" => {
                let mut climbed = 0;
                while text(after) == "super" && is_path(after + 1) {
                    climbed += 1;
                    after += 3;
                }
                if climbed < depth {
                    continue;
                }
            }
            _ => continue,
        }
        if text(after) != "{" {
            used.push((text(after).to_owned(), tokens[start].line));
            continue;
        }
        // A braced list: the first word of each entry, not what stands in braces further in.
        let mut nesting = 0;
        for index in after..tokens.len() {
            match text(index) {
                "{" => nesting += 1,
                "}" => nesting -= 1,
                _ => {}
            }
            if nesting == 0 {
                break;
            }
            if nesting == 1 && matches!(text(index), "{" | ",") {
                used.push((text(index + 1).to_owned(), tokens.get(index + 1).map_or(0, |token| token.line)));
            }
        }
    }
    used
}

/// The lines where a name stands, be it one word or a path; `std::{fs, io}` counts for `std::fs`.
fn occurrences(tokens: &[Token], name: &str) -> Vec<usize> {
    let wanted: Vec<&str> = name.split("::").collect();
    let mut lines = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if token.text != wanted[0] {
            continue;
        }
        let [_, last] = wanted[..] else {
            lines.push(token.line);
            continue;
        };
        let rest: Vec<&str> = tokens[index + 1..].iter().take(3).map(|token| token.text.as_str()).collect();
        let is_there = match rest[..] {
            [":", ":", "{"] => {
                let group = tokens[index + 4..].iter().take_while(|token| token.text != ";");
                group.into_iter().any(|token| token.text == last)
            }
            [":", ":", next] => next == last,
            _ => false,
        };
        if is_there {
            lines.push(token.line);
        }
    }
    lines
}

/// Files with which tests set up the embedded forge: a name that is not there is the caller's mistake, nothing from outside.
const SET_UPS: [&str; 2] = ["src/demo/forge/setup.rs", "src/demo/forge/conversation.rs"];

fn panics(path: &str, tokens: &[Token], complaints: &mut Vec<String>) {
    for window in tokens.windows(3) {
        let [before, name, after] = window else { continue };
        let word = name.text.as_str();
        let is_call = before.text == "." && matches!(word, "unwrap" | "expect") && after.text == "(";
        if is_call {
            complaints.push(format!(
                "{path}:{}: `.{word}()` outside tests; give the error a name and return it",
                name.line
            ));
        }
    }
    for window in tokens.windows(2) {
        let [name, bang] = window else { continue };
        let word = name.text.as_str();
        if word == "panic" && SET_UPS.contains(&path) {
            continue;
        }
        if bang.text == "!" && matches!(word, "panic" | "todo" | "unimplemented" | "dbg") {
            complaints.push(format!(
                "{path}:{}: `{word}!` outside tests; nothing may panic or stand half done",
                name.line
            ));
        }
    }
}

fn words(path: &str, tokens: &[Token], complaints: &mut Vec<String>) {
    for window in tokens.windows(2) {
        let [kind, name] = window else { continue };
        let name_line = name.line;
        let name = name.text.as_str();
        match kind.text.as_str() {
            "struct" | "enum" | "trait" | "type" | "union" => {
                // A service by itself is what stands beside the tiers of a run: a word of the glossary.
                let is_empty = |word: &&&str| name.ends_with(**word) && name != "Service";
                if let Some(word) = EMPTY_WORDS.iter().find(is_empty) {
                    complaints.push(format!(
                        "{path}:{name_line}: type `{name}`: `{word}` says nothing; name what it is"
                    ));
                }
            }
            "fn" if name.starts_with("get_") => {
                complaints.push(format!("{path}:{name_line}: function `{name}`: leave out `get_`"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complaints_about_source;
    use crate::assert_caught;

    #[test]
    fn an_import_of_a_higher_floor_or_a_neighbour_is_caught() {
        let found = |path, text| complaints_about_source(path, text);
        assert_caught(
            found("src/core/plan.rs", "//! Why.\nuse crate::forge::Forge;"),
            "src/core/plan.rs:2:",
            "above it",
        );
        assert_caught(
            found("src/forge/gitea.rs", "use crate::store;"),
            "src/forge/gitea.rs:1:",
            "its neighbour",
        );
        assert_caught(
            found("src/git.rs", "use crate::{core::id, daemon::{poll, step}};"),
            "src/git.rs:1:",
            "`daemon`",
        );
        assert_caught(
            found("src/core/run.rs", "fn f() { super::super::web::page() }"),
            "src/core/run.rs:1:",
            "`web`",
        );
        assert_caught(found("src/core/mod.rs", "use super::store;"), "src/core/mod.rs:1:", "`store`");
        assert_caught(
            found("src/store/mod.rs", "fn f() { g!(crate::git::fetch()) }"),
            "src/store/mod.rs:1:",
            "`git`",
        );
        assert_caught(
            found("src/daemon/poll.rs", "use crate::demo::Forge;"),
            "src/daemon/poll.rs:1:",
            "above it",
        );
        assert_caught(found("src/helpers.rs", ""), "src/helpers.rs:1:", "no floor");
    }

    #[test]
    fn an_import_of_a_lower_floor_or_of_oneself_is_allowed() {
        for (path, text) in [
            ("src/core/plan.rs", "use crate::core::{id::RunId, time::Time}; use super::id;"),
            (
                "src/forge/gitea.rs",
                "use crate::core::id; use crate::forge::Forge; use super::{Cursor, http};",
            ),
            ("src/daemon/poll.rs", "use crate::{core, forge::Forge, store};"),
            (
                "src/demo/mod.rs",
                "use crate::daemon; use crate::core::time::Time; fn now() { chrono::Utc::now(); }",
            ),
            ("src/cli/serve.rs", "use crate::{web, demo, config};"),
            ("src/main.rs", "use docent::cli;"),
            ("src/lib.rs", "pub mod core; pub mod forge;"),
            (
                "src/core/id.rs",
                "// use crate::forge;\n/// `crate::store` keeps it.\nconst T: &str = \"crate::web .unwrap() Instant\";",
            ),
        ] {
            assert_eq!(complaints_about_source(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn impurity_in_the_core_is_caught() {
        for text in [
            "use std::fs;",
            "use std::{collections::BTreeMap, process::Command};",
            "fn f() { std::env::var(\"X\"); }",
            "use std::time::Instant;",
            "async fn f() {}",
            "use tokio::sync::mpsc;",
        ] {
            assert_caught(
                complaints_about_source("src/core/plan.rs", text),
                "src/core/plan.rs:1:",
                "in core",
            );
        }
        assert_eq!(
            complaints_about_source("src/git.rs", "use std::fs; async fn f() {}"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_second_reader_of_the_clock_is_caught() {
        let text = "fn f() {\n    chrono::Utc::now();\n}";
        assert_caught(
            complaints_about_source("src/store/mod.rs", text),
            "src/store/mod.rs:2:",
            "src/clock.rs",
        );
        assert_eq!(complaints_about_source("src/clock.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_way_to_panic_is_caught_outside_tests_only() {
        for text in [
            "fn f() { x.unwrap(); }",
            "fn f() { x.expect(\"y\"); }",
            "fn f() { panic!() }",
            "fn f() { todo!() }",
        ] {
            assert_caught(complaints_about_source("src/git.rs", text), "src/git.rs:1:", "outside tests");
        }
        for text in [
            "#[cfg(test)]\nmod tests { fn f() { x.unwrap(); panic!() } }",
            "#[cfg(test)]\nuse crate::web;",
            "fn f() { x.unwrap_or_default(); }",
        ] {
            assert_eq!(complaints_about_source("src/git.rs", text), Vec::<String>::new());
        }
        let after_tests = "#[cfg(test)]\nmod tests {}\nfn f() { x.unwrap(); }";
        assert_caught(complaints_about_source("src/git.rs", after_tests), "src/git.rs:3:", "unwrap");
        assert_eq!(
            complaints_about_source("src/forge/tests.rs", "fn f() { x.unwrap(); }"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_empty_word_is_caught() {
        assert_caught(
            complaints_about_source("src/git.rs", "pub struct RunManager;"),
            "src/git.rs:1:",
            "`Manager`",
        );
        assert_caught(complaints_about_source("src/git.rs", "fn get_head() {}"), "src/git.rs:1:", "`get_`");
        assert_eq!(
            complaints_about_source("src/git.rs", "use tower::Service; struct Serviced;"),
            Vec::<String>::new()
        );
    }
}
