//! `result.json`: all that became of a run, as one document for other people's scripts.
//!
//! Its shape is a contract, published as `docs/schema/result.schema.json`, so it is written down apart from the
//! state that docent keeps for itself. Fields are only ever added; anything else is a new `schema`.

use chrono::NaiveDate;
use serde::Serialize;

use super::baseline::{self, Baseline, Class};
use super::command::TestOptions;
use super::curation::Source;
use super::deferred;
use super::id::{BranchId, CommentId, PullId};
use super::lock::LockChanges;
use super::outcome::{Outcome, TestResult};
use super::publishing::{Publishing, PublishingEnd};
use super::recipe::{AlreadyFailing, Environment, Limits, Network};
use super::run::{Attempt, Kept, Party, PhaseEntered, RecipeUse, Run, TierRun, Trigger};
use super::service::ServiceRun;
use super::time::Time;
use super::verdict::Verdict;

/// Which contract a document keeps.
pub const SCHEMA: &str = "docent.result.1";

/// What the run itself does not know of the place where it ran.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// Version of docent.
    pub docent: &'a str,
    /// Where git fetches the repository; none for a local folder.
    pub clone_url: Option<&'a str>,
    /// The page of the run.
    pub page_url: Option<&'a str>,
    /// Where the bundle is, for who has no page.
    pub bundle: Option<&'a str>,
}

/// The document. Its text is a stranger's where the state's is: whoever shows it has to escape it.
#[derive(Debug, Clone, Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    docent: &'a str,
    run: i64,
    page_url: Option<&'a str>,
    phase: &'static str,
    verdict: Option<Verdict>,
    extra_verdict: Option<Verdict>,
    reason: Option<&'a str>,
    place: &'a str,
    pull_request: Option<PullRequest<'a>>,
    head_sha: Option<&'a str>,
    base_sha: Option<&'a str>,
    is_untrusted: bool,
    trigger: Cause<'a>,
    actor: Who<'a>,
    accepted_by: Option<Who<'a>>,
    cancelled_by: Option<Who<'a>>,
    options: Options<'a>,
    only: &'a [String],
    recipe: Option<&'a RecipeUse>,
    requested_at: Time,
    started_at: Option<Time>,
    ended_at: Option<Time>,
    phases: &'a [PhaseEntered],
    warnings: &'a [String],
    spec: Option<SpecUse<'a>>,
    /// How often its services were brought up.
    deploys: u32,
    services: Vec<Beside<'a>>,
    tiers: Vec<Tier<'a>>,
    /// How it compares with the commit that its pull request started from.
    baseline: Option<Compared<'a>>,
    /// What the lock has that the one before it had not.
    lock_changes: Option<&'a LockChanges>,
    /// What repeats it elsewhere, where something was not good.
    bundle: Option<&'a Kept>,
    /// What became of its curated spec, where that is published.
    publishing: Option<Publication<'a>>,
    reproduce: String,
}

#[derive(Debug, Clone, Serialize)]
struct SpecUse<'a> {
    path: &'a str,
    digest: &'a str,
    artifact_name: &'a str,
    repositories: &'a [Source],
    curated: Option<&'a Kept>,
}

#[derive(Debug, Clone, Serialize)]
struct Publication<'a> {
    to: &'a str,
    state: &'static str,
    reference: Option<&'a str>,
    digest: Option<&'a str>,
    was_there: Option<bool>,
    aliases: &'a [String],
    reason: Option<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
struct PullRequest<'a> {
    forge: &'a str,
    repository: u64,
    number: u64,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Cause<'a> {
    Comment { comment: &'a CommentId, page_url: &'a str },
    Push { branch: &'a BranchId, changed: &'a [String], rule: &'a str },
    Baseline { of: i64, rule: &'a str },
    CommandLine,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
enum Who<'a> {
    Account { forge: &'a str, number: u64, login: &'a str },
    Operator,
    Docent,
}

#[derive(Debug, Clone, Serialize)]
struct Options<'a> {
    extra_tests: bool,
    tiers: &'a [String],
    notebooks: Option<&'a str>,
    spec: Option<&'a str>,
    full: bool,
}

#[derive(Debug, Clone, Serialize)]
struct Compared<'a> {
    base_sha: &'a str,
    run: Option<i64>,
    is_concluded: bool,
    already_failing: AlreadyFailing,
    is_let_pass: bool,
    note: Option<&'a str>,
}

#[derive(Debug, Clone, Serialize)]
struct Test<'a> {
    #[serde(flatten)]
    result: &'a TestResult,
    /// What a failure has to do with the change; missing where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<Class>,
    /// The command that repeats a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    reproduce: Option<String>,
    /// The open deferral that announced a failure; missing where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    deferred: Option<Announced<'a>>,
}

#[derive(Debug, Clone, Serialize)]
struct Announced<'a> {
    slug: &'a str,
    since: NaiveDate,
    is_own_word: bool,
}

/// A service of the run.
#[derive(Debug, Clone, Serialize)]
struct Beside<'a> {
    name: &'a str,
    image: &'a str,
    port: u16,
    /// How it ended before its run did.
    fell: Option<&'a str>,
    log: Option<&'a Kept>,
}

#[derive(Debug, Clone, Serialize)]
struct Tier<'a> {
    name: &'a str,
    verdict: Option<Verdict>,
    is_opt_in: bool,
    is_gate: bool,
    run: &'a [String],
    network: Network,
    environment: Environment,
    limits: Limits,
    /// The run whose work made this tier's needless.
    reused_from: Option<i64>,
    planned: &'a [String],
    attempts: Vec<Try<'a>>,
    /// Of the last attempt.
    tests: Vec<Test<'a>>,
}

#[derive(Debug, Clone, Serialize)]
struct Try<'a> {
    id: String,
    number: u32,
    outcome: Option<Outcome>,
    note: &'a str,
    opened_at: Time,
    started_at: Option<Time>,
    closed_at: Option<Time>,
    seconds: Option<f64>,
    log: Option<&'a Kept>,
    artifacts: &'a [Kept],
}

impl<'a> Document<'a> {
    /// The document of `run` as it stands: ended or not.
    pub fn of(run: &'a Run, origin: Origin<'a>) -> Self {
        let request = &run.request;
        let commit = run.plan.as_ref().and_then(|plan| plan.commit.as_ref());
        let head = request.sha.as_ref().or(commit);
        Self {
            schema: SCHEMA,
            docent: origin.docent,
            run: run.id.0,
            page_url: origin.page_url,
            phase: run.phase.word(),
            verdict: run.verdict,
            extra_verdict: run.extra_verdict,
            reason: run.reason.as_deref(),
            place: &request.place,
            pull_request: request.pull.as_ref().map(pull_request),
            head_sha: head.map(|sha| sha.as_str()),
            base_sha: request.base.as_ref().map(|sha| sha.as_str()),
            is_untrusted: request.is_untrusted,
            trigger: match &request.trigger {
                Trigger::Comment { comment, page_url } => Cause::Comment { comment, page_url },
                Trigger::Push { branch, changed, rule } => Cause::Push { branch, changed, rule },
                Trigger::Baseline { of, pull: _, rule } => Cause::Baseline { of: of.0, rule },
                Trigger::CommandLine => Cause::CommandLine,
            },
            actor: who(&request.by),
            accepted_by: run.accepted_by.as_ref().map(who),
            cancelled_by: run.cancel.as_ref().map(|cancel| who(&cancel.by)),
            options: options(&request.options),
            only: &request.only,
            recipe: run.recipe.as_ref(),
            requested_at: run.requested_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            phases: &run.phases,
            warnings: run.plan.as_ref().map_or(&[], |plan| plan.warnings.as_slice()),
            spec: run.plan.as_ref().and_then(|plan| plan.curation.as_ref()).map(|curation| SpecUse {
                path: &curation.spec,
                digest: &curation.digest,
                artifact_name: &curation.artifact_name,
                repositories: &curation.repositories,
                curated: run.curated.as_ref(),
            }),
            deploys: run.deploys,
            services: run.services.iter().map(beside).collect(),
            tiers: run.tiers.iter().map(|it| tier(run, it, origin)).collect(),
            baseline: run.baseline.as_ref().map(|baseline| compared(run, baseline)),
            lock_changes: run.lock_changes.as_ref(),
            bundle: run.bundle.as_ref(),
            publishing: run.publishing.as_ref().map(publication),
            reproduce: reproduce(run, origin, None),
        }
    }
}

fn pull_request(pull: &PullId) -> PullRequest<'_> {
    PullRequest { forge: &pull.repository.forge, repository: pull.repository.number, number: pull.number }
}

fn who(party: &Party) -> Who<'_> {
    match party {
        Party::Account { forge, actor } => Who::Account { forge, number: actor.number, login: &actor.login },
        Party::Operator => Who::Operator,
        Party::Docent => Who::Docent,
    }
}

fn options(options: &TestOptions) -> Options<'_> {
    Options {
        extra_tests: options.extra_tests,
        tiers: &options.tiers,
        notebooks: options.notebooks.as_deref(),
        spec: options.spec.as_deref(),
        full: options.full,
    }
}

fn compared<'a>(run: &Run, baseline: &'a Baseline) -> Compared<'a> {
    Compared {
        base_sha: baseline.base.as_str(),
        run: baseline.by.map(|by| by.0),
        is_concluded: baseline.is_concluded,
        already_failing: baseline.already_failing,
        is_let_pass: baseline::is_let_pass(run),
        note: baseline.note.as_deref(),
    }
}

fn publication(publishing: &Publishing) -> Publication<'_> {
    let image = publishing.image();
    Publication {
        to: &publishing.to,
        state: match &publishing.end {
            None => "open",
            Some(PublishingEnd::Published(_)) => "published",
            Some(PublishingEnd::Errored { .. }) => "errored",
        },
        reference: image.map(|image| image.reference.as_str()),
        digest: image.map(|image| image.digest.as_str()),
        was_there: image.map(|image| image.was_there),
        aliases: image.map(|image| image.aliases.as_slice()).unwrap_or_default(),
        reason: match &publishing.end {
            Some(PublishingEnd::Errored { why }) => Some(why),
            _ => None,
        },
    }
}

fn beside(service: &ServiceRun) -> Beside<'_> {
    Beside {
        name: &service.service.name,
        image: &service.service.image,
        port: service.service.port,
        fell: service.fell.as_deref(),
        log: service.log.as_ref(),
    }
}

fn tier<'a>(run: &'a Run, tier: &'a TierRun, origin: Origin<'_>) -> Tier<'a> {
    let planned = |test: &'a TestResult| tier.planned.contains(&test.name).then_some(test.name.as_str());
    let class = |test: &TestResult| run.baseline.as_ref()?.class(&tier.tier.name, &test.name);
    Tier {
        name: &tier.tier.name,
        verdict: tier.verdict,
        is_opt_in: tier.tier.is_opt_in,
        is_gate: tier.tier.is_gate,
        run: &tier.tier.run,
        network: tier.tier.network,
        environment: tier.tier.environment,
        limits: tier.tier.limits,
        reused_from: tier.reused_from.map(|run| run.0),
        planned: &tier.planned,
        attempts: tier.attempts.iter().map(attempt).collect(),
        tests: tier
            .tests
            .iter()
            .map(|test| Test {
                result: test,
                baseline: class(test),
                reproduce: test.outcome.is_bad().then(|| reproduce(run, origin, planned(test))),
                deferred: announced(run, test),
            })
            .collect(),
    }
}

fn announced<'a>(run: &'a Run, test: &TestResult) -> Option<Announced<'a>> {
    let known = deferred::known(run, test)?;
    Some(Announced { slug: &known.slug, since: known.since, is_own_word: known.is_own_word })
}

fn attempt(attempt: &Attempt) -> Try<'_> {
    let length = attempt.closed_at.map(|closed| closed - attempt.started_at.unwrap_or(attempt.opened_at));
    Try {
        id: attempt.id.to_string(),
        number: attempt.id.number,
        outcome: attempt.outcome,
        note: &attempt.note,
        opened_at: attempt.opened_at,
        started_at: attempt.started_at,
        closed_at: attempt.closed_at,
        seconds: length.map(|length| length.num_milliseconds() as f64 / 1000.0),
        log: attempt.log.as_ref(),
        artifacts: &attempt.artifacts,
    }
}

/// The command that does the same elsewhere, or only one of its tests: with the bundle where there is one that can be had, else with
/// the commit. Quoted for a shell: parts of it are a stranger's.
pub fn reproduce(run: &Run, origin: Origin<'_>, test: Option<&str>) -> String {
    let mut words = vec!["docent".to_owned(), "run".to_owned()];
    match (&run.bundle, origin.page_url, origin.bundle) {
        (Some(bundle), Some(page), _) => words.push(format!("{page}/artifacts/{}", bundle.digest)),
        (Some(_), None, Some(place)) => words.push(place.to_owned()),
        _ => push_request(&mut words, run, origin.clone_url),
    }
    words.extend(test.map(|test| format!("--test={test}")));
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn push_request(words: &mut Vec<String>, run: &Run, clone_url: Option<&str>) {
    let request = &run.request;
    let place = clone_url.unwrap_or(&request.place);
    // What begins with a hyphen would be read as a flag, and quotes do not change that.
    let place = if place.starts_with('-') { format!("./{place}") } else { place.to_owned() };
    words.push(place);
    let mut flag = |name: &str, value: &str| words.push(format!("{name}={value}"));
    if let Some(sha) = &request.sha {
        flag("--sha", sha.as_str());
    }
    if let Some(name) = run.recipe.as_ref().map(|recipe| &recipe.name).or(request.recipe.as_ref()) {
        flag("--recipe", name);
    }
    for tier in &request.options.tiers {
        flag("--tier", tier);
    }
    if let Some(notebooks) = &request.options.notebooks {
        flag("--notebooks", notebooks);
    }
    if let Some(spec) = &request.options.spec {
        flag("--spec", spec);
    }
    if request.options.extra_tests {
        words.push("--extra-tests".to_owned());
    }
    if request.options.full {
        words.push("--full".to_owned());
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=./:@,+".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_reproduce_command_leaves_its_word() {
        for (word, expected) in [
            ("--sha=abc", "--sha=abc"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(id)", "'$(id)'"),
            ("it's; id", "'it'\\''s; id'"),
            ("a\nb", "'a\nb'"),
            ("é", "'é'"),
            ("*", "'*'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
