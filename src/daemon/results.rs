//! What a step left in `/out`, as test results: `outputs.json` where the recipe writes one, else any `junit.xml`.
//!
//! Both were written by code that nobody trusts: sizes are bounded, and what cannot be read is reported, not believed.

use std::fs;
use std::path::Path;

use quick_junit::{Report, TestCase, TestCaseStatus};
use serde::Deserialize;

use crate::core::outcome::{Outcome, TestResult};

const MAX_FILE: u64 = 16 << 20;
const MAX_TESTS: usize = 5_000;
/// Files that a test is told to have written.
const MAX_WROTE: usize = 50;
/// Characters of a name, of a line, and of a longer text.
const MAX_NAME: usize = 500;
const MAX_LINE: usize = 500;
const MAX_TEXT: usize = 4_000;
/// Bytes of all results of an attempt together. Beyond it details are left out, never verdicts.
const MAX_ALL: usize = 2 << 20;

#[derive(Deserialize)]
struct Outputs {
    #[serde(default)]
    tests: Option<Vec<TestResult>>,
}

/// The results in `out`, and what was wrong with the files that could not be read.
pub fn read(out: &Path) -> (Vec<TestResult>, Vec<String>) {
    let mut unreadable = Vec::new();
    let tests = match outputs(&out.join("outputs.json")) {
        Ok(Some(tests)) => Some(tests),
        Ok(None) => None,
        Err(text) => {
            unreadable.push(text);
            None
        }
    };
    let tests = tests.unwrap_or_else(|| match junit(&out.join("junit.xml")) {
        Ok(tests) => tests,
        Err(text) => {
            unreadable.push(text);
            Vec::new()
        }
    });
    if tests.len() > MAX_TESTS {
        unreadable.push(format!("{} results are more than {MAX_TESTS}", tests.len()));
    }
    let mut tests: Vec<TestResult> = tests.into_iter().take(MAX_TESTS).map(bounded).collect();
    let mut room = MAX_ALL;
    for test in &mut tests {
        if weight(test) > room {
            leave_out_details(test);
        }
        room = room.saturating_sub(weight(test));
    }
    // What could not be read may have been a failure.
    let lost = |text: &String| TestResult::plain("results", Outcome::Errored, "unreadable_results", text);
    tests.extend(unreadable.iter().map(lost));
    (tests, unreadable)
}

fn weight(test: &TestResult) -> usize {
    let cell = test.cell.as_ref().and_then(|cell| cell.excerpt.as_ref()).map_or(0, String::len);
    let raised = test.exception.as_ref();
    let raised = raised.map_or(0, |it| it.value.len() + it.traceback.iter().map(String::len).sum::<usize>());
    test.name.len()
        + test.message.len()
        + test.stderr.len()
        + cell
        + raised
        + test.wrote.iter().map(String::len).sum::<usize>()
}

fn leave_out_details(test: &mut TestResult) {
    test.stderr.clear();
    test.wrote_more = test.wrote_more.saturating_add(test.wrote.len() as u64);
    test.wrote.clear();
    if let Some(cell) = &mut test.cell {
        cell.excerpt = None;
    }
    if let Some(exception) = &mut test.exception {
        exception.traceback.clear();
    }
}

fn outputs(file: &Path) -> Result<Option<Vec<TestResult>>, String> {
    let Some(text) = text_of(file)? else { return Ok(None) };
    let outputs: Outputs = serde_json::from_str(&text).map_err(|error| format!("outputs.json: {error}"))?;
    Ok(outputs.tests)
}

fn junit(file: &Path) -> Result<Vec<TestResult>, String> {
    let Some(text) = text_of(file)? else { return Ok(Vec::new()) };
    let report = Report::deserialize_from_str(&text).map_err(|error| format!("junit.xml: {error}"))?;
    let cases = report.test_suites.iter().flat_map(|suite| &suite.test_cases);
    Ok(cases.map(from_case).collect())
}

fn from_case(case: &TestCase) -> TestResult {
    let name = match &case.classname {
        Some(class) => format!("{}.{}", class.as_str(), case.name.as_str()),
        None => case.name.as_str().to_owned(),
    };
    let (outcome, message, details) = match &case.status {
        TestCaseStatus::Success { .. } => (Outcome::Passed, None, None),
        TestCaseStatus::Skipped { message, description, .. } => {
            (Outcome::Skipped, message.as_ref(), description.as_ref())
        }
        TestCaseStatus::NonSuccess { message, description, .. } => {
            (Outcome::Failed, message.as_ref(), description.as_ref())
        }
    };
    let first_line = details.and_then(|text| text.as_str().trim().lines().next());
    let message = message.map(|text| text.as_str()).or(first_line).unwrap_or_default();
    let mut result = TestResult::plain(name, outcome, "", message);
    if outcome == Outcome::Failed {
        result.stderr = details.map(|text| text.as_str().to_owned()).unwrap_or_default();
    }
    result.seconds = case.time.map(|time| time.as_secs_f64()).unwrap_or_default();
    result
}

fn text_of(file: &Path) -> Result<Option<String>, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match fs::symlink_metadata(file) {
        Err(_) => Ok(None),
        Ok(meta) if !meta.is_file() => Err(format!("{name} is no regular file")),
        Ok(meta) if meta.len() > MAX_FILE => Err(format!("{name} is larger than {MAX_FILE} bytes")),
        Ok(_) => fs::read(file)
            .map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
            .map_err(|error| format!("{name}: {error}")),
    }
}

fn bounded(mut test: TestResult) -> TestResult {
    // Not for a step to say.
    test.reused_from = None;
    test.wrote_more = test.wrote_more.saturating_add(test.wrote.len().saturating_sub(MAX_WROTE) as u64);
    test.wrote.truncate(MAX_WROTE);
    test.wrote.iter_mut().for_each(|name| cut(name, MAX_NAME));
    cut(&mut test.name, MAX_NAME);
    cut(&mut test.class, MAX_NAME);
    cut(&mut test.message, MAX_TEXT);
    cut(&mut test.stderr, MAX_TEXT);
    if let Some(cell) = &mut test.cell {
        cell.heading.iter_mut().chain(&mut cell.excerpt).for_each(|text| cut(text, MAX_TEXT));
    }
    if let Some(exception) = &mut test.exception {
        cut(&mut exception.name, MAX_NAME);
        cut(&mut exception.value, MAX_TEXT);
        exception.traceback.truncate(30);
        exception.traceback.iter_mut().for_each(|line| cut(line, MAX_LINE));
    }
    test
}

fn cut(text: &mut String, most: usize) {
    if let Some((at, _)) = text.char_indices().nth(most) {
        text.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> (Vec<TestResult>, Vec<String>) {
        let out = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(out.path().join(name), text).unwrap();
        }
        read(out.path())
    }

    const JUNIT: &str = r#"<?xml version="1.0"?><testsuites><testsuite name="s" tests="3" failures="1" errors="0">
        <testcase classname="a.b" name="good" time="0.5"/>
        <testcase name="bad"><failure message="boom">line 1
line 2</failure></testcase>
        <testcase name="left out"><skipped message="not here"/></testcase>
    </testsuite></testsuites>"#;

    #[test]
    fn junit_gives_a_verdict_per_test() {
        let (tests, unreadable) = read_files(&[("junit.xml", JUNIT)]);
        let seen: Vec<_> =
            tests.iter().map(|test| (test.name.as_str(), test.outcome, test.message.as_str())).collect();
        assert_eq!(unreadable, Vec::<String>::new());
        assert_eq!(
            seen,
            [
                ("a.b.good", Outcome::Passed, ""),
                ("bad", Outcome::Failed, "boom"),
                ("left out", Outcome::Skipped, "not here")
            ]
        );
    }

    #[test]
    fn the_recipes_own_results_win_and_broken_ones_are_named() {
        let rich = r#"{"tests": [{"name": "a.ipynb", "outcome": "timed_out", "later": 1}]}"#;
        let (tests, _) = read_files(&[("junit.xml", JUNIT), ("outputs.json", rich)]);
        assert_eq!((tests.len(), tests[0].outcome), (1, Outcome::TimedOut));
        let (tests, unreadable) = read_files(&[("junit.xml", JUNIT), ("outputs.json", "{\"tests\": 3}")]);
        assert_eq!((tests.len(), unreadable.len()), (4, 1));
        let (tests, unreadable) = read_files(&[("junit.xml", "<a><b></a>")]);
        let outcomes: Vec<_> = tests.iter().map(|test| test.outcome).collect();
        assert_eq!(
            (outcomes, unreadable.len()),
            (vec![Outcome::Errored], 1),
            "what cannot be read is no pass"
        );
    }
}
