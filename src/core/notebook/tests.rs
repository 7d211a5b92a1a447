//! What is seen of a notebook, and where its faults are.

use proptest::prelude::*;

use super::*;

fn fault(text: &str) -> String {
    inspect(text.as_bytes()).map(|facts| format!("{facts:?}")).unwrap_err().to_string()
}

#[test]
fn what_matters_is_seen() {
    let text = r#"{"nbformat": 4, "nbformat_minor": 5, "later": {"x": [1]},
        "metadata": {"docent": {"skip": true}, "kernelspec": {"name": "astro", "language": "python"}},
        "cells": [{"cell_type": "code", "metadata": {"tags": ["docent-extra"]}, "source": ["a\n", "b"]},
                  {"cell_type": "markdown", "source": "x"}]}"#;
    let facts = NotebookFacts {
        format: (4, 5),
        code_cells: 1,
        kernel: Some("astro".into()),
        language: Some("python".into()),
        is_skipped: true,
        is_extra: true,
        is_curious: false,
        code_digest: inspect(text.as_bytes()).unwrap().code_digest,
    };
    assert_eq!(inspect(text.as_bytes()), Ok(facts));
}

#[test]
fn prose_and_outputs_do_not_change_the_code() {
    let with = |metadata: &str, cells: &str| {
        let text = format!(r#"{{"nbformat": 4, "metadata": {metadata}, "cells": [{cells}]}}"#);
        inspect(text.as_bytes()).unwrap()
    };
    let code =
        r#"{"cell_type": "code", "metadata": {}, "source": "a\nb", "outputs": [], "execution_count": 1}"#;
    let usual = with("{}", code).code_digest;
    for same in [
        r#"{"cell_type": "code", "metadata": {"collapsed": true}, "source": ["a\n", "b"], "outputs": [1], "execution_count": 7}"#,
        r#"{"cell_type": "markdown", "source": "new"}, {"cell_type": "code", "source": "a\nb"}"#,
    ] {
        assert_eq!(with("{}", same).code_digest, usual, "{same}");
    }
    assert_eq!(with(r#"{"language_info": {"version": "3.12.1"}}"#, code).code_digest, usual);
    for other in [
        r#"{"cell_type": "code", "source": "a\nc"}"#,
        r#"{"cell_type": "code", "source": "a"}, {"cell_type": "code", "source": "b"}"#,
        r#"{"cell_type": "code", "metadata": {"tags": ["skip-execution"]}, "source": "a\nb"}"#,
        r#"{"cell_type": "markdown", "source": "a\nb"}"#,
    ] {
        assert_ne!(with("{}", other).code_digest, usual, "{other}");
    }
    assert_ne!(with(r#"{"kernelspec": {"name": "astro"}}"#, code).code_digest, usual);
    assert!(with("{}", r#"{"cell_type": "code", "source": "%run other.ipynb"}"#).is_curious);
}

#[test]
fn a_notebook_is_skipped_as_the_harness_skips_it() {
    let with = |metadata: &str| {
        let text = format!(r#"{{"nbformat": 4, "metadata": {metadata}, "cells": []}}"#);
        inspect(text.as_bytes()).map(|facts| facts.is_skipped)
    };
    for yes in [
        r#"{"docent": {"skip": true}}"#,
        r#"{"docent": {"skip": "slow"}}"#,
        r#"{"tags": ["skip-execution"]}"#,
    ] {
        assert_eq!(with(yes), Ok(true), "{yes}");
    }
    for no in [
        "{}",
        "[]",
        "null",
        "3",
        r#"{"docent": {"skip": false}}"#,
        r#"{"docent": {"skip": ""}}"#,
        r#"{"docent": 3}"#,
        r#"{"tags": "skip-execution"}"#,
    ] {
        assert_eq!(with(no), Ok(false), "{no}");
    }
}

#[test]
fn what_jupyter_takes_is_taken() {
    for text in [
        "\u{feff}{\"nbformat\": 4, \"cells\": []}",
        r#"{"nbformat": 4, "nbformat": 4, "cells": 3, "cells": []}"#,
        r#"{"nbformat": 4, "cells": [{"cell_type": "raw"}]}"#,
        r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [NaN, -Infinity, {"a": Infinity}]}]}"#,
        r#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\"NaN\\", "outputs": [NaN, "\ud800", 1e999]}]}"#,
        r#"{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": "1"}]}]}"#,
    ] {
        assert!(inspect(text.as_bytes()).is_ok(), "{text}: {:?}", inspect(text.as_bytes()));
    }
    let deep = format!(r#"{{"nbformat": 4, "cells": [], "x": {}{}}}"#, "[".repeat(9999), "]".repeat(9999));
    assert!(inspect(deep.as_bytes()).is_ok(), "what is deep in outputs is never read");
}

#[test]
fn a_fault_says_where() {
    for (text, wanted) in [
        ("{\n  \"nbformat\": 4,\n  oops\n}", "line 3, column 3: not JSON: key must be a string"),
        ("", "line 1, column 1: not JSON: EOF while parsing a value"),
        ("{\"ö\": ö}", "line 1, column 7: not JSON: expected value"),
        ("{} {}", "line 1, column 4: not JSON: trailing characters"),
        ("{\"nbformat\": NaN5}", "line 1, column 17: not JSON: expected `,` or `}`"),
        ("[]", "line 1, column 1: a notebook is a JSON object"),
        ("\n {}", "line 1, column 1: nbformat is missing: this is no notebook"),
        (
            "{\n\"nbformat\": 2}",
            "line 2, column 13: nbformat 2 is not supported: save the notebook as version 4",
        ),
        (r#"{"nbformat": "4", "cells": []}"#, "line 1, column 14: nbformat is no whole number"),
        (r#"{"nbformat": 4}"#, "line 1, column 1: cells is missing: this is no notebook"),
        (r#"{"nbformat": 4, "cells": {}}"#, "line 1, column 26: cells is no list"),
        (r#"{"nbformat": 3, "worksheets": [3]}"#, "line 1, column 32: a worksheet is no JSON object"),
        (
            "{\"nbformat\": 4, \"cells\": [\n{\"cell_type\": \"code\"},\n 1]}",
            "line 3, column 2: cell 1 is no JSON object",
        ),
        ("{\"nbformat\": 4, \"cells\": [\n {}]}", "line 2, column 2: cell 0 has no cell_type"),
        (
            "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\",\n\"source\": [1]}]}",
            "line 2, column 11: cell 0 has no text as its source",
        ),
    ] {
        assert_eq!(fault(text), wanted, "{text:?}");
    }
    let fault = inspect(b"{\n\"a\xff").unwrap_err();
    assert_eq!(fault.to_string(), "line 2, column 3: not UTF-8 text from here on");
    assert!(inspect("[".repeat(1_000_000).as_bytes()).is_err(), "deep nesting is a fault, not a crash");
}

#[test]
fn a_large_file_is_read_in_passing() {
    // Anything but linear time would keep this test from ending.
    let cell =
        format!(r#"{{"cell_type": "code", "source": "x", "outputs": ["{}", NaN]}}"#, "y".repeat(1_000));
    let text = format!(r#"{{"nbformat": 4, "cells": [{}]}}"#, vec![cell.as_str(); 20_000].join(","));
    assert_eq!(inspect(text.as_bytes()).unwrap().code_cells, 20_000);
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = inspect(&bytes);
    }

    #[test]
    fn nothing_that_is_nearly_a_notebook_makes_it_panic(at in 0usize..200, with in "[\\[\\]{}\",:nNI0-9ö\\\\]{0,3}") {
        let text = r#"{"nbformat": 4, "metadata": {"tags": ["a"], "docent": {"skip": NaN}}, "cells": [{"cell_type": "code", "metadata": {"tags": ["b"]}, "source": ["\\\"", "Infinity"]}], "x": [-Infinity, 3]}"#;
        let mut changed: String = text.chars().take(at).collect();
        changed.push_str(&with);
        changed.extend(text.chars().skip(at + 1));
        if let Err(fault) = inspect(changed.as_bytes()) {
            prop_assert!(fault.line >= 1 && fault.column >= 1 && fault.column <= changed.chars().count() + 1);
        }
    }
}
