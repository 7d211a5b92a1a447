//! When people are told that there are extra tests for what they changed.

use super::Deciding;
use crate::core::action::Action;
use crate::core::extra::ExtraRule;
use crate::core::id::{Line, PullId, RunId};
use crate::core::policy::RepositoryPolicy;
use crate::core::select::pattern;
use crate::core::world::{Change, Suggestion};

impl Deciding<'_> {
    /// A run without extra tests was accepted: what its pull request changed is looked up, until people have been told.
    pub(super) fn look_for_extras(&mut self, run: RunId) {
        let Some(state) = self.world.runs.get(&run).filter(|run| !run.request.options.extra_tests) else {
            return;
        };
        let Some(pull) = state.request.pull.as_ref().and_then(|pull| self.world.pulls.get(pull)) else {
            return;
        };
        let policy = self.policy.repository(&pull.now.id.repository);
        let is_told = pull.suggested.is_some();
        if is_told || policy.is_none_or(|policy| self.covered(policy).is_empty()) {
            return;
        }
        let before = pull.now.merge_base.as_ref().unwrap_or(&pull.now.base).clone();
        let (line, after) = (Line::Pull(pull.now.id.clone()), pull.now.head.clone());
        if before != after {
            self.act(Action::Compare { line, before, after });
        }
    }

    /// A pull request changes these paths: whoever reads its report is told of extra tests that cover one of them.
    pub(super) fn suggest_extras(&mut self, id: &PullId, changed: &[String], policy: &RepositoryPolicy) {
        let Some(pull) = self.world.pulls.get(id).filter(|pull| pull.suggested.is_none()) else { return };
        let covers: Vec<_> = self.covered(policy).into_iter().filter_map(|text| pattern(text).ok()).collect();
        let Some(path) = changed.iter().find(|path| covers.iter().any(|glob| glob.is_match(path))) else {
            return;
        };
        let (grammar, is_posted) = (&self.policy.grammar, pull.posted.is_some());
        let command = format!("{}{} --extra-tests", grammar.marker, grammar.words.testme);
        let suggestion = Suggestion { path: path.clone(), command };
        self.change(Change::ExtrasSuggested { pull: id.clone(), suggestion });
        // For this alone nobody gets a comment.
        if is_posted {
            self.report(id);
        }
    }

    /// Patterns of what the extra tests of a repository cover. Where its recipe is known only by looking, those of all recipes.
    fn covered(&self, policy: &RepositoryPolicy) -> Vec<&str> {
        if policy.extra.rule == ExtraRule::Never {
            return Vec::new();
        }
        let is_its = |name: &&String| policy.recipe.as_ref().is_none_or(|recipe| recipe == *name);
        let recipes = self.policy.recipes.iter().filter(|(name, _)| is_its(name));
        let tiers = recipes.flat_map(|(_, recipe)| &recipe.tiers).filter(|tier| tier.is_opt_in);
        tiers.flat_map(|tier| &tier.covers).map(String::as_str).collect()
    }
}
