//! What a run knows of deferrals: which of its failures somebody has announced. A red run says so, and stays red.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Register;
use super::proof::is_called;
use crate::core::outcome::TestResult;
use crate::core::plan::Plan;
use crate::core::run::Run;

/// Entries of a file that a run keeps.
const MAX_KNOWN: usize = 200;
/// Tests of an entry that a run keeps.
const MAX_TESTS: usize = 20;

/// An open deferral that names tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What it is called by.
    pub slug: String,
    /// Since when.
    pub since: NaiveDate,
    /// What its «What» names, as code.
    pub tests: Vec<String>,
    /// The commit under test says so itself, and nobody has reviewed it.
    pub is_own_word: bool,
}

impl Known {
    /// The open deferrals of a file that name tests.
    pub fn of(register: &Register, is_own_word: bool) -> Vec<Self> {
        let open = register.deferrals().filter(|deferral| !deferral.is_closed && !deferral.tests.is_empty());
        let known = open.map(|deferral| Self {
            slug: deferral.slug.clone(),
            since: deferral.since,
            tests: deferral.tests.iter().take(MAX_TESTS).cloned().collect(),
            is_own_word,
        });
        known.take(MAX_KNOWN).collect()
    }

    /// For people; the slug is a stranger's.
    pub fn words(&self) -> String {
        let whose = if self.is_own_word { ", as this commit itself says" } else { "" };
        format!("known: deferred as {} since {}{whose}", self.slug, self.since)
    }
}

/// The open deferral that names a failed test of a run exactly, if there is one.
pub fn known<'a>(run: &'a Run, test: &TestResult) -> Option<&'a Known> {
    let plan = run.plan.as_ref().filter(|_| test.outcome.is_bad() && !test.outcome.is_ours())?;
    in_plan(plan, &test.name)
}

/// The one that names a test.
pub(super) fn in_plan<'a>(plan: &'a Plan, test: &str) -> Option<&'a Known> {
    plan.deferred.iter().find(|known| known.tests.iter().any(|name| is_called(test, name)))
}
