//! The state, and the one way it changes. The tables of the store are this, kept; replaying the journal gives it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::environment::KeptEnvironment;
use super::id::{BranchId, CommentId, PullId, RunId, Sha};
use super::ledger::{Entry, Fate};
use super::pull::{ObservedHead, PullRequest};
use super::reuse::KeptResult;
use super::run::{Illegal, Request, Run, RunChange};
use super::time::Time;

/// Heads remembered for each pull request; the oldest are forgotten first.
const HEADS: usize = 200;

/// Commits remembered for each branch because they had a run; the oldest are forgotten first.
const TESTED: usize = 200;

/// docent's comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The forge's number of it.
    pub comment: u64,
    /// When it was last edited.
    pub at: Time,
    /// Digest of what it says.
    pub digest: String,
}

/// What is known of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pull {
    /// As last seen.
    pub now: PullRequest,
    /// The heads that were seen, oldest first; the last is the current one.
    pub heads: Vec<ObservedHead>,
    /// docent's comment on it.
    pub posted: Option<Posted>,
    /// What its extra tests cover was changed, and people are told so, once.
    #[serde(default)]
    pub suggested: Option<Suggestion>,
}

/// Why extra tests would be worth asking for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The first changed path that they cover, a stranger's text.
    pub path: String,
    /// How to ask for them.
    pub command: String,
}

/// What is known of a watched branch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// Where it was last seen; none: there was no such branch.
    pub head: Option<Sha>,
    /// The forge's clock at that answer.
    pub observed_at: Time,
    /// The commit up to which its changes have been judged: what comes next is compared with this one.
    pub judged: Option<Sha>,
    /// What was found there, for people.
    pub why: String,
    /// Commits of it that had a run, the latest last.
    pub tested: Vec<Sha>,
}

/// What happened. The journal is a list of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Change {
    /// A pull request was seen to be so.
    PullObserved { pull: PullRequest, observed_at: Time },
    /// A watched branch was seen to be there.
    BranchObserved { branch: BranchId, head: Option<Sha>, observed_at: Time },
    /// Whether a push to a watched branch starts a run was judged.
    BranchJudged { branch: BranchId, head: Sha, is_tested: bool, why: String },
    /// Whether a push to a watched branch starts a run could not be judged.
    BranchUnjudged { branch: BranchId, why: String },
    /// A comment with commands was seen for the first time.
    CommentRecorded { entry: Entry },
    /// A comment was seen to have been changed.
    CommentEdited { comment: CommentId, at: Time },
    /// A command has its fate.
    CommandDecided { comment: CommentId, index: usize, fate: Fate, path: Vec<String> },
    /// A run began, as an offer.
    RunOffered { run: RunId, request: Request, at: Time, expires_at: Time },
    /// Something happened to a run.
    Run {
        run: RunId,
        at: Time,
        #[serde(flatten)]
        change: RunChange,
    },
    /// What a run has made stays, for later runs.
    EnvironmentKept { environment: KeptEnvironment },
    /// A run began to use what an earlier one has made.
    EnvironmentUsed { run: RunId, at: Time },
    /// It serves nobody any more, and is removed.
    EnvironmentDropped { run: RunId },
    /// The results of a tier are remembered. They are looked up, never decided on: the state holds nothing of them.
    ResultsKept { run: RunId, tier: String, results: Vec<KeptResult> },
    /// docent's comment says this now.
    ReportPosted { pull: PullId, posted: Posted },
    /// A pull request was seen to change what extra tests cover.
    ExtrasSuggested { pull: PullId, suggestion: Suggestion },
}

/// Why a change cannot be applied: always a defect of docent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inapplicable {
    /// The phase table forbids it.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// It speaks of something that is not known.
    #[error("{0} is not known")]
    Unknown(String),
    /// It would make something that exists.
    #[error("{0} exists already")]
    Doubled(String),
}

/// The state, or the part of it that an event concerns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Pull requests.
    pub pulls: BTreeMap<PullId, Pull>,
    /// Watched branches.
    pub branches: BTreeMap<BranchId, Branch>,
    /// Comments with commands.
    pub comments: BTreeMap<CommentId, Entry>,
    /// Runs.
    pub runs: BTreeMap<RunId, Run>,
    /// Environments that outlived their runs, by the run that made them.
    pub environments: BTreeMap<RunId, KeptEnvironment>,
    /// The number that the next run will have.
    pub next_run: i64,
}

impl World {
    /// Applies `change`, or names why it cannot and leaves the state as it was.
    pub fn apply(&mut self, change: &Change) -> Result<(), Inapplicable> {
        match change {
            Change::PullObserved { pull, observed_at } => self.observe(pull, *observed_at),
            Change::BranchObserved { branch, head, observed_at } => {
                // Where watching begins, nothing is new.
                let known = self
                    .branches
                    .entry(branch.clone())
                    .or_insert_with(|| Branch { judged: head.clone(), ..Branch::default() });
                // A branch that came into being after it had been looked for begins there as well.
                known.judged = known.judged.take().or_else(|| head.clone());
                known.head = head.clone();
                known.observed_at = *observed_at;
            }
            Change::BranchJudged { branch, head, is_tested, why } => {
                let known = self.branches.get_mut(branch);
                let known = known.ok_or_else(|| Inapplicable::Unknown(branch.to_string()))?;
                known.judged = Some(head.clone());
                known.why.clone_from(why);
                if *is_tested && !known.tested.contains(head) {
                    known.tested.push(head.clone());
                    if known.tested.len() > TESTED {
                        known.tested.remove(0);
                    }
                }
            }
            Change::BranchUnjudged { branch, why } => {
                let known = self.branches.get_mut(branch);
                let known = known.ok_or_else(|| Inapplicable::Unknown(branch.to_string()))?;
                known.why.clone_from(why);
            }
            Change::CommentRecorded { entry } => {
                if self.comments.contains_key(&entry.id) {
                    return Err(Inapplicable::Doubled(entry.id.to_string()));
                }
                self.comments.insert(entry.id.clone(), entry.clone());
            }
            Change::CommentEdited { comment, at } => self.entry(comment)?.edited_at = Some(*at),
            Change::CommandDecided { comment, index, fate, path } => {
                let asked = self.entry(comment)?.commands.get_mut(*index);
                let asked =
                    asked.ok_or_else(|| Inapplicable::Unknown(format!("command {index} of {comment}")))?;
                asked.fate = fate.clone();
                asked.path.extend(path.iter().cloned());
            }
            Change::RunOffered { run, request, at, expires_at } => {
                if self.runs.contains_key(run) {
                    return Err(Inapplicable::Doubled(format!("run {run}")));
                }
                self.runs.insert(*run, Run::offered(*run, request.clone(), *at, *expires_at));
                self.next_run = self.next_run.max(run.0 + 1);
            }
            Change::Run { run, at, change } => {
                let run =
                    self.runs.get_mut(run).ok_or_else(|| Inapplicable::Unknown(format!("run {run}")))?;
                run.apply(change, *at)?;
            }
            Change::EnvironmentKept { environment } => {
                self.environments.insert(environment.run, environment.clone());
            }
            Change::EnvironmentUsed { run, at } => {
                let unknown = || Inapplicable::Unknown(format!("the environment of run {run}"));
                self.environments.get_mut(run).ok_or_else(unknown)?.used_at = *at;
            }
            Change::EnvironmentDropped { run } => {
                self.environments.remove(run);
            }
            Change::ResultsKept { .. } => {}
            Change::ExtrasSuggested { pull, suggestion } => {
                let pull = self.pulls.get_mut(pull).ok_or_else(|| Inapplicable::Unknown(pull.to_string()))?;
                pull.suggested = Some(suggestion.clone());
            }
            Change::ReportPosted { pull, posted } => {
                let pull = self.pulls.get_mut(pull).ok_or_else(|| Inapplicable::Unknown(pull.to_string()))?;
                pull.posted = Some(posted.clone());
            }
        }
        Ok(())
    }

    fn entry(&mut self, comment: &CommentId) -> Result<&mut Entry, Inapplicable> {
        self.comments.get_mut(comment).ok_or_else(|| Inapplicable::Unknown(comment.to_string()))
    }

    fn observe(&mut self, pull: &PullRequest, observed_at: Time) {
        let known = self.pulls.entry(pull.id.clone()).or_insert_with(|| Pull {
            now: pull.clone(),
            heads: Vec::new(),
            posted: None,
            suggested: None,
        });
        // Where the head left its base is not said each time; it stays as it is as long as the two do.
        let is_same = known.now.head == pull.head && known.now.base_branch == pull.base_branch;
        let before = known.now.merge_base.take().filter(|_| is_same);
        known.now = pull.clone();
        known.now.merge_base = known.now.merge_base.take().or(before);
        if known.heads.last().is_none_or(|head| head.sha != pull.head) {
            known.heads.push(ObservedHead { sha: pull.head.clone(), observed_at });
            if known.heads.len() > HEADS {
                known.heads.remove(0);
            }
        }
    }
}
