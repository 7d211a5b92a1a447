//! The end of a stage: everything that is there must have been expected.

use std::collections::BTreeSet;

use docent::core::report::{self, Light};
use docent::core::run::{Phase, Run};
use docent::demo::forge::Status;
use docent::executor::Executor;

use super::{REPOSITORY, Stage, tell};

impl Stage {
    /// Waits until docent rests, stops it, and fails on everything that was not expected.
    #[track_caller]
    pub fn end(mut self) {
        self.forge.behave();
        self.settle();
        let life = self.life.take().expect("docent is alive");
        life.stop.cancel();
        let stopped = self.runtime.block_on(life.running);
        assert!(stopped.is_ok_and(|well| well), "docent did not stop well");
        life.runtime.shutdown_timeout(std::time::Duration::from_secs(20));
        self.has_ended = true;
        let mut surprises = Vec::new();
        self.look_at_runs(&mut surprises);
        self.look_at_forge(&mut surprises);
        self.look_for_leftovers(&mut surprises);
        assert!(surprises.is_empty(), "not expected:\n{}\n\n{}", surprises.join("\n"), self.standing());
    }

    /// Waits until nothing is open, and still nothing after two more polls.
    #[track_caller]
    fn settle(&self) {
        let polls = std::cell::Cell::new(None);
        self.until("rest", |stage| {
            let now = stage.tap().polls();
            let is_open = !stage.outbox().is_empty() || !stage.leftovers().is_empty();
            if is_open || polls.get().is_none() {
                polls.set(Some(now));
            }
            !is_open && polls.get().is_some_and(|then| now >= then + 3)
        });
    }

    /// There is a run, and nothing is left to be done.
    pub fn is_at_rest(&self) -> bool {
        !self.runs().is_empty() && self.outbox().is_empty() && self.leftovers().is_empty()
    }

    fn outbox(&self) -> Vec<String> {
        let open = self.runtime.block_on(self.store.open_actions()).unwrap();
        open.into_iter().map(|open| format!("{} (tried {} times)", open.action.key(), open.tries)).collect()
    }

    pub fn runs(&self) -> Vec<Run> {
        self.runtime.block_on(self.store.latest_runs(100_000, None)).unwrap()
    }

    fn look_at_runs(&self, surprises: &mut Vec<String>) {
        let (runs, expected) = (self.runs(), &self.expected.borrow().runs);
        for run in runs.iter().filter(|run| !expected.contains(&run.id)) {
            surprises.push(format!("run {}: {}", run.id, tell(run)));
        }
        let mut named: BTreeSet<String> = BTreeSet::new();
        for run in &runs {
            named.extend(
                run.tiers.iter().flat_map(|tier| &tier.attempts).map(|attempt| attempt.id.to_string()),
            );
        }
        let mut started: BTreeSet<String> = BTreeSet::new();
        for job in self.executor.submissions() {
            let name = job.attempt.to_string();
            if !named.contains(&name) {
                surprises.push(format!("attempt {name} belongs to no run"));
            }
            if !started.insert(name.clone()) {
                surprises.push(format!("attempt {name} was started twice"));
            }
        }
        let entries = self.runtime.block_on(self.store.latest_comments(1_000_000)).unwrap();
        for entry in entries {
            for asked in entry.commands.iter().filter(|asked| asked.fate.word() == "pending") {
                surprises.push(format!("no fate for {:?}", asked.text));
            }
        }
        if let Err(row) = self.runtime.block_on(self.store.verify_journal()).unwrap() {
            surprises.push(format!("row {row} of the journal is not as it was written"));
        }
    }

    fn look_at_forge(&self, surprises: &mut Vec<String>) {
        let repositories = std::iter::once(REPOSITORY.to_owned())
            .chain(self.setting.others.iter().filter(|name| !name.ends_with("/missing")).cloned());
        for repository in repositories {
            for pull in self.pulls(&repository) {
                let told = self.told(&repository, pull);
                let is_expected = self.expected.borrow().comments.contains(&(repository.clone(), pull));
                if told.len() != usize::from(is_expected) {
                    surprises.push(format!("{} comments on {repository}#{pull}: {told:#?}", told.len()));
                }
            }
            self.look_at_statuses(&repository, surprises);
        }
    }

    fn pulls(&self, repository: &str) -> Vec<u64> {
        (1..50).filter(|pull| self.seen_pull(repository, *pull).is_some()).collect()
    }

    /// Each commit shows what became of the last run of it, and nothing where there was none.
    fn look_at_statuses(&self, repository: &str, surprises: &mut Vec<String>) {
        let runs = self.runs();
        let of_here: Vec<&Run> = runs.iter().filter(|run| run.request.place == repository).collect();
        let mut commits: BTreeSet<String> = self.forge.branches(repository).into_values().collect();
        commits.extend(of_here.iter().filter_map(|run| run.request.sha.as_ref().map(ToString::to_string)));
        for commit in commits {
            let is_of_it = |run: &&&Run| run.request.sha.as_ref().is_some_and(|sha| sha.as_str() == commit);
            let never_ran = [Phase::Offered, Phase::Rejected, Phase::Expired];
            let is_told = |run: &&&Run| !never_ran.contains(&run.phase) && !run.request.is_baseline();
            let last = of_here.iter().filter(is_of_it).find(is_told);
            let expected = last.filter(|_| self.setting.has_reports).map(|run| word(report::status(run).0));
            let (extra, set): (Vec<Status>, Vec<Status>) = self
                .forge
                .statuses(repository, &commit)
                .into_iter()
                .partition(|it| it.context == "docent/extra");
            let has_extra = |run: &&&Run| is_told(run) && report::extra_status(run).is_some();
            let last = of_here.iter().filter(is_of_it).find(has_extra);
            let expected_extra = last.filter(|_| self.setting.has_reports);
            let expected_extra =
                expected_extra.and_then(|run| report::extra_status(run)).map(|it| word(it.0));
            if extra.last().map(|status| status.state.as_str()) != expected_extra {
                surprises.push(format!("docent/extra of {commit}: {extra:#?}, expected: {expected_extra:?}"));
            }
            if set.last().map(|status| status.state.as_str()) != expected {
                surprises.push(format!("statuses of {commit}: {set:#?}, expected at last: {expected:?}"));
            }
        }
    }

    fn look_for_leftovers(&self, surprises: &mut Vec<String>) {
        surprises.extend(self.leftovers());
    }

    fn leftovers(&self) -> Vec<String> {
        let held = self.runtime.block_on(self.executor.list()).unwrap_or_default();
        let mut left: Vec<String> =
            held.attempts.iter().map(|attempt| format!("attempt {attempt} is left")).collect();
        left.extend(held.runs.iter().map(|run| format!("something of run {run} is left at the executor")));
        let kept = self.environments();
        let stray = held.environments.iter().filter(|run| !kept.contains(run));
        left.extend(stray.map(|run| format!("the environment of run {run} is left, and nobody keeps it")));
        let missing = kept.iter().filter(|run| !held.environments.contains(run));
        left.extend(missing.map(|run| format!("the environment of run {run} is kept, and not there")));
        for folder in ["work", "logs", "compare"] {
            let entries = std::fs::read_dir(self.state().join(folder)).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| format!("{} is left", entry.path().display())));
        }
        left
    }

    /// Everything, for the person who has to find out why.
    pub fn standing(&self) -> String {
        let runs: Vec<String> = self
            .runs()
            .iter()
            .map(|run| format!("run {}: {} ({})", run.id, tell(run), run.reason.clone().unwrap_or_default()))
            .collect();
        let entries = self.runtime.block_on(self.store.latest_comments(20)).unwrap();
        let asked: Vec<String> = entries
            .iter()
            .flat_map(|entry| &entry.commands)
            .map(|asked| format!("{:.80}: {:.300}", asked.text, format!("{:?}", asked.fate)))
            .collect();
        let polls = self.runtime.block_on(self.store.polls::<docent::core::event::Heartbeat>());
        let polls: Vec<String> = polls
            .unwrap()
            .iter()
            .map(|poll| format!("poll: {:?}", poll.last.as_ref().map(|last| last.failures.clone())))
            .collect();
        let told: Vec<String> =
            self.told(REPOSITORY, self.sample.pull).into_iter().map(|comment| comment.body).collect();
        let requests = self.forge.requests();
        let last = requests.iter().rev().take(12).rev();
        let last = last.map(|request| {
            let at = request.at.format("%T%.3f");
            format!("{at} {} {} {:?}", request.method, request.path, request.status)
        });
        let count = format!("{} requests, the last of them:", requests.len());
        let last: Vec<String> = std::iter::once(count).chain(last).collect();
        let lists = [runs, asked, self.outbox(), self.leftovers(), polls, last, told];
        lists.map(|list| list.join("\n")).join("\n--\n")
    }
}

/// The light as a forge's state.
fn word(light: Light) -> &'static str {
    match light {
        Light::Pending => "pending",
        Light::Green => "success",
        Light::Red => "failure",
        Light::Grey => "error",
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(life) = self.life.take() {
            life.runtime.shutdown_background();
        }
        assert!(self.has_ended || std::thread::panicking(), "the test did not end its stage");
    }
}
