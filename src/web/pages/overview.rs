//! `/`: is docent reading, what is it doing, who waits for what.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::row::{NAME, RunRow};
use super::{Frame, Moment, count, page};
use crate::core::decide::is_lapsed;
use crate::core::event::Heartbeat;
use crate::core::id::BranchId;
use crate::core::pull::Repository;
use crate::core::run::{Phase, Run};
use crate::core::time::{Duration, Time, length_for_people};
use crate::core::world::Branch;
use crate::store::{Open, PollRow};
use crate::web::badge::Badge;
use crate::web::problem::Problem;
use crate::web::text::Shown;
use crate::web::{Site, link};

/// Ended runs shown.
const LAST: usize = 10;
/// How late a poll may be before it is said.
const GRACE: Duration = Duration::seconds(60);

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    warnings: Vec<Shown>,
    sources: Vec<Source>,
    live: Vec<RunRow>,
    waiting: Vec<Waiting>,
    offers: Vec<RunRow>,
    last: Vec<RunRow>,
    again: Vec<Again>,
    executor: Vec<(Shown, Shown)>,
    slots: usize,
}

/// A forge and how reading it goes.
struct Source {
    name: Shown,
    badge: Badge,
    began: Option<Moment>,
    next: Option<Moment>,
    detail: String,
    proof: Shown,
    reporting: Shown,
    failures: Vec<Shown>,
    more_failures: usize,
    repositories: Vec<Watched>,
    count: String,
}

struct Watched {
    name: Shown,
    href: Option<String>,
    notes: Vec<Shown>,
}

struct Waiting {
    place: usize,
    run: RunRow,
    why: String,
}

/// An action that did not succeed and is tried again.
struct Again {
    what: Shown,
    why: Shown,
    tries: u32,
    due: Moment,
}

pub async fn overview(State(site): State<Arc<Site>>) -> Result<Response, Problem> {
    let store = &site.pages.store;
    let about = site.pages.about.borrow().clone();
    let now = site.pages.clock.now();
    let open = store.open_runs().await?;
    let latest = store.latest_runs(50, None).await?;
    let last = latest.iter().filter(|run| run.phase.is_ended()).take(LAST);
    let live = open.iter().filter(|run| run.phase.is_running());
    let offers = open.iter().filter(|run| run.phase == Phase::Offered && !is_lapsed(run, now));
    let view = Overview {
        frame: Frame::new(&site, "/", "overview", "Overview").live(true),
        warnings: about
            .trouble
            .iter()
            .chain(&about.warnings)
            .map(|warning| Shown::line(warning, 600))
            .collect(),
        sources: sources(
            store.polls().await?,
            store.repositories().await?,
            &store.branches().await?,
            &about.reporting,
            now,
        ),
        live: live.map(|run| RunRow::new(run, now)).collect(),
        waiting: waiting(&open, about.slots, now),
        offers: offers.map(|run| RunRow::new(run, now)).collect(),
        last: last.map(|run| RunRow::new(run, now)).collect(),
        again: again(&store.open_actions().await?, now),
        executor: about
            .executor
            .iter()
            .map(|(what, how)| (Shown::line(what, NAME), Shown::line(how, 300)))
            .collect(),
        slots: about.slots,
    };
    page(&view)
}

fn sources(
    polls: Vec<PollRow<Heartbeat>>,
    repositories: Vec<(String, Repository)>,
    branches: &[(BranchId, Branch)],
    reporting: &BTreeMap<String, String>,
    now: Time,
) -> Vec<Source> {
    let mut names: Vec<String> = polls.iter().map(|poll| poll.forge.clone()).collect();
    names.extend(repositories.iter().map(|(_, repository)| repository.id.forge.clone()));
    names.sort();
    names.dedup();
    let source = |name: String| {
        let poll = polls.iter().find(|poll| poll.forge == name);
        let of_forge = repositories.iter().filter(|(_, repository)| repository.id.forge == name);
        let watched: Vec<Watched> =
            of_forge.map(|(name, repository)| watched(name, repository, branches)).collect();
        let last = poll.and_then(|poll| poll.last.as_ref());
        let failures = last.map_or(&[][..], |last| last.failures.as_slice());
        Source {
            name: Shown::line(&name, NAME),
            badge: health(poll, now),
            began: poll.map(|poll| Moment::new(poll.began_at, now)),
            next: last.and_then(|last| last.next_at).map(|at| Moment::new(at, now)),
            detail: last.map(detail).unwrap_or_default(),
            proof: Shown::line(last.map_or("", |last| &last.proof), 300),
            reporting: Shown::line(reporting.get(&name).map_or("", String::as_str), 300),
            failures: failures.iter().take(10).map(|text| Shown::line(text, 300)).collect(),
            more_failures: failures.len().saturating_sub(10),
            count: count(watched.len(), "repository", "repositories"),
            repositories: watched,
        }
    };
    names.into_iter().map(source).collect()
}

fn detail(last: &Heartbeat) -> String {
    let milliseconds = i64::try_from(last.milliseconds).unwrap_or(i64::MAX / 2);
    format!(
        "{} in {}, {}",
        count(usize::try_from(last.requests).unwrap_or(usize::MAX), "request", "requests"),
        length_for_people(Duration::milliseconds(milliseconds)),
        count(usize::try_from(last.observations).unwrap_or(usize::MAX), "observation", "observations"),
    )
}

/// A heartbeat that has stopped is worse than one with failures, so it is looked for first.
fn health(poll: Option<&PollRow<Heartbeat>>, now: Time) -> Badge {
    let Some(poll) = poll else { return Badge { sign: "○", word: "not read yet", tone: "quiet" } };
    let last = poll.last.as_ref();
    let is_late = last.and_then(|last| last.next_at).is_some_and(|next| next + GRACE < now);
    match last {
        _ if is_late => Badge { sign: "!", word: "late", tone: "ours" },
        Some(last) if !last.failures.is_empty() => Badge { sign: "!", word: "with failures", tone: "ours" },
        _ => Badge { sign: "✔", word: "reading", tone: "good" },
    }
}

fn watched(name: &str, repository: &Repository, branches: &[(BranchId, Branch)]) -> Watched {
    let of_here = branches.iter().filter(|(id, _)| id.repository == repository.id);
    let note = |(id, known): &(BranchId, Branch)| {
        let at = known.head.as_ref().map_or("not there", |sha| sha.short());
        Shown::line(&format!("{} at {at}", id.name), NAME)
    };
    let mut notes: Vec<Shown> = of_here.take(10).map(note).collect();
    if repository.name != name {
        notes.push(Shown::line(&format!("configured as {name}"), NAME + 20));
    }
    if repository.is_archived {
        notes.push(Shown::line("archived", NAME));
    }
    if repository.is_writable {
        notes.push(Shown::line("the watching account may push here", NAME));
    }
    Watched { name: Shown::line(&repository.name, NAME), href: link::outside(&repository.page_url), notes }
}

fn waiting(open: &[Run], slots: usize, now: Time) -> Vec<Waiting> {
    let queue = open.iter().filter(|run| matches!(run.phase, Phase::Accepted | Phase::Waiting));
    let holds = |run: &Run| {
        open.iter().filter(|other| other.phase.is_running()).find(|other| {
            match (&run.request.pull, run.request.branch()) {
                (None, None) => false,
                (pull, branch) => other.request.pull == *pull && other.request.branch() == branch,
            }
        })
    };
    let wait = |(at, run): (usize, &Run)| Waiting {
        place: at + 1,
        run: RunRow::new(run, now),
        why: match holds(run) {
            Some(other) => format!("run {} of the same pull request or branch has not ended", other.id),
            None if slots == 1 => "the slot is taken".to_owned(),
            None => format!("all {slots} slots are taken"),
        },
    };
    queue.enumerate().map(wait).collect()
}

fn again(open: &[Open], now: Time) -> Vec<Again> {
    let failing = open.iter().filter(|open| open.tries > 0).take(20);
    let again = |open: &Open| Again {
        what: Shown::line(&open.action.key(), NAME),
        why: Shown::line(open.fault.as_deref().unwrap_or_default(), 300),
        tries: open.tries,
        due: Moment::new(open.due_at, now),
    };
    failing.map(again).collect()
}
