//! `/runs/N`: one run: what was asked, what came of it, and what exactly went wrong, the worst first.

mod locks;
mod tier;

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;

use super::row::{LOGIN, NAME, RunRow};
use super::{Frame, Moment, count, page};
use crate::core::baseline::{self, Baseline};
use crate::core::id::{RunId, Sha};
use crate::core::pull::Repository;
use crate::core::result::{Origin, reproduce};
use crate::core::run::{Kept, Party, Run, Trigger};
use crate::core::service::ServiceRun;
use crate::core::time::Time;
use crate::web::badge::Badge;
use crate::web::kept::run_at;
use crate::web::problem::Problem;
use crate::web::text::{Shown, size};
use crate::web::{Site, link};
use locks::Locks;
use tier::Tier;

/// Bytes of a running log with which the page begins.
const TAIL: usize = 100_000;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    row: RunRow,
    verdict: Option<Badge>,
    summary: String,
    cancel: Option<(Shown, Shown)>,
    accepted_by: Option<Shown>,
    account: Option<(Shown, u64)>,
    comment: Option<String>,
    is_from_comment: bool,
    /// The run whose failures this one looks at on their base.
    asks_for: Option<(RunId, String)>,
    /// What it was compared with.
    compared: Option<Compared>,
    /// The curated spec: where it is kept, and what became of it in a registry.
    curated: Option<(String, Shown)>,
    publishing: Option<Shown>,
    pull_command: Option<Shown>,
    rule: Option<Shown>,
    head: Option<Commit>,
    base: Option<Commit>,
    is_untrusted: bool,
    recipe: Option<Recipe>,
    phases: Vec<(&'static str, Moment)>,
    started: Option<Moment>,
    ended: Option<Moment>,
    warnings: Vec<Shown>,
    services: Vec<Beside>,
    tiers: Vec<Tier>,
    log: Option<LiveLog>,
    /// What the lock has that the one before it had not.
    locks: Option<Locks>,
    /// Where the bundle is, and its size.
    bundle: Option<(String, String)>,
    reproduce: Shown,
}

struct Commit {
    sha: String,
    short: String,
    href: Option<String>,
}

/// The commit that the pull request started from, and what asking it came to.
struct Compared {
    base: Commit,
    by: Option<(RunId, String)>,
    note: Shown,
}

struct Recipe {
    name: Shown,
    digest: Shown,
    image: Shown,
}

/// A service of the run.
struct Beside {
    address: Shown,
    image: Shown,
    fell: Shown,
    /// Its log and how large it is, once it is kept.
    log: Option<(String, String)>,
}

impl Beside {
    fn new(run: &Run, of: &ServiceRun) -> Self {
        let link = |log: &Kept| (link::artifact(run.id, &log.digest), size(log.size));
        Self {
            address: Shown::line(&of.service.address(), NAME),
            image: Shown::line(&of.service.image, 200),
            fell: Shown::line(of.fell.as_deref().unwrap_or_default(), 300),
            log: of.log.as_ref().map(link),
        }
    }
}

/// The log of the attempt that runs.
struct LiveLog {
    name: Shown,
    href: String,
    tail: usize,
}

pub async fn run(
    State(site): State<Arc<Site>>,
    OriginalUri(uri): OriginalUri,
    number: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(number) = number.map_err(|_| Problem::not_found("there is no run of this number"))?;
    let run = run_at(&site, &number).await?;
    let repositories = site.pages.store.repositories().await?;
    let of_run = |repository: &Repository| run.request.repository() == Some(&repository.id);
    let repository = repositories.iter().map(|(_, repository)| repository).find(|found| of_run(found));
    let now = site.pages.clock.now();
    let title = format!("Run {} of {}", run.id, run.request.place);
    let is_compared = run.baseline.as_ref().is_none_or(|baseline| baseline.is_concluded);
    let page_url = site.pages.public_url.as_ref().map(|top| format!("{top}/runs/{}", run.id));
    let clone_url = repository.map(|repository| repository.clone_url.as_str());
    let origin = Origin { clone_url, page_url: page_url.as_deref(), ..Origin::default() };
    let is_published = run.publishing.as_ref().is_none_or(|publishing| !publishing.is_open());
    let is_live = !run.phase.is_ended() || !is_compared || !is_published;
    let frame = Frame::new(&site, uri.path(), "runs", &title).live(is_live);
    page(&view(frame, &run, repository, origin, now))
}

fn compared(run: &Run, baseline: &Baseline, commit: impl Fn(&Sha) -> Commit) -> Compared {
    let note = match &baseline.note {
        _ if baseline::is_let_pass(run) => "nothing new fails, and the recipe lets that pass",
        Some(note) => note.as_str(),
        None if baseline.is_concluded => "",
        None => "not known yet",
    };
    Compared {
        base: commit(&baseline.base),
        by: baseline.by.map(|by| (by, link::run(by))),
        note: Shown::line(note, 400),
    }
}

fn view(frame: Frame, run: &Run, repository: Option<&Repository>, origin: Origin<'_>, now: Time) -> RunPage {
    let request = &run.request;
    let commit = |sha: &Sha| Commit {
        sha: sha.to_string(),
        short: sha.short().to_owned(),
        href: repository.and_then(|repository| link::commit(&repository.page_url, sha)),
    };
    let recipe = run.recipe.as_ref().map(|recipe| Recipe {
        name: Shown::line(&recipe.name, NAME),
        digest: Shown::line(recipe.digest.get(..12).unwrap_or(&recipe.digest), 20),
        image: Shown::line(&recipe.image, 200),
    });
    RunPage {
        frame,
        row: RunRow::new(run, now),
        verdict: run.verdict.map(Badge::from),
        summary: summary(run),
        cancel: run
            .cancel
            .as_ref()
            .map(|cancel| (Shown::line(cancel.by.name(), LOGIN), Shown::line(&cancel.why, 300))),
        accepted_by: run.accepted_by.as_ref().map(|by| Shown::line(by.name(), LOGIN)),
        account: match &request.by {
            Party::Account { forge, actor } => Some((Shown::line(forge, NAME), actor.number)),
            Party::Operator | Party::Docent => None,
        },
        asks_for: match &request.trigger {
            Trigger::Baseline { of, .. } => Some((*of, link::run(*of))),
            _ => None,
        },
        compared: run.baseline.as_ref().map(|baseline| compared(run, baseline, commit)),
        curated: run
            .curated
            .as_ref()
            .map(|kept| (link::artifact(run.id, &kept.digest), Shown::line(&kept.name, NAME))),
        publishing: run.publishing.as_ref().map(|publishing| Shown::line(&publishing.line(), 600)),
        pull_command: (run.publishing.as_ref())
            .and_then(|publishing| publishing.image())
            .map(|image| Shown::line(&image.pull_command(), 400)),
        is_from_comment: matches!(request.trigger, Trigger::Comment { .. }),
        comment: match &request.trigger {
            Trigger::Comment { page_url, .. } => link::outside(page_url),
            Trigger::Push { .. } | Trigger::Baseline { .. } | Trigger::CommandLine => None,
        },
        rule: match &request.trigger {
            Trigger::Push { rule, .. } | Trigger::Baseline { rule, .. } => Some(Shown::line(rule, 400)),
            Trigger::Comment { .. } | Trigger::CommandLine => None,
        },
        head: request.sha.as_ref().map(commit),
        base: request.base.as_ref().map(commit),
        is_untrusted: request.is_untrusted,
        recipe,
        phases: run
            .phases
            .iter()
            .map(|entered| (entered.phase.word(), Moment::new(entered.at, now)))
            .collect(),
        started: run.started_at.map(|at| Moment::new(at, now)),
        ended: run.ended_at.map(|at| Moment::new(at, now)),
        warnings: run
            .plan
            .iter()
            .flat_map(|plan| &plan.warnings)
            .take(50)
            .map(|warning| Shown::line(warning, 400))
            .collect(),
        services: run.services.iter().map(|service| Beside::new(run, service)).collect(),
        tiers: run.tiers.iter().map(|tier| Tier::new(run, tier, now)).collect(),
        log: run.open_attempt().map(|attempt| LiveLog {
            name: Shown::line(&attempt.id.to_string(), NAME),
            href: link::log(&attempt.id),
            tail: TAIL,
        }),
        locks: run.lock_changes.as_ref().map(Locks::new),
        bundle: run.bundle.as_ref().map(|kept| (link::artifact(run.id, &kept.digest), size(kept.size))),
        reproduce: Shown::line(&reproduce(run, origin, None), 2000),
    }
}

/// What the default tiers came to, in numbers. What errored is counted apart from what failed.
fn summary(run: &Run) -> String {
    let tiers = || run.tiers.iter().filter(|tier| !tier.tier.is_opt_in);
    let tests = || tiers().flat_map(|tier| &tier.tests);
    let failed = tests().filter(|test| test.outcome.is_bad() && !test.outcome.is_ours()).count();
    let errored = tests().filter(|test| test.outcome.is_ours()).count();
    let missing: usize = tiers().map(|tier| tier::missing(tier).count()).sum();
    let mut parts = Vec::new();
    if failed > 0 {
        parts.push(format!("{} failed", count(failed, "test", "tests")));
    }
    if errored > 0 {
        parts.push(format!("{} errored (docent's, not the author's)", count(errored, "test", "tests")));
    }
    if missing > 0 && run.phase.is_ended() {
        parts.push(format!("{} left no result", count(missing, "planned test", "planned tests")));
    }
    if parts.is_empty() && tests().count() > 0 {
        parts.push(count(tests().count(), "test result", "test results"));
    }
    parts.join(", ")
}
