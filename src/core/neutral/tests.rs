use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::*;

/// The text that a reader sees inside code, or the event that does not belong there.
fn carried(markdown: &str) -> Result<String, String> {
    let mut carried = String::new();
    let mut in_block = false;
    for event in Parser::new_ext(markdown, Options::all()) {
        match event {
            Event::Code(text) => carried.push_str(&text),
            Event::Start(Tag::CodeBlock(_)) => in_block = true,
            Event::End(TagEnd::CodeBlock) => in_block = false,
            Event::Text(text) if in_block => carried.push_str(&text),
            Event::Text(text)
                if text.starts_with("Left out above: ") || text.starts_with("The last line") => {}
            Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
            event => return Err(format!("{event:?}")),
        }
    }
    Ok(carried)
}

fn assert_no_line_outside_a_fence_commands(markdown: &str) {
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        let run: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if line == open => fence = None,
            Some(_) => assert!(!line.trim_start().starts_with(['!', '/', '@']), "{line:?}"),
            None if run.len() >= 3 && line == format!("{run}text") => fence = Some(run),
            None => assert!(!line.starts_with(['!', '/', '@']), "{line:?}"),
        }
    }
    assert!(fence.is_none(), "open fence in {markdown:?}");
}

#[test]
fn inline_shows_hostile_text_as_text() {
    let table: &[(&str, &str)] = &[
        ("plain", "`plain`"),
        ("", "`(empty)`"),
        (" \n\t ", "`(empty)`"),
        ("two\r\nlines", "`two lines`"),
        ("@mira fixes #1", "`@mira fixes #1`"),
        ("!testme", "`!testme`"),
        ("/close", "`/close`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        ("```", "```` ``` ````"),
        ("\u{1b}[31mred\u{1b}[0m", "`red`"),
        ("\u{1b}]8;;https://evil.example\u{7}link\u{1b}]8;;\u{7}", "`link`"),
        ("abc\u{202e}cba", "`abc\\u{202e}cba`"),
        ("zero\u{200b}width", "`zero\\u{200b}width`"),
        ("bell\u{7}", "`bell\\u{7}`"),
        ("<!-- docent:run -->", "`<!- - docent:run -->`"),
        ("<img src=x onerror=y>", "`<img src=x onerror=y>`"),
        ("](https://evil.example)", "`](https://evil.example)`"),
        ("a|b", "`a|b`"),
    ];
    for (text, expected) in table {
        assert_eq!(inline(text, 80), *expected, "{text:?}");
    }
    assert_eq!(inline("abcdef", 4), "`abc…`");
    assert_eq!(inline("äöü", 3), "`äöü`");
}

#[test]
fn a_cell_keeps_its_bars_inside() {
    for (text, seen) in [("a|b", "a|b"), ("||", "||"), (r"a\|b", r"a\¦b"), (r"a\", r"a\"), ("`|`", "`|`")] {
        let table = format!("| x | y |\n| --- | --- |\n| {} | end |\n", cell(text, 40));
        let cells: Vec<String> = Parser::new_ext(&table, Options::ENABLE_TABLES)
            .filter_map(|event| match event {
                Event::Code(text) | Event::Text(text) => Some(text.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(cells, ["x", "y", seen, "end"], "{table}");
    }
}

#[test]
fn a_path_shows_every_character_and_keeps_the_file_name() {
    assert_eq!(path("a b/c.ipynb"), "`a b/c.ipynb`");
    assert_eq!(path("-rf\n\"x\"\u{202e}"), "`-rf\\n\"x\"\\u{202e}`");
    assert_eq!(path(" lead"), "`  lead `");
    let long = path(&format!("{}/last.ipynb", "d/".repeat(5000)));
    assert!(long.starts_with("`…") && long.ends_with("/last.ipynb`"), "{long}");
    assert_eq!(long.chars().count(), PATH_CHARS + 2);
}

#[test]
fn a_block_keeps_the_end_and_says_what_is_missing() {
    assert_eq!(block("one\ntwo\n", 5, 100), "```text\none\ntwo\n```\n");
    assert_eq!(block("", 5, 100), "```text\n\n```\n");
    assert_eq!(
        block("one\ntwo\nthree", 2, 100),
        "```text\ntwo\nthree\n```\n\nLeft out above: 1 line, 4 bytes.\n"
    );
    assert_eq!(
        block("aaaa\nbbbb\ncccc", 9, 9),
        "```text\nbbbb\ncccc\n```\n\nLeft out above: 1 line, 5 bytes.\n"
    );
    assert_eq!(block("a\n\nb", 9, 9), "```text\na\n\nb\n```\n");
    assert_eq!(block("ééé", 9, 3), "```text\né…\n```\n\nThe last line is cut at its end.\n");
}

#[test]
fn a_block_shows_lines_as_a_terminal_left_them() {
    assert_eq!(block("10%\r50%\r100%\r\ndone", 9, 99), "```text\n100%\ndone\n```\n");
    assert_eq!(block("\u{1b}[1mbold\u{1b}[0m\tx", 9, 99), "```text\nbold    x\n```\n");
    assert_eq!(block("a\u{8}b", 9, 99), "```text\na\\u{8}b\n```\n");
    assert_eq!(block("```\n# out\n````", 9, 99), "`````text\n```\n# out\n````\n`````\n");
    assert_eq!(block("/close\n  !testme\n@mira", 9, 99), "```text\n› /close\n›   !testme\n› @mira\n```\n");
}

#[test]
fn large_texts_cost_what_is_shown() {
    let text = "x\u{1b}[0m`|@".repeat(1_000_000);
    let begin = std::time::Instant::now();
    assert!(inline(&text, 100).chars().count() <= 104);
    assert!(block(&text, 50, 4096).len() < 2 * 4096);
    assert!(block(&"line\n".repeat(2_000_000), 50, 4096).len() < 2 * 4096);
    assert!(path(&text).chars().count() < 2 * PATH_CHARS);
    assert!(begin.elapsed().as_secs() < 5, "took {:?}", begin.elapsed());
}

/// Text made of what has power in Markdown, with ordinary characters between.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("`".to_owned()),
        Just("```".to_owned()),
        Just("~~~".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("    ".to_owned()),
        Just("<!-- x -->".to_owned()),
        Just("</code>".to_owned()),
        Just("@mira".to_owned()),
        Just("!testme".to_owned()),
        Just("/close".to_owned()),
        Just("fixes #1".to_owned()),
        Just("![a](b)".to_owned()),
        Just("\\".to_owned()),
        Just("|".to_owned()),
        Just("$$".to_owned()),
        Just("\u{1b}[31m".to_owned()),
        Just("\u{202e}".to_owned()),
        Just("> ".to_owned()),
        "\\PC{0,6}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn only_code_carries_the_text(text in hostile(), max in 0usize..60, lines in 0usize..6) {
        let span = inline(&text, max);
        prop_assert!(carried(&span).is_ok(), "{span:?}: {:?}", carried(&span));
        prop_assert!(!span.contains(['\n', '\r']) && span.starts_with('`'));
        prop_assert_eq!(Parser::new(&span).filter(|e| matches!(e, Event::Code(_))).count(), 1);

        let path = path(&text);
        prop_assert!(carried(&path).is_ok(), "{path:?}: {:?}", carried(&path));

        let block = block(&text, lines, max * 4);
        prop_assert!(carried(&block).is_ok(), "{block:?}: {:?}", carried(&block));
        assert_no_line_outside_a_fence_commands(&block);

        for result in [&span, &path, &block] {
            prop_assert!(!result.chars().any(|c| is_treacherous(c) && c != '\n'), "{result:?}");
            prop_assert!(!result.contains("<!--"), "{result:?}");
        }
        prop_assert!(!plain(&text, max).chars().any(is_treacherous));
        prop_assert!(plain(&text, max).chars().count() <= max);
    }
}
