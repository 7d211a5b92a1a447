//! Telling the forge: the comment and the status, made from the state at this moment.

use sha2::{Digest, Sha256};

use super::Daemon;
use super::dispatch::{ours, passing};
use crate::core::event::{Event, Fault};
use crate::core::id::{PullId, RunId};
use crate::core::report::{self, Light, View};
use crate::core::run::Run;
use crate::executor::Executor;
use crate::forge::{Forge, ForgeErrorKind, Reporter, Status, StatusState};

/// Runs that a comment is made of.
const REMEMBERED: u32 = 12;
/// Comments with commands that it answers, or would if they were not somebody's many.
const ANSWERED: u32 = 100;

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Brings the comment of a pull request up to date.
    pub(super) async fn report(&self, id: &PullId) -> Result<Event, Fault> {
        let (Some(reporter), Some(repository)) =
            (self.0.reporters.get(&id.repository.forge), self.repository(&id.repository))
        else {
            return Err(ours("there is no report credential for this repository"));
        };
        let store = &self.0.store;
        let Some(pull) = store.pull(id).await? else { return Err(ours("the pull request is not known")) };
        let comments = store.comments_of_pull(id, ANSWERED).await?;
        let runs = store.runs_of_pull(id, REMEMBERED).await?;
        let policy = self.policy();
        let accept = format!("{}{}", policy.grammar.marker, policy.grammar.words.accept);
        let view = View {
            pull: &pull,
            comments: &comments,
            runs: &runs,
            public_url: policy.public_url.as_deref(),
            clone_url: Some(&repository.clone_url),
            accept: &accept,
            publish: policy.repository(&id.repository).and_then(|repository| repository.publish.as_ref()),
        };
        let body = report::comment(&view, &policy.marker, reporter.comment_limit());
        let digest: String =
            Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        if let Some(posted) = pull.posted.as_ref().filter(|posted| posted.digest == digest) {
            return Ok(Event::Reported { pull: id.clone(), comment: posted.comment, digest });
        }
        let known = pull.posted.as_ref().map(|posted| posted.comment);
        let comment = reporter.comment(&repository, id, known, &policy.marker, &body).await?;
        Ok(Event::Reported { pull: id.clone(), comment, digest })
    }

    /// Brings the status of a run up to date, where the report credential may.
    pub(super) async fn set_status(&self, id: RunId) -> Result<Event, Fault> {
        let run = self.0.store.run(id).await?.filter(|run| !run.request.is_baseline());
        let Some(run) = run else { return Ok(Event::Settled { run: id }) };
        let (Some(place), Some(sha)) = (run.request.repository(), &run.request.sha) else {
            return Ok(Event::Settled { run: id });
        };
        let (Some(reporter), Some(repository)) = (self.0.reporters.get(&place.forge), self.repository(place))
        else {
            return Err(ours("there is no report credential for this repository"));
        };
        // One context, several runs of one commit: the newest that has something to say speaks.
        let runs = match (&run.request.pull, run.request.branch()) {
            (Some(pull), _) => self.0.store.runs_of_pull(pull, REMEMBERED).await?,
            (None, Some(branch)) => self.0.store.runs_of_branch(branch, REMEMBERED).await?,
            (None, None) => Vec::new(),
        };
        let is_newer = |other: &Run| {
            other.id > id
                && other.request.sha.as_ref() == Some(sha)
                && (other.phase.is_live() || other.verdict.is_some())
        };
        let mut told = Vec::new();
        if !runs.iter().any(is_newer) {
            told.push((context(&run), report::status(&run)));
        }
        let is_newer_extra = |other: &Run| is_newer(other) && report::extra_status(other).is_some();
        if let Some(status) = report::extra_status(&run).filter(|_| !runs.iter().any(is_newer_extra)) {
            told.push((EXTRA.to_owned(), status));
        }
        for (context, (light, description)) in told {
            let status = Status {
                state: match light {
                    Light::Pending => StatusState::Pending,
                    Light::Green => StatusState::Success,
                    Light::Red => StatusState::Failure,
                    Light::Grey => StatusState::Error,
                },
                context,
                description,
                target_url: self.policy().public_url.as_ref().map(|url| format!("{url}/runs/{id}")),
            };
            match reporter.status(&repository, sha, &status).await {
                Ok(()) => {}
                Err(error) if error.kind == ForgeErrorKind::Forbidden => {
                    tracing::debug!(%error, "this report credential may comment but set no status");
                }
                Err(error) if error.is_passing() => return Err(passing(error.to_string())),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Event::StatusSet { run: id })
    }
}

/// What the status of extra tests stands under.
const EXTRA: &str = "docent/extra";

/// What a status stands under. A commit can be the head of a pull request and the tip of branches as well, and each has a verdict
/// of its own.
fn context(run: &Run) -> String {
    match run.request.branch() {
        // A branch of that name has another status than the extra tests of a commit that is on it.
        Some(branch) if format!("docent/{}", branch.name) == EXTRA => format!("docent/heads/{}", branch.name),
        Some(branch) => format!("docent/{}", branch.name),
        None => "docent".to_owned(),
    }
}
