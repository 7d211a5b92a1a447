//! From a comment to the fate of each of its commands.

use sha2::{Digest, Sha256};

use super::Deciding;
use super::examined::Case;
use crate::core::action::Action;
use crate::core::authorise::{self, Authorised, Authority};
use crate::core::command::{self, Command, TestOptions};
use crate::core::extra;
use crate::core::id::{PullId, RepositoryId, RunId, Sha};
use crate::core::ledger::{Asked, Entry, Fate, Refusal};
use crate::core::plan::{self, is_other_test};
use crate::core::policy::Policy;
use crate::core::pull::{Comment, ObservedHead, PullRequest};
use crate::core::run::{Party, Phase, Request, Run, RunChange, Trigger};
use crate::core::time::for_people;
use crate::core::verdict::Verdict;
use crate::core::world::{Change, Pull};

/// Nothing would follow from seeing this comment, now or ever: most comments are talk, and polls that overlap show them again
/// and again. An edited one may have said something before.
pub fn says_nothing(comment: &Comment, policy: &Policy) -> bool {
    let has_none = |reading: command::Reading| reading.found.is_empty() && reading.ignored.is_empty();
    !comment.is_edited && has_none(command::read(&comment.body, &policy.grammar))
}

impl Deciding<'_> {
    pub(super) fn pull_seen(
        &mut self,
        pull: &PullRequest,
        observed_at: crate::core::time::Time,
        is_first: bool,
    ) {
        let known = self.world.pulls.get(&pull.id);
        // A poll that began before a younger answer was taken in says nothing new.
        let is_old = |known: &Pull| known.heads.last().is_some_and(|head| head.observed_at > observed_at);
        if known.is_some_and(|known| known.now == *pull || is_old(known)) {
            return;
        }
        let is_new_head =
            known.map_or(!is_first, |known| known.heads.iter().all(|head| head.sha != pull.head));
        let has_moved = known.is_some_and(|known| known.now.head != pull.head);
        let has_closed = known.is_some_and(|known| known.now.is_open) && !pull.is_open;
        self.change(Change::PullObserved { pull: pull.clone(), observed_at });
        for run in self.offers_of(&pull.id) {
            let state = self.world.runs.get(&run);
            let is_stale = state.is_some_and(|run| run.request.sha.as_ref() != Some(&pull.head));
            if !pull.is_open || is_stale {
                let why = if pull.is_open { "the head moved on" } else { "the pull request was closed" };
                self.run(run, RunChange::Expired { why: why.to_owned() });
            }
        }
        if has_closed {
            for run in self.live_runs_of(&pull.id) {
                self.cancel(run, Party::Docent, "the pull request was closed");
            }
            self.abandon_baselines(&pull.id, "the pull request was closed");
        }
        if is_new_head && pull.is_open {
            self.head_moved(pull);
        }
        let is_reported = self.world.pulls.get(&pull.id).is_some_and(|pull| pull.posted.is_some());
        if has_moved && is_reported {
            self.report(&pull.id);
        }
    }

    pub(super) fn comment_seen(&mut self, comment: &Comment) {
        let digest = hex(&Sha256::digest(comment.body.as_bytes()));
        if let Some(entry) = self.world.comments.get(&comment.id) {
            if entry.edited_at.is_none() && entry.digest != digest {
                self.change(Change::CommentEdited { comment: comment.id.clone(), at: self.now });
            }
            return;
        }
        let forge = &comment.id.repository.forge;
        // Its own comments begin with the marker; a quote of one does not, and what is written below a quote counts.
        let is_own = comment.body.trim_start().starts_with(&format!("<!-- {} -->", self.policy.marker))
            || comment.author.as_ref().is_some_and(|author| {
                self.policy.own_accounts.get(forge).is_some_and(|own| own.contains(&author.number))
            });
        if is_own || self.policy.repository(&comment.id.repository).is_none() {
            return;
        }
        let commands = self.read(comment);
        if commands.is_empty() {
            return;
        }
        let pull = PullId { repository: comment.id.repository.clone(), number: comment.pull };
        let is_pending = commands.iter().any(|asked| asked.fate == Fate::Pending);
        let needs_answer = commands.iter().any(|asked| {
            matches!(asked.fate, Fate::NotUnderstood { .. } | Fate::Refused { .. }) || comment.is_edited
        });
        self.change(Change::CommentRecorded {
            entry: Entry {
                id: comment.id.clone(),
                pull: comment.pull,
                author: comment.author.clone(),
                created_at: comment.created_at,
                seen_at: self.now,
                page_url: comment.page_url.clone(),
                digest,
                edited_at: None,
                commands,
            },
        });
        if is_pending {
            self.act(Action::Examine { comment: comment.id.clone(), pull: comment.pull });
        }
        if needs_answer {
            self.report(&pull);
        }
    }

    fn read(&self, comment: &Comment) -> Vec<Asked> {
        let reading = command::read(&comment.body, &self.policy.grammar);
        let found = reading.found.into_iter().map(|found| {
            let seen = format!("line {} of the comment reads as a command", found.line);
            let (command, fate) = match found.command {
                _ if comment.is_edited => (
                    None,
                    Fate::Ignored {
                        why: "the comment was edited before docent saw it: write a new one".to_owned(),
                    },
                ),
                _ if comment.author.is_none() => {
                    (None, Fate::Ignored { why: "the account that wrote it is gone".to_owned() })
                }
                Ok(command) => (Some(command), Fate::Pending),
                Err(misunderstanding) => (None, Fate::NotUnderstood { text: misunderstanding.to_string() }),
            };
            Asked { line: found.line, text: found.text, command, fate, path: vec![seen] }
        });
        let ignored = reading.ignored.into_iter().map(|ignored| Asked {
            line: ignored.line,
            text: ignored.text,
            command: None,
            fate: Fate::Ignored { why: ignored.reason.to_string() },
            path: Vec::new(),
        });
        let mut all: Vec<Asked> = found.chain(ignored).collect();
        all.sort_by_key(|asked| asked.line);
        all
    }

    pub(super) fn obey(
        &mut self,
        case: &Case<'_>,
        command: &Command,
        path: &mut Vec<String>,
    ) -> Result<Fate, Refusal> {
        match command {
            Command::Test(options) => self.test(case, options, path),
            Command::Retry => {
                let authority = case.authority.clone()?;
                let last = self.last_run_of_head(case.pull).ok_or_else(|| {
                    let grammar = &self.policy.grammar;
                    let ask = format!("`{}{}`", grammar.marker, grammar.words.testme);
                    let text = format!("there is no finished run of this head: write {ask}");
                    Refusal::new("nothing-to-retry", text)
                })?;
                let by = authority.party().clone();
                let mut request = self.retry_request(last, by).ok_or_else(|| {
                    Refusal::new("nothing-to-retry", format!("run {last} left nothing to retry"))
                })?;
                request.trigger =
                    Trigger::Comment { comment: case.comment.clone(), page_url: case.page_url.to_owned() };
                self.ask(case, request, Ok(authority), path)
            }
            Command::Cancel => {
                let authority = case.authority.clone()?;
                let runs = self.live_runs_of(&case.pull.id);
                if runs.is_empty() {
                    return Err(Refusal::new("nothing-to-cancel", "no run of this pull request is live"));
                }
                let who = authority.party().name().to_owned();
                for run in &runs {
                    self.cancel(*run, authority.party().clone(), &format!("cancelled by {who}"));
                }
                Ok(Fate::Answered { text: format!("stopping run {}", list(&runs)) })
            }
            Command::Status => Ok(Fate::Answered { text: self.standing(&case.pull.id) }),
            Command::Help => Ok(Fate::Answered { text: self.help(case) }),
            Command::Accept(sha) => {
                let authority = case.authority.clone()?;
                // Digits that fit two heads are nobody's decision.
                let heads = self.heads_of(&case.pull.id);
                let (full, why) =
                    authorise::bind(Some(sha), &heads, &case.pull.head, case.said(), case.examination)?;
                path.push(why);
                let offer = self.offer_for(&case.pull.id, &full)?;
                path.push(format!("{} is the commit of offer {offer}", full.short()));
                self.accept(offer, authority.authorise(()));
                Ok(Fate::Accepted { run: offer })
            }
            Command::Reject => {
                let authority = case.authority.clone()?;
                let offers = self.offers_of(&case.pull.id);
                if offers.is_empty() {
                    return Err(Refusal::new("no-offer", "there is no offer to turn down"));
                }
                for run in &offers {
                    self.run(*run, RunChange::Rejected { by: authority.party().clone() });
                }
                Ok(Fate::Answered { text: format!("offer {} turned down", list(&offers)) })
            }
        }
    }

    fn test(
        &mut self,
        case: &Case<'_>,
        options: &TestOptions,
        path: &mut Vec<String>,
    ) -> Result<Fate, Refusal> {
        if let Some(recipe) = case.policy.recipe.as_ref().and_then(|name| self.policy.recipes.get(name)) {
            plan::tiers(recipe, options).map_err(|text| Refusal::new("unknown-tier", text))?;
        }
        extra::bind(options, case.pull, &self.policy.grammar)?;
        let heads = self.heads_of(&case.pull.id);
        let bound =
            authorise::bind(options.sha.as_ref(), &heads, &case.pull.head, case.said(), case.examination);
        let sha = match (bound, &case.authority) {
            (Ok((sha, why)), _) => {
                path.push(why);
                sha
            }
            // An offer is accepted with its SHA, so the person who accepts it is the one who looked.
            (Err(refusal), Err(_)) if refusal.code == "which-commit" => case.pull.head.clone(),
            (Err(refusal), _) => return Err(refusal),
        };
        let request = Request {
            pull: Some(case.pull.id.clone()),
            place: case.policy.name.clone(),
            sha: Some(sha),
            base: Some(case.pull.base.clone()),
            is_untrusted: true,
            recipe: case.policy.recipe.clone(),
            options: options.clone(),
            only: Vec::new(),
            bundle: None,
            trigger: Trigger::Comment { comment: case.comment.clone(), page_url: case.page_url.to_owned() },
            by: Party::Account { forge: case.pull.id.repository.forge.clone(), actor: case.actor.clone() },
        };
        self.ask(case, request, case.authority.clone(), path)
    }

    /// A request becomes a run if its author may, else an offer.
    fn ask(
        &mut self,
        case: &Case<'_>,
        request: Request,
        authority: Result<Authority, Refusal>,
        path: &mut Vec<String>,
    ) -> Result<Fate, Refusal> {
        let same = |run: &&Run| {
            run.request.pull == request.pull
                && run.request.sha == request.sha
                && run.request.options == request.options
                && run.request.only == request.only
                && run.cancel.is_none()
        };
        let is_to_come = |run: &&Run| {
            !run.phase.is_ended() && run.phase != Phase::Releasing && !super::is_lapsed(run, self.now)
        };
        let twin = self.world.runs.values().filter(is_to_come).find(same).map(|run| run.id);
        let has_to_wait = self.extras_have_to_wait(case, &request)?;
        let is_offered = |twin| self.world.runs.get(&twin).is_some_and(|run| run.phase == Phase::Offered);
        match (authority, twin) {
            (Ok(_), Some(twin)) if is_offered(twin) && has_to_wait.is_some() => {
                Ok(Fate::Offered { run: twin, why: has_to_wait.unwrap_or_default() })
            }
            (Ok(authority), Some(twin)) if is_offered(twin) => {
                path.push(format!("the same was offered as {twin}: this accepts it"));
                self.accept(twin, authority.authorise(()));
                Ok(Fate::Accepted { run: twin })
            }
            (Ok(_), Some(twin)) => {
                path.push("the same is already on its way".to_owned());
                Ok(Fate::Accepted { run: twin })
            }
            (Ok(authority), None) if has_to_wait.is_none() => {
                self.room_for(&case.pull.id.repository, Phase::Waiting)?;
                let run = self.offer(request);
                self.accept(run, authority.authorise(()));
                Ok(Fate::Accepted { run })
            }
            (Err(_), Some(twin)) => Ok(Fate::Offered { run: twin, why: String::new() }),
            (_, None) => {
                self.room_for(&case.pull.id.repository, Phase::Offered)?;
                for run in self.offers_of(&case.pull.id) {
                    // What somebody is about to accept must not be swapped for something else under the same SHA.
                    if self.world.runs.get(&run).is_some_and(|run| run.request.sha == request.sha) {
                        let text = format!(
                            "offer {run} stands for this commit already: it can be accepted or turned down"
                        );
                        return Err(Refusal::new("offer-stands", text));
                    }
                    self.run(run, RunChange::Expired { why: "a later offer took its place".to_owned() });
                }
                let run = self.offer(request);
                path.extend(has_to_wait.clone());
                path.push("an offer: somebody who may can accept it".to_owned());
                Ok(Fate::Offered { run, why: has_to_wait.unwrap_or_default() })
            }
        }
    }

    /// Why a request for extra tests is an offer whoever asks; none where it may be a run.
    fn extras_have_to_wait(&self, case: &Case<'_>, request: &Request) -> Result<Option<String>, Refusal> {
        if !request.options.extra_tests {
            return Ok(None);
        }
        let runs = self.world.runs.values();
        let of_here = runs.filter(|run| run.request.repository() == Some(&case.pull.id.repository));
        let used: Vec<_> = of_here.filter_map(extra::used_at).collect();
        extra::judge(&case.policy.extra, &used, self.now)
    }

    /// Strangers' offers take no place from those who may.
    pub(super) fn room_for(&self, repository: &RepositoryId, phase: Phase) -> Result<(), Refusal> {
        let waiting = self.world.runs.values().filter(|run| {
            run.phase == phase && run.request.pull.as_ref().is_some_and(|pull| pull.repository == *repository)
        });
        if waiting.count() < self.policy.queue_limit {
            return Ok(());
        }
        let text = format!("{} runs of this repository wait already: try later", self.policy.queue_limit);
        Err(Refusal::new("queue-full", text))
    }

    /// Records a request as an offer and gives its number.
    pub(super) fn offer(&mut self, request: Request) -> RunId {
        let run = RunId(self.world.next_run.max(1));
        let expires_at = self.now + self.policy.offer_lifetime;
        let pull = request.pull.clone();
        self.change(Change::RunOffered { run, request, at: self.now, expires_at });
        if let Some(pull) = pull {
            self.report(&pull);
        }
        run
    }

    /// Accepts an offer: the only approval there is. Older live runs of the same pull request give way.
    pub(super) fn accept(&mut self, run: RunId, authorised: Authorised<()>) {
        let ((), by) = authorised.into_parts();
        // Asked twice, or too late: what is no offer any more is left as it is.
        let Some(state) = self.world.runs.get(&run).filter(|run| run.phase == Phase::Offered) else { return };
        if super::is_lapsed(state, self.now) {
            return self.run(run, RunChange::Expired { why: "it was not accepted in time".to_owned() });
        }
        let pull = state.request.pull.clone();
        let older = match (&state.request.pull, state.request.branch()) {
            (Some(pull), _) => self.live_runs_of(pull),
            (None, Some(branch)) => self.live_runs_of_branch(branch),
            (None, None) => Vec::new(),
        };
        self.run(run, RunChange::Accepted { by });
        self.run(run, RunChange::Queued);
        self.look_for_extras(run);
        for old in older {
            self.supersede(old, run);
        }
        if let Some(pull) = pull {
            self.abandon_baselines(&pull, &format!("superseded by run {run}"));
        }
    }

    fn supersede(&mut self, old: RunId, by: RunId) {
        self.cancel(old, Party::Docent, &format!("superseded by run {by}"));
        let comment = match self.world.runs.get(&old).map(|run| &run.request.trigger) {
            Some(Trigger::Comment { comment, .. }) => comment.clone(),
            _ => return,
        };
        let Some(entry) = self.world.comments.get(&comment) else { return };
        let stood_for = |asked: &Asked| asked.fate == Fate::Accepted { run: old };
        if let Some(index) = entry.commands.iter().position(stood_for) {
            let path = vec![format!("run {by} took the place of run {old}")];
            self.change(Change::CommandDecided { comment, index, fate: Fate::Superseded { by }, path });
        }
    }

    pub(super) fn heads_of(&self, pull: &PullId) -> Vec<ObservedHead> {
        self.world.pulls.get(pull).map(|pull| pull.heads.clone()).unwrap_or_default()
    }

    fn offer_for(&self, pull: &PullId, sha: &Sha) -> Result<RunId, Refusal> {
        let offers = self.offers_of(pull);
        let of_run = |run: &RunId| self.world.runs.get(run);
        let fits = |run: &&RunId| of_run(run).is_some_and(|run| run.request.sha.as_ref() == Some(sha));
        let lapsed = |run: &RunId| of_run(run).is_some_and(|run| super::is_lapsed(run, self.now));
        match offers.iter().find(fits) {
            Some(run) if lapsed(run) => Err(Refusal::new("offer-expired", "the offer has lapsed: ask again")),
            Some(run) => Ok(*run),
            None if offers.is_empty() => Err(Refusal::new("no-offer", "there is no offer to accept")),
            None => Err(Refusal::new("unknown-sha", format!("no offer stands for {}", sha.short()))),
        }
    }

    fn last_run_of_head(&self, pull: &PullRequest) -> Option<RunId> {
        let runs = self.world.runs.values().rev();
        runs.filter(|run| {
            run.request.pull.as_ref() == Some(&pull.id) && run.request.sha.as_ref() == Some(&pull.head)
        })
        .find(|run| matches!(run.phase, Phase::Completed | Phase::Failed | Phase::Cancelled))
        .map(|run| run.id)
    }

    /// The request that repeats what was not good in `run`; none if all of it was.
    pub(super) fn retry_request(&self, run: RunId, by: Party) -> Option<Request> {
        let run = self.world.runs.get(&run).filter(|run| run.phase.is_ended())?;
        let bad = run.tiers.iter().flat_map(|tier| &tier.tests);
        let mut only: Vec<String> =
            bad.filter(|test| super::is_worth_a_retry(test.outcome)).map(|test| test.name.clone()).collect();
        // What was planned and left no result was not good either.
        let left_out = run.tiers.iter().flat_map(|tier| {
            tier.planned.iter().filter(|name| !tier.tests.iter().any(|test| test.name == **name))
        });
        only.extend(left_out.cloned());
        only.sort();
        only.dedup();
        let is_unfinished =
            run.tiers.iter().any(|tier| tier.verdict != Some(Verdict::Pass) && tier.tests.is_empty());
        if only.is_empty() && !is_unfinished && run.verdict == Some(Verdict::Pass) {
            return None;
        }
        let plan = run.plan.as_ref();
        let is_default = |name: &String| plan.is_some_and(|plan| plan.notebooks.contains(name));
        let is_extra = |name: &String| {
            is_other_test(name) || plan.is_some_and(|plan| plan.extra_notebooks.contains(name))
        };
        if is_unfinished || !only.iter().all(|name| is_default(name) || is_extra(name)) {
            only.clear();
        }
        let mut request = Request { only, by, ..run.request.clone() };
        // Where all extra tests were good, their status stays what it is.
        request.options.extra_tests &= request.only.is_empty() || request.only.iter().any(is_extra);
        Some(request)
    }

    fn standing(&self, pull: &PullId) -> String {
        let mut lines: Vec<String> = Vec::new();
        for run in self.live_runs_of(pull).into_iter().chain(self.offers_of(pull)) {
            let state = &self.world.runs[&run];
            lines.push(match state.phase {
                Phase::Waiting => format!("run {run} waits at place {} of the queue", self.place_of(run)),
                Phase::Offered => {
                    let until = state.expires_at.map(for_people).unwrap_or_default();
                    format!("offer {run} waits to be accepted until {until}")
                }
                phase => format!("run {run} is {}", phase.word()),
            });
        }
        if lines.is_empty() { "no run of this pull request is live".to_owned() } else { lines.join("; ") }
    }

    fn help(&self, case: &Case<'_>) -> String {
        let grammar = &self.policy.grammar;
        let (marker, words) = (grammar.marker, &grammar.words);
        let everybody = format!(
            "{marker}{} [--extra-tests] [--tier NAME] [--notebooks GLOB] [--full] [SHA], {marker}{}, {marker}{}",
            words.testme, words.status, words.help
        );
        match &case.authority {
            Ok(_) => format!(
                "you may start and stop runs here: {everybody}, {marker}{}, {marker}{}, {marker}{} SHA, {marker}{}",
                words.retry, words.cancel, words.accept, words.reject
            ),
            Err(_) => {
                format!("you may ask here: {everybody}; a run then waits until somebody who may accepts it")
            }
        }
    }
}

fn list(runs: &[RunId]) -> String {
    runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
