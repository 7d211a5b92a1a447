//! One attempt, from the job's description to results that are kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::Daemon;
use super::dispatch::{ours, passing};
use super::results;
use crate::core::environment;
use crate::core::event::{AttemptEnding, Event, Fault};
use crate::core::id::AttemptId;
use crate::core::outcome::{Ending, SKIPPED, TestResult};
use crate::core::plan::{self, Plan};
use crate::core::recipe::{Environment, TestSet, Tier};
use crate::core::reuse;
use crate::core::run::{Attempt, Kept, Run, TierRun};
use crate::core::service::{self, Fallen, Service};
use crate::executor::{Executor, Job, Observation};
use crate::forge::{Forge, Reporter};

/// What a step may leave in `/out`, in bytes; what is beyond it is left out, and named in a file beside the rest.
const MAX_COLLECTED: u64 = 2 << 30;

/// What the lock of a run is called in `/in`, once it is there.
pub(super) const LOCK: &str = "requirements.lock";

impl<F: Forge + 'static, R: Reporter + 'static, E: Executor + 'static> Daemon<F, R, E> {
    /// Runs an attempt to its end, or takes up one that is under way.
    pub(super) async fn execute(&self, id: &AttemptId, token: &CancellationToken) -> Result<Event, Fault> {
        let Some(run) = self.0.store.run(id.run).await? else { return Ok(Event::Settled { run: id.run }) };
        let Some((tier, attempt)) = open_attempt(&run, id) else {
            return Ok(Event::Settled { run: id.run });
        };
        if run.cancel.is_some() && attempt.started_at.is_none() {
            return Ok(ended(id, AttemptEnding::Ended { ending: Ending::Cancelled }));
        }
        if tier.tier.is_built_in() {
            return Ok(built_in(id, &run, &tier.tier));
        }
        if attempt.started_at.is_some() && self.0.executor.observe(id).await? == Observation::Unknown {
            let why = "the attempt was gone after docent had been restarted".to_owned();
            return Ok(ended(id, AttemptEnding::Lost { why }));
        }
        let reused = self.reusable(&run, tier).await?;
        if !reused.is_empty() && reused.len() == tier.planned.len() {
            return Ok(whole_reused(id, reused));
        }
        if attempt.started_at.is_none() {
            // Nothing of it exists while it waits for an executor, so stopping it needs none.
            tokio::select! {
                () = self.0.executor.ready() => {}
                () = token.cancelled() => {
                    return Ok(ended(id, AttemptEnding::Ended { ending: Ending::Cancelled }));
                }
            }
        }
        if attempt.started_at.is_none() {
            let mut fallen = self.fallen(&run, tier.tier.is_opt_in).await?;
            let before = run.fallen_before(tier.tier.is_opt_in);
            fallen.extend(
                before
                    .into_iter()
                    .filter(|it| !fallen.iter().any(|other| other.name == it.name))
                    .collect::<Vec<_>>(),
            );
            if let Some(why) = service::refusal(&fallen) {
                return Ok(ended_without(id, AttemptEnding::Errored { why }, fallen));
            }
        }
        let job = self.describe(&run, tier, id, &reused).await?;
        self.0.executor.submit(&job).await?;
        self.step(Event::AttemptStarted { attempt: id.clone() }, None).await?;
        let log = self.0.files.live_log(id);
        let ending = self.0.executor.wait(id, &job.limits, &log).await?;
        let fallen = self.fallen(&run, tier.tier.is_opt_in).await?;
        let out = self.out_dir(id);
        self.0.executor.collect(id, &out, MAX_COLLECTED).await?;
        if tier.tier.environment == Environment::Write {
            self.measure_environment(&run, id).await?;
        }
        let (files, attempt) = (self.0.files.clone(), id.clone());
        let kept = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
            let (tests, unreadable) = results::read(&out);
            Ok((tests, unreadable, files.keep_log(&attempt)?, files.keep_folder(&out)?))
        });
        let (tests, unreadable, log, artifacts): (Vec<TestResult>, _, Option<Kept>, Vec<Kept>) = kept
            .await
            .map_err(|error| passing(error.to_string()))?
            .map_err(|error| passing(format!("the results of {id} could not be kept: {error}")))?;
        for text in unreadable {
            tracing::warn!(attempt = %id, %text, "a step left results that cannot be read");
        }
        Ok(Event::AttemptEnded {
            attempt: id.clone(),
            ending: AttemptEnding::Ended { ending },
            tests: reuse::merge(tests, reused),
            log,
            artifacts,
            fallen,
        })
    }

    /// Notes how large the environment is that this run makes, once it is known which one that is. An engine that cannot tell hinders
    /// nothing.
    async fn measure_environment(&self, run: &Run, attempt: &AttemptId) -> Result<(), Fault> {
        if run.environment.as_ref().is_none_or(|used| used.of != run.id) {
            return Ok(());
        }
        match self.0.executor.environment_bytes(attempt).await {
            Ok(Some(bytes)) => {
                self.step(Event::EnvironmentMeasured { run: run.id, bytes }, None).await?;
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(run = %run.id, %error, "its environment cannot be measured"),
        }
        Ok(())
    }

    /// What of this tier's tests can be taken from earlier runs.
    async fn reusable(&self, run: &Run, tier: &TierRun) -> Result<Vec<TestResult>, Fault> {
        let keys = reuse::keys(run, &tier.tier);
        if keys.is_empty() || !reuse::is_wanted(run) {
            return Ok(Vec::new());
        }
        let candidates = self.0.store.kept_results(keys.into_values().collect()).await?;
        let mut sources = BTreeMap::new();
        for candidate in &candidates {
            if let Entry::Vacant(place) = sources.entry(candidate.run)
                && let Some(source) = self.0.store.run(candidate.run).await?
            {
                place.insert(source);
            }
        }
        let chosen = reuse::choose(run, tier, &candidates, &sources);
        for text in chosen.inconsistent {
            tracing::warn!(run = %run.id, %text, "a remembered result is not trusted");
        }
        Ok(chosen.results)
    }

    /// The tests that are to be run, in the order in which they are begun.
    async fn to_run(&self, run: &Run, tier: &TierRun, reused: &[TestResult]) -> Result<Vec<String>, Fault> {
        let is_reused = |name: &&String| reused.iter().any(|test| test.name == **name);
        let names: Vec<String> = tier.planned.iter().filter(|name| !is_reused(name)).cloned().collect();
        let place = run.request.place.clone();
        let lengths = self.0.store.lengths(place, tier.tier.name.clone(), names.clone()).await?;
        Ok(plan::longest_first(names, &lengths))
    }

    /// Removes what an attempt has left, once its end is recorded. What fails here is found again after a restart.
    pub(super) async fn clear_if_closed(&self, attempt: &AttemptId) {
        let run = self.0.store.run(attempt.run).await.ok().flatten();
        let is_closed = run.and_then(|run| Some(run.attempt(attempt)?.closed_at.is_some())).unwrap_or(false);
        if !is_closed {
            return;
        }
        if let Err(error) = self.0.executor.remove(attempt).await {
            tracing::warn!(%attempt, %error, "could not be removed yet");
        }
        let _ = tokio::fs::remove_dir_all(self.out_dir(attempt)).await;
        let _ = self.0.files.drop_live_log(attempt);
    }

    fn out_dir(&self, attempt: &AttemptId) -> PathBuf {
        self.work_dir(attempt.run).join(format!("out-{attempt}"))
    }

    async fn describe(
        &self,
        run: &Run,
        tier: &TierRun,
        id: &AttemptId,
        reused: &[TestResult],
    ) -> Result<Job, Fault> {
        let to_run = self.to_run(run, tier, reused).await?;
        let tier = &tier.tier;
        let used = run.recipe.as_ref().ok_or_else(|| ours("the run has no recipe"))?;
        let policy = self.policy();
        let recipe = policy
            .recipes
            .get(&used.name)
            .ok_or_else(|| ours(format!("the recipe {} is not there any more", used.name)))?;
        let folder = self
            .0
            .shelf
            .folder(&used.name)
            .ok_or_else(|| ours(format!("the recipe {} has no folder", used.name)))?;
        let plan = run.plan.clone().unwrap_or_default();
        let (notebooks, extra_notebooks) = match tier.tests {
            Some(TestSet::Notebooks) => (to_run, plan.extra_notebooks),
            Some(TestSet::ExtraNotebooks) => (plan.notebooks, to_run),
            None => (plan.notebooks, plan.extra_notebooks),
        };
        let services: BTreeMap<&str, _> = run.services_of(tier.is_opt_in).map(told).collect();
        let document = serde_json::json!({
            "run": run.id,
            "sha": run.request.sha,
            "tier": tier.name,
            "extra": tier.is_opt_in,
            "notebooks": notebooks,
            "extra_notebooks": extra_notebooks,
            "tests": plan::other_tests(&run.request),
            "requirements": plan.requirements,
            "curation": plan.curation,
            "services": services,
            "settings": recipe.settings,
            "limits": {
                "memory_bytes": tier.limits.memory_bytes,
                "cpus": tier.limits.cpus,
                "timeout_seconds": tier.limits.timeout_seconds,
            },
        });
        let mut inputs = BTreeMap::from([("plan.json".to_owned(), document.to_string().into_bytes())]);
        if let Some(lock) = environment::lock(run).and_then(|lock| self.0.files.path(&lock.digest)) {
            let read = tokio::fs::read(&lock).await;
            let lock = read.map_err(|error| passing(format!("{}: {error}", lock.display())))?;
            inputs.insert(LOCK.to_owned(), lock);
        } else if tier.lock.is_some() {
            inputs.extend(self.lock_inputs(run, recipe).await?);
        }
        let sha = run.request.sha.as_ref().map(|sha| sha.as_str()).unwrap_or_default();
        let mut variables = BTreeMap::from([
            ("DOCENT_RUN".to_owned(), run.id.to_string()),
            ("DOCENT_SHA".to_owned(), sha.to_owned()),
            ("DOCENT_TIER".to_owned(), tier.name.clone()),
            ("DOCENT_OUT".to_owned(), "/out".to_owned()),
        ]);
        variables.extend(run.services_of(tier.is_opt_in).map(|it| (it.variable(), it.address())));
        Ok(Job {
            attempt: id.clone(),
            image: used.image.clone(),
            command: tier.run.clone(),
            variables,
            repo: if plan.curation.is_some() { self.curation_dir(run) } else { self.checkout_dir(run) },
            recipe: folder.to_owned(),
            inputs,
            environment: tier.environment,
            environment_of: run.environment.as_ref().map_or(run.id, |used| used.of),
            network: tier.network,
            services: run.services_of(tier.is_opt_in).map(|it| it.name.clone()).collect(),
            limits: tier.limits,
        })
    }
}

/// Everything that was planned has been had before: nothing is started.
fn whole_reused(id: &AttemptId, tests: Vec<TestResult>) -> Event {
    Event::AttemptEnded {
        attempt: id.clone(),
        ending: AttemptEnding::Ended { ending: Ending::Exited { code: 0 } },
        tests,
        log: None,
        artifacts: Vec::new(),
        fallen: Vec::new(),
    }
}

/// A service, as `plan.json` tells of it.
fn told(service: &Service) -> (&str, serde_json::Value) {
    let (host, port) = (&service.name, service.port);
    (host, serde_json::json!({"address": service.address(), "host": host, "port": port}))
}

fn open_attempt<'a>(run: &'a Run, id: &AttemptId) -> Option<(&'a TierRun, &'a Attempt)> {
    let attempt = run.attempt(id).filter(|attempt| attempt.closed_at.is_none())?;
    Some((run.tier(&id.tier)?, attempt))
}

/// A built-in tier has been done when the commit was looked at.
fn built_in(id: &AttemptId, run: &Run, tier: &Tier) -> Event {
    if tier.name != "validate" {
        let why = format!("the tier {} has no command and is not built into docent", tier.name);
        return ended(id, AttemptEnding::Errored { why });
    }
    let tests = run.plan.as_ref().map(Plan::default_findings).unwrap_or_default();
    let code = match tests.iter().any(|test| test.outcome.is_bad()) {
        true => 1,
        false if tests.is_empty() => SKIPPED,
        false => 0,
    };
    Event::AttemptEnded {
        attempt: id.clone(),
        ending: AttemptEnding::Ended { ending: Ending::Exited { code } },
        tests,
        log: None,
        artifacts: Vec::new(),
        fallen: Vec::new(),
    }
}

fn ended(id: &AttemptId, ending: AttemptEnding) -> Event {
    ended_without(id, ending, Vec::new())
}

/// The same, where these services have fallen.
fn ended_without(id: &AttemptId, ending: AttemptEnding, fallen: Vec<Fallen>) -> Event {
    let (tests, artifacts) = (Vec::new(), Vec::new());
    Event::AttemptEnded { attempt: id.clone(), ending, tests, log: None, artifacts, fallen }
}
