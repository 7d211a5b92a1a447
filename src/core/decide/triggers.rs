//! Which pushes start runs. A push is seen, compared with what was judged last, and starts a run if it changed something
//! that the operator watches; docent accepts it by that rule only where the code can have come from nobody but those who may
//! push to the repository.

use globset::GlobMatcher;

use super::Deciding;
use crate::core::action::Action;
use crate::core::authorise;
use crate::core::command::TestOptions;
use crate::core::event::Fault;
use crate::core::id::{BranchId, Line, PullId, RunId, Sha};
use crate::core::policy::RepositoryPolicy;
use crate::core::pull::PullRequest;
use crate::core::run::{Party, Phase, Request, Trigger};
use crate::core::select::pattern;
use crate::core::time::Time;
use crate::core::world::Change;

/// Changed paths that a run remembers.
const SHOWN: usize = 20;

/// Which changed paths are of interest: the patterns of `paths`. Of those that fit, the last one decides; one that begins with
/// `!` takes away.
#[derive(Debug, Clone)]
pub struct Interest {
    patterns: Vec<(bool, GlobMatcher)>,
}

impl Interest {
    /// What the operator watches in a repository.
    pub fn of(policy: &RepositoryPolicy) -> Self {
        let read = |text: &String| {
            let (takes, glob) = match text.strip_prefix('!') {
                Some(rest) => (false, rest),
                None => (true, text.as_str()),
            };
            // The configuration has been checked: what is no pattern does not come here.
            pattern(glob).ok().map(|glob| (takes, glob))
        };
        Self { patterns: policy.paths.iter().filter_map(read).collect() }
    }

    /// Whether a change of `path` counts. Without patterns every one does; where the first one takes away, all others do.
    pub fn takes(&self, path: &str) -> bool {
        let usual = self.patterns.first().is_none_or(|(takes, _)| !takes);
        let last = self.patterns.iter().rev().find(|(_, glob)| glob.is_match(path));
        last.map_or(usual, |(takes, _)| *takes)
    }
}

impl Deciding<'_> {
    pub(super) fn branch_seen(&mut self, branch: &BranchId, head: Option<&Sha>, observed_at: Time) {
        let is_watched = |policy: &RepositoryPolicy| policy.branches.contains(&branch.name);
        if !self.policy.repository(&branch.repository).is_some_and(is_watched) {
            return;
        }
        let known = self.world.branches.get(branch);
        // A poll that began before a younger answer was taken in says nothing new.
        if known.is_some_and(|known| known.observed_at > observed_at || known.head.as_ref() == head) {
            return;
        }
        let judged = known.and_then(|known| known.judged.clone());
        self.change(Change::BranchObserved { branch: branch.clone(), head: head.cloned(), observed_at });
        match (judged, head) {
            (Some(before), Some(after)) if before != *after => {
                let (line, after) = (Line::Branch(branch.clone()), after.clone());
                self.act(Action::Compare { line, before, after });
            }
            (_, Some(_)) => {}
            (_, None) => {
                for run in self.live_runs_of_branch(branch) {
                    self.cancel(run, Party::Docent, "the branch was deleted");
                }
            }
        }
    }

    /// A pull request has a head that it never had before.
    pub(super) fn head_moved(&mut self, pull: &PullRequest) {
        let policy = self.policy.repository(&pull.id.repository);
        if policy.is_none_or(|policy| policy.paths.is_empty()) {
            return;
        }
        let before = pull.merge_base.as_ref().unwrap_or(&pull.base).clone();
        if before != pull.head {
            let (line, after) = (Line::Pull(pull.id.clone()), pull.head.clone());
            self.act(Action::Compare { line, before, after });
        }
    }

    /// The commit is still what the line ends in. What was asked about an earlier one is of no interest any more: a younger
    /// comparison covers it.
    pub(super) fn is_tip(&self, line: &Line, sha: &Sha) -> bool {
        match line {
            Line::Branch(branch) => {
                self.world.branches.get(branch).is_some_and(|known| known.head.as_ref() == Some(sha))
            }
            Line::Pull(pull) => {
                self.world.pulls.get(pull).is_some_and(|known| known.now.is_open && known.now.head == *sha)
            }
        }
    }

    pub(super) fn compared(&mut self, line: &Line, after: &Sha, changed: &[String]) {
        let policy = self.policy;
        let Some(repository) = policy.repository(line.repository()).filter(|_| self.is_tip(line, after))
        else {
            return;
        };
        if let Line::Pull(pull) = line {
            self.suggest_extras(pull, changed, repository);
        }
        let interest = Interest::of(repository);
        let changed: Vec<String> = changed.iter().filter(|path| interest.takes(path)).cloned().collect();
        match line {
            Line::Branch(branch) => self.branch_compared(branch, after, changed, repository),
            Line::Pull(pull) => self.pull_compared(pull, after, changed, repository),
        }
    }

    fn branch_compared(
        &mut self,
        branch: &BranchId,
        head: &Sha,
        changed: Vec<String>,
        policy: &RepositoryPolicy,
    ) {
        let Some(known) = self.world.branches.get(branch) else { return };
        if known.judged.as_ref() == Some(head) || !policy.branches.contains(&branch.name) {
            return;
        }
        let had_run = known.tested.contains(head);
        let starts = !changed.is_empty() && !had_run;
        let why = match changed.is_empty() {
            true => "nothing changed that is watched".to_owned(),
            false if had_run => "this commit had a run before".to_owned(),
            false => format!(
                "a push to {} changed {}, and the configuration watches this branch{}",
                branch.name,
                list(&changed),
                if policy.paths.is_empty() { "" } else { " for such paths" }
            ),
        };
        self.change(Change::BranchJudged {
            branch: branch.clone(),
            head: head.clone(),
            is_tested: starts,
            why: why.clone(),
        });
        if starts {
            let authority = authorise::rule(&why);
            let request = Request { sha: Some(head.clone()), ..push(branch.clone(), changed, why, policy) };
            let run = self.offer(request);
            self.accept(run, authority.authorise(()));
        }
    }

    fn pull_compared(&mut self, id: &PullId, head: &Sha, changed: Vec<String>, policy: &RepositoryPolicy) {
        let has_run = self
            .world
            .runs
            .values()
            .any(|run| run.request.pull.as_ref() == Some(id) && run.request.sha.as_ref() == Some(head));
        let Some(pull) = self.world.pulls.get(id).map(|known| known.now.clone()) else { return };
        if has_run || changed.is_empty() || policy.paths.is_empty() {
            return;
        }
        let (is_own, files) = (pull.is_of_its_repository(), list(&changed));
        let rule = match is_own {
            true => format!("a push to a branch of the repository itself changed {files}, which is watched"),
            false => format!("a push from outside of the repository changed {files}, which is watched"),
        };
        // Of its own there is one waiting run for each pull request; strangers could ask for any number.
        if !is_own && self.room_for(&id.repository, Phase::Offered).is_err() {
            return;
        }
        let branch = BranchId { repository: id.repository.clone(), name: pull.head_branch };
        let request = Request {
            pull: Some(id.clone()),
            sha: Some(head.clone()),
            base: Some(pull.base),
            is_untrusted: true,
            ..push(branch, changed, rule.clone(), policy)
        };
        let run = self.offer(request);
        if is_own {
            self.accept(run, authorise::rule(&rule).authorise(()));
        }
    }

    /// Nobody could find out what a push changed. The next push is compared with what was judged before this one.
    pub(super) fn not_compared(&mut self, line: &Line, after: &Sha, fault: &Fault) {
        let Line::Branch(branch) = line else { return };
        if self.is_tip(line, after) {
            let why = format!("what changed in {} could not be found out: {}", after.short(), fault.text);
            self.change(Change::BranchUnjudged { branch: branch.clone(), why });
        }
    }

    pub(super) fn live_runs_of_branch(&self, branch: &BranchId) -> Vec<RunId> {
        let runs = self.world.runs.values();
        runs.filter(|run| run.phase.is_live() && run.phase != Phase::Releasing)
            .filter(|run| run.request.branch() == Some(branch))
            .map(|run| run.id)
            .collect()
    }
}

/// The request that a push makes, by docent's own rule: all of the recipe.
fn push(branch: BranchId, changed: Vec<String>, rule: String, policy: &RepositoryPolicy) -> Request {
    Request {
        pull: None,
        place: policy.name.clone(),
        sha: None,
        base: None,
        is_untrusted: false,
        recipe: policy.recipe.clone(),
        options: TestOptions::default(),
        only: Vec::new(),
        bundle: None,
        trigger: Trigger::Push { branch, changed: changed.into_iter().take(SHOWN).collect(), rule },
        by: Party::Docent,
    }
}

/// The first of many, in words.
fn list(paths: &[String]) -> String {
    match paths {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}
