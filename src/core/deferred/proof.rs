//! What has to be proven before a deferral is closed: the ported test is at HEAD, it is found as an extra test, and a green
//! run of the extra tests contains it.

use std::fmt;

use regex::Regex;
use serde::Deserialize;

use crate::core::id::Sha;
use crate::core::notebook;
use crate::core::outcome::Outcome;
use crate::core::result::SCHEMA;
use crate::core::select::is_in_extra_folder;
use crate::core::verdict::Verdict;

/// What stands at HEAD of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtHead {
    /// There is no such file.
    NoFile,
    /// The file is there, and the test is not in it.
    NoTest,
    /// The test is there.
    There {
        /// Its path or its tags make it an extra test. A pytest test may be one by other ways, which only pytest can tell.
        is_extra: bool,
    },
}

/// What a run says of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSeen {
    /// Which run, for people.
    pub name: String,
    /// Its commit; none for a folder that was not exactly one.
    pub sha: Option<Sha>,
    /// The commit is HEAD or one before it.
    pub is_in_history: bool,
    /// Over the opt-in tiers.
    pub extra_verdict: Option<Verdict>,
    /// What became of the test in an opt-in tier; none: it is in none.
    pub outcome: Option<Outcome>,
}

/// What is read of a result.json.
#[derive(Deserialize)]
struct Document {
    schema: String,
    run: i64,
    phase: String,
    head_sha: Option<Sha>,
    extra_verdict: Option<Verdict>,
    tiers: Vec<Tier>,
}

#[derive(Deserialize)]
struct Tier {
    is_opt_in: bool,
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    outcome: Outcome,
}

impl RunSeen {
    /// What the document of a run says of a test. Whether its commit is in the history is for git to say.
    ///
    /// # Errors
    /// It is no such document.
    pub fn of(document: &str, test: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(document).map_err(|error| error.to_string())?;
        if document.schema != SCHEMA {
            return Err(format!("its schema is {:?}, and not {SCHEMA:?}", document.schema));
        }
        let opt_in = document.tiers.iter().filter(|tier| tier.is_opt_in).flat_map(|tier| &tier.tests);
        let mut outcomes = opt_in.filter(|found| is_called(&found.name, test)).map(|found| found.outcome);
        // Of a test that stands there twice, the worse counts.
        let first = outcomes.next();
        let outcome = outcomes.fold(first, |so_far, next| match so_far {
            Some(Outcome::Passed) | None => Some(next),
            worse => worse,
        });
        Ok(Self {
            name: format!("run {}", document.run),
            sha: document.head_sha,
            is_in_history: false,
            // A run that was stopped proves nothing.
            extra_verdict: document.extra_verdict.filter(|_| document.phase == "COMPLETED"),
            outcome,
        })
    }

    /// Why it does not prove that the test passed; none if it does.
    fn objection(&self) -> Option<String> {
        match (self.outcome, self.extra_verdict, &self.sha) {
            (None, ..) => Some("the test is in no opt-in tier of it".to_owned()),
            (Some(Outcome::Passed), Some(Verdict::Pass), Some(_)) if self.is_in_history => None,
            (Some(Outcome::Passed), Some(Verdict::Pass), Some(sha)) => {
                Some(format!("its commit {} is neither HEAD nor before it", sha.short()))
            }
            (Some(Outcome::Passed), Some(Verdict::Pass), None) => {
                Some("it ran a folder that was not exactly a commit".to_owned())
            }
            (Some(Outcome::Passed), Some(verdict), _) => {
                Some(format!("the verdict of its extra tests is {}", verdict.word()))
            }
            (Some(Outcome::Passed), None, _) => Some("its extra tests have no verdict".to_owned()),
            (Some(outcome), ..) => Some(format!("the test is {} in it", outcome.words())),
        }
    }
}

/// A proof that is missing, in words that say how to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The test is not at HEAD.
    Test(String),
    /// Nothing shows that it is an extra test.
    Discovery(String),
    /// No green run contains it.
    Green(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, why) = match self {
            Self::Test(why) => ("the test at HEAD", why),
            Self::Discovery(why) => ("found as an extra test", why),
            Self::Green(why) => ("a green run of the extra tests", why),
        };
        write!(f, "missing: {what}: {why}")
    }
}

/// The file of a test: `extra/test_load.py::test_a` and `heavy.ipynb` stand in `extra/test_load.py` and `heavy.ipynb`.
pub fn file_of(test: &str) -> &str {
    test.split_once("::").map_or(test, |(file, _)| file)
}

/// What a file of the committed tree (none: there is none) says of a test.
pub fn at_head(test: &str, content: Option<&[u8]>) -> AtHead {
    let Some(content) = content else { return AtHead::NoFile };
    let file = file_of(test);
    let in_folder = is_in_extra_folder(file);
    if file.ends_with(".ipynb") {
        return match notebook::inspect(content) {
            Ok(facts) => AtHead::There { is_extra: in_folder || facts.is_extra },
            Err(_) => AtHead::NoTest,
        };
    }
    let text = String::from_utf8_lossy(content);
    let is_defined = |(kind, name): (&str, &str)| {
        let pattern = format!(r"(?m)^[ \t]*(?:async[ \t]+)?{kind}[ \t]+{}\b", regex::escape(name));
        Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&text))
    };
    match names_in(test).is_some_and(|mut names| names.all(is_defined)) {
        true => AtHead::There { is_extra: in_folder },
        false => AtHead::NoTest,
    }
}

/// The classes and the function that a pytest name leads through.
fn names_in(test: &str) -> Option<impl Iterator<Item = (&str, &str)>> {
    let (_, names) = test.split_once("::")?;
    // Parameters are no part of the code, and may hold anything.
    let names = names.split_once('[').map_or(names, |(names, _)| names);
    let last = names.rsplit("::").next().unwrap_or_default();
    let is_last = move |name: &str| std::ptr::eq(name, last);
    Some(names.split("::").map(move |name| (if is_last(name) { "def" } else { "class" }, name)))
}

/// Whether a result of this name is that of `test`: they are the same, or JUnit's way to write a pytest name.
pub(super) fn is_called(name: &str, test: &str) -> bool {
    name == test || junit_name(test).is_some_and(|test| name == test)
}

/// `extra/test_load.py::TestAll::test_a[x]` as `extra.test_load.TestAll.test_a[x]`.
fn junit_name(test: &str) -> Option<String> {
    let (file, names) = test.split_once("::")?;
    let (names, parameters) = names.split_at(names.find('[').unwrap_or(names.len()));
    Some(format!("{}.{}{parameters}", file.strip_suffix(".py")?.replace('/', "."), names.replace("::", ".")))
}

/// The run that closes a deferral whose ported test is `test`.
///
/// # Errors
/// Every proof that is missing.
pub fn may_close<'a>(test: &str, at_head: AtHead, runs: &'a [RunSeen]) -> Result<&'a RunSeen, Vec<Missing>> {
    let mut missing = Vec::new();
    let file = file_of(test);
    match at_head {
        AtHead::NoFile => missing.push(Missing::Test(format!(
            "there is no file {file} in the committed tree: commit it"
        ))),
        AtHead::NoTest => missing.push(Missing::Test(format!(
            "{file} is committed, and {test} is not in it: name it as `path::name`, or by the path of a notebook"
        ))),
        AtHead::There { .. } => {}
    }
    // A collector has found it in any run of the history that lists it, passed or not.
    let is_listed = |run: &RunSeen| run.is_in_history && run.outcome.is_some();
    let is_extra = at_head == AtHead::There { is_extra: true } && file.ends_with(".ipynb");
    if !is_extra && !runs.iter().any(is_listed) {
        missing.push(Missing::Discovery(format!(
            "no run of HEAD or before it lists {test} in an opt-in tier: put it into a folder `extra/`, mark it \
             `pytest.mark.extra`, or tag the notebook `docent-extra`"
        )));
    }
    let green = runs.iter().find(|run| run.objection().is_none());
    if green.is_none() {
        let objections = runs.iter().filter_map(|run| Some(format!("{}: {}", run.name, run.objection()?)));
        let objections = objections.take(5).collect::<Vec<_>>().join("; ");
        let looked_at =
            if objections.is_empty() { "there is no run to look at".to_owned() } else { objections };
        missing.push(Missing::Green(format!(
            "{looked_at}. `docent run --extra-tests --output DIR` in a clean checkout of HEAD leaves DIR/result.json; name it \
             with --result"
        )));
    }
    match green {
        Some(green) if missing.is_empty() => Ok(green),
        _ => Err(missing),
    }
}
