use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

mod table;

fn word(command: &Command) -> String {
    match command {
        Command::Test(options) => {
            let mut text = "test".to_owned();
            if options.extra_tests {
                text.push_str(" extra");
            }
            for tier in &options.tiers {
                text.push_str(&format!(" tier={tier}"));
            }
            if let Some(glob) = &options.notebooks {
                text.push_str(&format!(" notebooks={glob}"));
            }
            if options.full {
                text.push_str(" full");
            }
            if let Some(sha) = &options.sha {
                text.push_str(&format!(" sha={sha}"));
            }
            text
        }
        Command::Retry => "retry".into(),
        Command::Cancel => "cancel".into(),
        Command::Status => "status".into(),
        Command::Help => "help".into(),
        Command::Accept(sha) => format!("accept {sha}"),
        Command::Reject => "reject".into(),
    }
}

/// The fate of every command seen in a comment, by line: `3 test full`, `4 ?unknown_flag`, `7 -quoted`.
fn fates(body: &str) -> Vec<String> {
    let reading = read(body, &Grammar::default());
    assert_eq!(reading.more_ignored, 0);
    let found = reading.found.iter().map(|found| match &found.command {
        Ok(command) => (found.line, word(command)),
        Err(error) => (found.line, format!("?{}", error.kind())),
    });
    let ignored = reading.ignored.iter().map(|ignored| (ignored.line, format!("-{}", ignored.reason.kind())));
    let mut fates: Vec<(usize, String)> = found.chain(ignored).collect();
    fates.sort_by_key(|(line, _)| *line);
    fates.into_iter().map(|(line, fate)| format!("{line} {fate}")).collect()
}

fn answer(body: &str) -> String {
    let reading = read(body, &Grammar::default());
    reading
        .found
        .iter()
        .find_map(|found| found.command.as_ref().err())
        .map(ToString::to_string)
        .unwrap_or_default()
}

#[test]
fn every_comment_of_the_table_has_its_fate() {
    let mut wrong = Vec::new();
    for (body, expected) in table::COMMENTS {
        let fates = fates(body);
        if fates != *expected {
            wrong.push(format!("{body:?}\n  expected {expected:?}\n  but got  {fates:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} comments:\n{}", wrong.len(), wrong.join("\n"));
    assert!(table::COMMENTS.len() >= 110, "{}", table::COMMENTS.len());
}

#[test]
fn answers_help() {
    insta::assert_snapshot!(
        [
            "!tesme", "!testme --extra-test", "!testme —extra-tests", "!testme --verbose", "!testme please",
            "!testme.", "!testme --tier", "!testme --full=yes", "!testme abc12", "!accept", "!accept latest",
            "!testme --notebooks '[a'", "!testme --notebooks ../x", "!testme --tier a/b", "!testme --notebooks \"a",
            "!testme\u{a0}--full", "\u{200b}!testme", "！testme", "!testme \u{202e}x", "!testme --tier “a”",
            "!testme --notebooks a --notebooks b", "!testme @mira closes #1 `x`",
        ]
        .map(answer)
        .join("\n"),
        @r"
        there is no command `!tesme`; did you mean `!testme`?
        there is no flag `--extra-test`; did you mean `--extra-tests`?
        there is no flag `—extra-tests`; did you mean `--extra-tests`?
        there is no flag `--verbose`
        `!testme` does not understand `please`; please put other words on a line of their own
        `!testme` does not understand `.`; please put other words on a line of their own
        `--tier` needs the name of a tier after it
        `--full` takes no value
        `abc12` is no commit: at least 7 of its digits are needed
        `!accept` needs the SHA of the commit that you accept after it
        `latest` is no commit: 7 to 64 digits from `0` to `9` and `a` to `f` are needed
        `[a` is no glob for notebooks: unclosed character class; missing ']'
        `../x` is no glob for notebooks: it must stay inside the repository
        `a/b` is no name of a tier: letters, digits, `-` and `_`, at most 64
        a quotation mark is opened and not closed
        there is a no-break space (U+00A0) in the command; please type it with plain characters
        there is an invisible character (U+200B) in the command; please type it with plain characters
        there is a full-width character (U+FF01) in the command; please type it with plain characters
        there is a mark that changes the reading direction (U+202E) in the command; please type it with plain characters
        there is a curly quotation mark (U+201C) in the command; please type it with plain characters
        `--notebooks` may stand only once
        `!testme` does not understand `@mira`; please put other words on a line of their own
        "
    );
}

#[test]
fn a_sha_prefix_matches_what_begins_with_it() {
    let prefix = ShaPrefix::parse("ABCdef0").unwrap();
    assert_eq!(prefix.as_str(), "abcdef0");
    assert!(prefix.matches("abcdef0123456789abcdef0123456789abcdef01"));
    assert!(prefix.matches("ABCDEF0"));
    assert!(!prefix.matches("abcdef"));
    assert!(!prefix.matches("abcdef1123456789abcdef0123456789abcdef01"));
    assert!(!prefix.matches("abcde\u{e9}0"));
    assert_eq!(ShaPrefix::parse("abcdef"), Err(ShaProblem::TooShort));
    assert_eq!(ShaPrefix::parse(""), Err(ShaProblem::TooShort));
    assert_eq!(ShaPrefix::parse(&"a".repeat(65)), Err(ShaProblem::TooLong));
    assert_eq!(ShaPrefix::parse("abcdefg"), Err(ShaProblem::NotHex));
    assert!(ShaPrefix::parse(&"a".repeat(64)).is_ok());
}

#[test]
fn marker_and_words_are_the_operators() {
    let words = Words { testme: "check".into(), ..Words::default() };
    let grammar = Grammar { marker: '/', words, ..Grammar::default() };
    assert_eq!(grammar.mistakes(), []);
    let reading = read("/check --full\n!testme\n/testme\n/chek", &grammar);
    assert_eq!(reading.found.len(), 2);
    assert_eq!(reading.found[0].command.as_ref().map(word), Ok("test full".into()));
    let error = reading.found[1].command.as_ref().unwrap_err().to_string();
    assert_eq!(error, "there is no command `/chek`; did you mean `/check`?");
    assert!(reading.ignored.is_empty());
}

#[test]
fn a_grammar_that_cannot_work_says_why() {
    let words = Words { testme: "Test me".into(), retry: "cancel".into(), ..Words::default() };
    let mistakes = Grammar { marker: '>', words, ..Grammar::default() }.mistakes();
    let expected = [
        GrammarMistake::Marker('>'),
        GrammarMistake::Word("Test me".into()),
        GrammarMistake::Twice("cancel".into()),
    ];
    assert_eq!(mistakes, expected);
    assert_eq!(Grammar::default().mistakes(), []);
}

#[test]
fn commands_beyond_the_limit_are_counted_once() {
    let body = "!testme\n\n".repeat(10_000);
    let reading = read(&body, &Grammar { max_bytes: usize::MAX, ..Grammar::default() });
    assert_eq!(reading.found.len(), 6);
    assert!(reading.found[..5].iter().all(|found| found.command.is_ok()));
    assert_eq!(reading.found[5].line, 11);
    assert_eq!(reading.found[5].command, Err(Misunderstanding::TooMany { limit: 5, more: 9_995 }));

    let reading = read(&"> !testme\n\n".repeat(5_000), &Grammar::default());
    assert_eq!(reading.found, []);
    assert_eq!((reading.ignored.len(), reading.more_ignored), (20, 4_980));
}

#[test]
fn what_stands_beyond_the_limit_is_answered_and_not_run() {
    let body = format!("!status\n\n{}\n!testme --full\n!retry\n", "text\n".repeat(20_000));
    let reading = read(&body, &Grammar::default());
    assert_eq!(reading.found.len(), 2);
    assert_eq!(reading.found[0].command, Ok(Command::Status));
    assert_eq!(reading.found[1].line, 20_004);
    assert_eq!(reading.found[1].text, "!testme --full");
    assert_eq!(reading.found[1].command, Err(Misunderstanding::BeyondLimit { limit: 65_536 }));

    let one_line = format!("!testme {}", "x".repeat(100_000));
    assert_eq!(
        read(&one_line, &Grammar::default()).found[0].command,
        Err(Misunderstanding::BeyondLimit { limit: 65_536 })
    );
    assert_eq!(read(&"nothing\n".repeat(100_000), &Grammar::default()), Reading::default());
}

#[test]
fn a_line_is_shown_shortened() {
    let reading = read(&format!("  !testme {}", "é".repeat(500)), &Grammar::default());
    assert_eq!(reading.found[0].text.chars().count(), 121);
}

/// Each of these takes a careless reader seconds or its stack. They are read whole here, a megabyte of each.
#[test]
fn hostile_comments_take_no_time() {
    let mebibyte = 1 << 20;
    let shapes = [
        "> ",
        ">",
        "- ",
        "[",
        "![",
        "*",
        "**a ",
        "_",
        "`",
        "``` ",
        "~",
        "<",
        "<a ",
        "<!--",
        "<div>",
        "</div>",
        "\\",
        "&",
        "$",
        "$$",
        "|",
        "a|",
        "|-",
        "[a](",
        "[a]: b\n",
        "[^a]: ",
        "# ",
        "1. ",
        "\t",
        "\u{200b}",
        "\r",
        "!testme",
        "!testme ",
        "!testme\n",
        "> !testme\n",
        "- !testme\n",
        "*a **a ",
        "]",
        ")",
        "<x!testme",
        ">>>\n!testme\n",
        "[a][",
        "!testme --tier a\n\n",
        "`a``b",
        "\n",
        "a\n",
        ">\n",
        "```\n",
        "a_",
        "<a href=\"",
    ];
    for shape in shapes {
        for tail in ["\n!testme\n", "\n\n!testme\n"] {
            let mut body = shape.repeat(mebibyte / shape.len());
            body.push_str(tail);
            let begin = Instant::now();
            read(&body, &Grammar::default());
            assert!(begin.elapsed() < Duration::from_secs(5), "{shape:?} took {:?}", begin.elapsed());
            // The same, but within what is parsed as Markdown.
            let mut body = shape.repeat((64 * 1024 - 32) / shape.len());
            body.push_str(tail);
            let begin = Instant::now();
            read(&body, &Grammar::default());
            assert!(begin.elapsed() < Duration::from_secs(5), "{shape:?} took {:?}", begin.elapsed());
        }
    }
}

/// Deep nesting that every following line has to be compared with.
#[test]
fn deep_comments_take_no_time() {
    for (opens, lines) in [
        (">", "a\n"),
        (">", ">a\n"),
        ("- ", "a\n"),
        ("- ", "  a\n"),
        ("> - ", "a\n"),
        ("1. ", "\n"),
        ("*", "a*\n"),
        ("[", "a]\n"),
        ("<div>", "a\n\n"),
        ("> ", "!testme\n"),
        ("- ", "!testme\n\n"),
        ("[^a]: ", "a\n"),
    ] {
        let body = format!("{}x\n{}", opens.repeat(30_000 / opens.len()), lines.repeat(30_000 / lines.len()));
        let begin = Instant::now();
        read(&format!("{body}\n!testme\n"), &Grammar::default());
        assert!(begin.elapsed() < Duration::from_secs(5), "{opens:?} {lines:?} took {:?}", begin.elapsed());
        let body = format!("{}x\n", opens.repeat(240 / opens.len())).repeat(250);
        let begin = Instant::now();
        read(&format!("{body}\n!testme\n"), &Grammar::default());
        assert!(begin.elapsed() < Duration::from_secs(5), "{opens:?} took {:?}", begin.elapsed());
    }
}

fn markdown() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "!testme",
        "!testme\n",
        "!accept abcdef0",
        "\n",
        "\n\n",
        "> ",
        "- ",
        "1. ",
        "    ",
        "\t",
        "```",
        "~~~",
        "`",
        "*",
        "~~",
        "[",
        "]",
        "(",
        ")",
        "<div>",
        "</div>",
        "<!--",
        "-->",
        "|",
        "---",
        "$",
        "$$",
        "[^1]: ",
        "--tier ",
        "\"",
        "'",
        " ",
        "\r",
        "\r\n",
        "\u{2028}",
        "\u{200b}",
        "！",
        "é",
        "\0",
        "x",
        "--notebooks ",
        "=",
        ">>>\n",
    ]);
    let piece = prop_oneof![4 => pieces.prop_map(str::to_owned), 1 => any::<String>()];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_comment_is_read(body in markdown(), max_bytes in 0usize..400, max_commands in 0usize..4) {
        let grammar = Grammar { max_bytes, max_commands, ..Grammar::default() };
        let reading = read(&body, &grammar);
        prop_assert!(reading.found.len() <= max_commands + 2);
        let taken = reading.found.iter().filter(|found| found.command.is_ok()).count();
        prop_assert!(taken <= max_commands);
        prop_assert!(reading.found.is_sorted_by_key(|found| found.line));
        for found in &reading.found {
            if let Err(error) = &found.command {
                prop_assert!(!error.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn nothing_fires_inside_a_fence(body in markdown(), fence in "`{3,6}|~{3,6}", lead in "(text\n\n)?") {
        prop_assume!(!body.contains(fence.as_str()));
        let whole = format!("{lead}{fence}\n{body}\n{fence}\n");
        prop_assert!(read(&whole, &Grammar::default()).found.is_empty(), "{whole:?}");
    }

    #[test]
    fn nothing_fires_inside_a_quote(body in markdown()) {
        let quoted: String = body.split('\n').map(|line| format!("> {line}\n")).collect();
        let reading = read(&quoted, &Grammar::default());
        prop_assert!(reading.found.is_empty(), "{quoted:?}");
    }

    #[test]
    fn a_plain_command_fires_after_any_plain_text(words in "[a-z ,.]{0,40}", sha in "[0-9a-f]{7,40}") {
        let reading = read(&format!("{words}\n\n!accept {sha}\n"), &Grammar::default());
        let fate = reading.found.last().map(|found| found.command.clone());
        prop_assert_eq!(fate, Some(Ok(Command::Accept(ShaPrefix::parse(&sha).unwrap()))));
    }
}
