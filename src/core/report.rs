//! What the forge is told: one comment for a pull request, one status for a run. Both are made from the state alone, so
//! they are never about the past, and the same state gives the same bytes.

use std::fmt::Write as _;

use super::baseline::{self, Class};
use super::ledger::{Entry, Fate};
use super::neutral;
use super::outcome::{Outcome, TestResult};
use super::run::{Attempt, Phase, Run, TierRun, Trigger};
use super::time::{for_people, length_for_people};
use super::verdict::Verdict;
use super::world::Pull;

/// Commands whose fates are shown.
const ANSWERS: usize = 6;
/// Failures that are shown in full.
const FAILURES: usize = 10;
/// Names in one line.
const NAMES: usize = 10;
/// Lines of a traceback that are shown.
const TRACEBACK_LINES: usize = 15;

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The pull request.
    pub pull: &'a Pull,
    /// Its latest comments with commands, the newest first.
    pub comments: &'a [Entry],
    /// Its latest runs, the newest first.
    pub runs: &'a [Run],
    /// Where the pages are; no trailing slash.
    pub public_url: Option<&'a str>,
    /// How an offer is accepted: `!accept`.
    pub accept: &'a str,
}

/// The short form of what is told about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Waiting or running.
    Pending,
    /// The verdict is pass, or all was skipped as declared.
    Green,
    /// The verdict is fail: the author's.
    Red,
    /// Unverified, cancelled or errored: not the author's.
    Grey,
}

/// The light and the one line of a run's status.
pub fn status(run: &Run) -> (Light, String) {
    let mut line = headline(run);
    if baseline::is_let_pass(run) {
        line = format!("nothing new fails; {line}");
    } else if baseline::is_open(run) {
        return (Light::Pending, format!("{line}; being compared with what it would merge into"));
    }
    // A green light speaks for all of the recipe, so a part of it is not given one.
    let options = &run.request.options;
    let is_part = !options.tiers.is_empty() || options.notebooks.is_some();
    let is_good = matches!(run.verdict, Some(Verdict::Pass | Verdict::Skip)) || baseline::is_let_pass(run);
    if is_part && is_good && run.cancel.is_none() {
        return (Light::Grey, format!("only a part was asked for; {line}"));
    }
    let light = match run.phase {
        _ if !run.phase.is_ended() && run.verdict.is_none() => Light::Pending,
        Phase::Cancelled | Phase::Rejected | Phase::Expired => Light::Grey,
        _ => match run.verdict {
            Some(Verdict::Pass | Verdict::Skip) => Light::Green,
            Some(Verdict::Fail) if baseline::is_let_pass(run) => Light::Green,
            Some(Verdict::Fail) => Light::Red,
            Some(Verdict::Unverified) | None => Light::Grey,
        },
    };
    (light, line)
}

/// One line on where a run stands, without anything that a stranger wrote.
pub fn headline(run: &Run) -> String {
    match (run.phase, run.verdict) {
        (Phase::Offered, _) => "waits to be accepted".to_owned(),
        (Phase::Accepted | Phase::Waiting, _) => "waits in the queue".to_owned(),
        (Phase::Preparing, None) if run.is_deploying() => "brings up its services".to_owned(),
        (Phase::Preparing, None) => "is being prepared".to_owned(),
        (Phase::Available, None) => match run.tiers.iter().find(|tier| tier.verdict.is_none()) {
            Some(tier) => format!("runs tier {}", tier.tier.name),
            None => "runs".to_owned(),
        },
        (Phase::Cancelled, _) => "cancelled".to_owned(),
        (Phase::Rejected, _) => "turned down".to_owned(),
        (Phase::Expired, _) => "lapsed".to_owned(),
        (_, Some(verdict)) if run.cancel.is_none() => {
            let counted = count(run);
            if counted.is_empty() {
                verdict.word().to_owned()
            } else {
                format!("{}: {counted}", verdict.word())
            }
        }
        _ => "is being stopped".to_owned(),
    }
}

/// `2 passed, 1 failed, 1 skipped` over the last tier that has tests of its own; empty when none has.
fn count(run: &Run) -> String {
    let tier = run.tiers.iter().rev().filter(|tier| !tier.tier.is_opt_in).find(|tier| !tier.tests.is_empty());
    let Some(tier) = tier else { return String::new() };
    let class = |test: &&TestResult| class_of(run, tier, test).filter(|_| test.outcome.is_bad());
    let mut parts = Vec::new();
    for wanted in [Class::NewFailure, Class::AlreadyFailing, Class::Flaky] {
        let count = tier.tests.iter().filter(|test| class(test) == Some(wanted)).count();
        if count > 0 {
            parts.push(wanted.counted(count));
        }
    }
    let others = counts(tier.tests.iter().filter(|test| class(test).is_none()));
    parts.extend(Some(others).filter(|others| !others.is_empty()));
    parts.join(", ")
}

/// What a test has to do with the change, where that is known.
fn class_of(run: &Run, tier: &TierRun, test: &TestResult) -> Option<Class> {
    run.baseline.as_ref()?.class(&tier.tier.name, &test.name)
}

/// `2 passed, 1 failed`.
fn counts<'a>(tests: impl IntoIterator<Item = &'a TestResult>) -> String {
    let mut counts: Vec<(Outcome, usize)> = Vec::new();
    for test in tests {
        match counts.iter_mut().find(|(outcome, _)| *outcome == test.outcome) {
            Some((_, count)) => *count += 1,
            None => counts.push((test.outcome, 1)),
        }
    }
    counts.sort();
    counts
        .iter()
        .map(|(outcome, count)| format!("{count} {}", outcome.words()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The comment on a pull request, at most `limit` characters. `hidden` is the marker by which docent finds it again.
pub fn comment(view: &View<'_>, hidden: &str, limit: usize) -> String {
    for failures in [FAILURES, 3, 1, 0] {
        let text = compose(view, hidden, failures);
        if text.chars().count() <= limit {
            return text;
        }
    }
    let run = view.runs.first().map(headline).unwrap_or_default();
    format!(
        "<!-- {hidden} -->\n{run}: the report is too long for a comment{}\n",
        link(view, "; it is on the pages")
    )
    .chars()
    .take(limit)
    .collect()
}

fn compose(view: &View<'_>, hidden: &str, failures: usize) -> String {
    let mut text = format!("<!-- {hidden} -->\n");
    let shown = view.runs.iter().find(|run| run.phase.is_live() || run.verdict.is_some());
    match shown {
        Some(run) => write_run(&mut text, view, run, failures),
        None => text.push_str("### docent\n"),
    }
    for offer in view.runs.iter().filter(|run| run.phase == Phase::Offered) {
        write_offer(&mut text, view, offer);
    }
    write_answers(&mut text, view);
    write_history(&mut text, view, shown);
    text
}

fn write_run(text: &mut String, view: &View<'_>, run: &Run, failures: usize) {
    let sign = match (run.phase, run.verdict) {
        (Phase::Cancelled, _) => "■",
        (_, Some(verdict)) if run.cancel.is_none() => verdict.sign(),
        _ => "●",
    };
    let sha = run.request.sha.as_ref().map(|sha| sha.short()).unwrap_or("no commit");
    let _ = writeln!(text, "### {sign} {}\n", headline(run));
    let took = run.started_at.zip(run.ended_at).map(|(from, to)| length_for_people(to - from));
    let took = took.map(|took| format!(" · took {took}")).unwrap_or_default();
    let page = page_of(view, run).map(|page| format!(" · [all of it]({page})")).unwrap_or_default();
    let _ = writeln!(text, "Run {} at `{sha}`{}{took}{page}", run.id, asked_for(run));
    if run.request.sha.as_ref().is_some_and(|sha| *sha != view.pull.now.head) {
        let head = view.pull.now.head.short();
        let _ = writeln!(text, "\nThe head has moved on to `{head}`, which this run does not speak of.");
    }
    if let Some(reason) = &run.reason {
        let _ = writeln!(text, "\n{}", neutral::inline(reason, 500));
    }
    if !run.tiers.is_empty() {
        write_tiers(text, run);
    }
    write_comparison(text, run);
    write_failures(text, run, failures);
    if let Some(extra) = run.extra_verdict {
        let _ = writeln!(
            text,
            "\nExtra tests, which never move the verdict above: {} {}",
            extra.sign(),
            extra.word()
        );
    }
    if let Some(plan) = run.plan.as_ref().filter(|plan| !plan.warnings.is_empty()) {
        text.push('\n');
        for warning in plan.warnings.iter().take(5) {
            let _ = writeln!(text, "- {}", neutral::inline(warning, 300));
        }
    }
    write_curated(text, view, run);
    write_rest(text, run);
}

/// What a curator takes home.
fn write_curated(text: &mut String, view: &View<'_>, run: &Run) {
    let curation = run.plan.as_ref().and_then(|plan| plan.curation.as_ref());
    let Some(curation) = curation.filter(|_| run.phase.is_ended()) else { return };
    let (spec, name) = (neutral::path(&curation.spec), neutral::inline(&curation.artifact_name, 128));
    let Some(curated) = &run.curated else {
        let _ = writeln!(text, "\nSpec {spec} is not curated as {name}: not all of it is proven.");
        return;
    };
    let digest = curated.digest.get(..12).unwrap_or_default();
    let page = page_of(view, run).map(|page| format!(": [download]({page}/artifacts/{})", curated.digest));
    let _ =
        writeln!(text, "\nSpec {spec} is curated as {name}, sha256 `{digest}`{}", page.unwrap_or_default());
}

fn write_tiers(text: &mut String, run: &Run) {
    text.push_str("\n| tier | | |\n| --- | --- | --- |\n");
    for tier in &run.tiers {
        let (sign, word) = match tier.verdict {
            Some(verdict) => (verdict.sign(), verdict.word()),
            None if tier.attempts.is_empty() => ("○", "waits"),
            None => ("●", "runs"),
        };
        let _ = writeln!(text, "| {} | {sign} {word} | {} |", tier.tier.name, tier_note(tier));
    }
}

fn tier_note(tier: &TierRun) -> String {
    let mut notes = Vec::new();
    if let Some(run) = tier.reused_from {
        return format!("from run {run}");
    }
    if tier.tests.len() > 1 || tier.tests.iter().any(|test| test.outcome.is_bad()) {
        notes.push(counts(&tier.tests));
    }
    if tier.verdict.is_some() && tier.attempts.is_empty() && tier.tests.is_empty() && !tier.tier.is_built_in()
    {
        return "did not run".to_owned();
    }
    let reused = tier.tests.iter().filter(|test| test.reused_from.is_some()).count();
    if reused > 0 {
        notes.push(format!("{reused} reused"));
    }
    let missing =
        tier.planned.iter().filter(|name| !tier.tests.iter().any(|test| test.name == **name)).count();
    if missing > 0 && tier.verdict.is_some() {
        notes.push(format!("{missing} left no result"));
    }
    // Tests that failed explain an attempt that failed: that it did, and with which code, is no news then.
    let is_explained = |attempt: &Attempt| {
        attempt.outcome == Some(Outcome::Failed) && tier.tests.iter().any(|test| test.outcome.is_bad())
    };
    if let Some(attempt) = tier.attempts.last().filter(|attempt| !is_explained(attempt)) {
        if let Some(outcome) = attempt.outcome.filter(|outcome| outcome.is_bad()) {
            notes.push(outcome.words().to_owned());
        }
        if !attempt.note.is_empty() {
            notes.push(neutral::cell(&attempt.note, 200));
        }
    }
    if tier.attempts.len() > 1 {
        notes.push(format!("try {}", tier.attempts.len()));
    }
    notes.join(", ")
}

/// What the base says that stands beside no failure.
fn write_comparison(text: &mut String, run: &Run) {
    let Some(compared) = &run.baseline else { return };
    let base = compared.base.short();
    if let (Some(by), false) = (compared.by, compared.is_concluded) {
        let _ = writeln!(
            text,
            "\nRun {by} finds out which of the failed tests fail at `{base}` too, before this change."
        );
    }
    if baseline::is_let_pass(run) {
        let _ = writeln!(
            text,
            "\nNothing fails that did not fail before this change, and the recipe lets that pass."
        );
    }
    let outcome =
        |tier: &str, name: &str| Some(run.tier(tier)?.tests.iter().find(|test| test.name == name)?.outcome);
    for (class, words) in [(Class::Fixed, "Fixed by this change"), (Class::Flaky, "Passed, but flaky")] {
        let good = compared.classes.iter().filter(|it| it.class == class);
        let good = good.filter(|it| outcome(&it.tier, &it.name) == Some(Outcome::Passed));
        let names: std::collections::BTreeSet<&str> = good.map(|it| it.name.as_str()).collect();
        if names.is_empty() {
            continue;
        }
        let shown: Vec<String> = names.iter().take(NAMES).map(|name| neutral::path(name)).collect();
        let more = names.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "\n{words}: {}{more}", shown.join(", "));
    }
    if let Some(note) = &compared.note {
        let _ = writeln!(text, "\nCompared with `{base}`: {}", neutral::inline(note, 300));
    }
}

fn write_failures(text: &mut String, run: &Run, limit: usize) {
    let bad: Vec<(&TierRun, &TestResult)> = run
        .tiers
        .iter()
        .flat_map(|tier| tier.tests.iter().map(move |test| (tier, test)))
        .filter(|(_, test)| test.outcome.is_bad())
        .collect();
    for (tier, test) in bad.iter().take(limit) {
        write_failure(text, tier, test, class_of(run, tier, test));
    }
    if bad.len() > limit {
        let _ = writeln!(text, "\n… and {} more.", bad.len() - limit);
    }
}

fn write_failure(text: &mut String, tier: &TierRun, test: &TestResult, class: Option<Class>) {
    let _ = writeln!(
        text,
        "\n#### {} {} — {}{}\n",
        if test.outcome.is_ours() { "?" } else { "✘" },
        neutral::path(&test.name),
        test.outcome.words(),
        class.map(|class| format!(" · {}", class.words())).unwrap_or_default()
    );
    if let Some(cell) = &test.cell {
        let mut place = format!("cell {}", cell.index);
        match (cell.code_index, cell.execution_count) {
            (Some(code), Some(count)) => {
                let _ = write!(place, " (code cell {code}, In [{count}])");
            }
            (Some(code), None) => {
                let _ = write!(place, " (code cell {code})");
            }
            _ => {}
        }
        if let Some(heading) = &cell.heading {
            let _ = write!(place, " under {}", neutral::inline(heading, 120));
        }
        let _ = writeln!(text, "Tier {}, {place}", tier.tier.name);
    } else {
        let _ = writeln!(text, "Tier {}", tier.tier.name);
    }
    if let Some(exception) = &test.exception {
        let value = if exception.value.is_empty() {
            exception.name.clone()
        } else {
            format!("{}: {}", exception.name, exception.value)
        };
        let _ = writeln!(text, "\n{}", neutral::inline(&value, 400));
    } else if !test.message.is_empty() {
        let _ = writeln!(text, "\n{}", neutral::inline(&test.message, 400));
    }
    if let Some(excerpt) = test.cell.as_ref().and_then(|cell| cell.excerpt.as_ref()) {
        let _ = write!(text, "\n{}", neutral::block(excerpt, 20, 2000));
    }
    if let Some(exception) = test.exception.as_ref().filter(|exception| !exception.traceback.is_empty()) {
        let traceback = neutral::block(&exception.traceback.join("\n"), TRACEBACK_LINES, 4000);
        fold(text, "traceback", &traceback);
    }
    if !test.stderr.is_empty() {
        fold(text, "standard error", &neutral::block(&test.stderr, 10, 2000));
    }
}

fn write_rest(text: &mut String, run: &Run) {
    // Of a test that stands in several tiers, the last one is what people look for.
    let mut seen = std::collections::BTreeSet::new();
    let mut good: Vec<&TestResult> = run
        .tiers
        .iter()
        .rev()
        .flat_map(|tier| &tier.tests)
        .filter(|test| seen.insert(test.name.as_str()) && !test.outcome.is_bad())
        .collect();
    if good.is_empty() || run.verdict.is_none() {
        return;
    }
    good.sort_by(|a, b| a.outcome.cmp(&b.outcome).then(a.name.cmp(&b.name)));
    let mut list = String::new();
    for test in good.iter().take(100) {
        let why = if test.message.is_empty() {
            String::new()
        } else {
            format!(": {}", neutral::inline(&test.message, 120))
        };
        let seconds = match test.reused_from {
            Some(run) => format!(", reused from run {run}"),
            None if test.seconds >= 0.05 => format!(", {:.1} s", test.seconds),
            None => String::new(),
        };
        let wrote = match (test.wrote.first(), test.wrote.len() as u64 + test.wrote_more) {
            (Some(first), 1) => format!(", wrote {}", neutral::path(first)),
            (Some(first), count) => format!(", wrote {} and {} more", neutral::path(first), count - 1),
            (None, _) => String::new(),
        };
        let _ =
            writeln!(list, "- {} {}{seconds}{wrote}{why}", neutral::path(&test.name), test.outcome.words());
    }
    if good.len() > 100 {
        let _ = writeln!(list, "- … and {} more", good.len() - 100);
    }
    fold(text, "passed and skipped", &list);
}

fn write_offer(text: &mut String, view: &View<'_>, offer: &Run) {
    let sha = offer.request.sha.as_ref().and_then(|sha| sha.as_str().get(..12)).unwrap_or_default();
    let until = offer.expires_at.map(for_people).unwrap_or_default();
    let why = match &offer.request.trigger {
        Trigger::Push { rule, .. } => format!(" ({})", neutral::inline(rule, 300)),
        Trigger::Comment { .. } | Trigger::CommandLine | Trigger::Baseline { .. } => String::new(),
    };
    let _ = writeln!(
        text,
        "\n**Offer {}**: {} asks to run `{sha}`{}{why}. Somebody who may can write `{} {sha}` until {until}.",
        offer.id,
        neutral::inline(offer.request.by.name(), 60),
        asked_for(offer),
        view.accept,
    );
}

/// What narrows or widens a run, so that nobody accepts or trusts something else than it is.
fn asked_for(run: &Run) -> String {
    let options = &run.request.options;
    let mut parts = Vec::new();
    if !options.tiers.is_empty() {
        parts.push(format!("only up to tier {}", neutral::inline(&options.tiers.join(", "), 80)));
    }
    if let Some(pattern) = &options.notebooks {
        parts.push(format!("only notebooks that fit {}", neutral::inline(pattern, 120)));
    }
    if !run.request.only.is_empty() {
        parts.push(format!("only the {} that were not good before", run.request.only.len()));
    }
    if options.extra_tests {
        parts.push("with the extra tests".to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(", {}", parts.join(", ")) }
}

fn write_answers(text: &mut String, view: &View<'_>) {
    let mut lines = String::new();
    let asked = view.comments.iter().flat_map(|entry| entry.commands.iter().map(move |asked| (entry, asked)));
    for (entry, asked) in asked.filter(|(_, asked)| !is_silent(&asked.fate)).take(ANSWERS) {
        let who = entry.author.as_ref().map_or("somebody", |actor| actor.login.as_str());
        let (command, who) = (neutral::inline(&asked.text, 80), neutral::inline(who, 60));
        let _ = writeln!(lines, "- {command} by {who}: {}", answer(&asked.fate, view.runs));
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n**Commands**, the newest first\n\n{lines}");
    }
}

/// Quoted and pasted commands have a row in the ledger, but nobody waits for an answer to them.
fn is_silent(fate: &Fate) -> bool {
    matches!(fate, Fate::Ignored { why } if !why.contains("edited"))
}

fn answer(fate: &Fate, runs: &[Run]) -> String {
    match fate {
        Fate::Pending => "being looked at".to_owned(),
        Fate::Accepted { run } => format!("accepted as run {run}"),
        Fate::Offered { run } => match runs.iter().find(|known| known.id == *run) {
            Some(known) if known.phase != Phase::Offered => format!("offer {run}, {}", headline(known)),
            _ => format!("offer {run}, waits to be accepted"),
        },
        Fate::Answered { text } => neutral::inline(text, 400),
        Fate::Refused { refusal } => {
            format!("refused ({}): {}", refusal.code, neutral::inline(&refusal.text, 400))
        }
        Fate::NotUnderstood { text } => format!("not understood: {}", neutral::inline(text, 400)),
        Fate::Superseded { by } => format!("superseded by run {by}"),
        Fate::Ignored { why } => format!("ignored: {}", neutral::inline(why, 300)),
    }
}

fn write_history(text: &mut String, view: &View<'_>, shown: Option<&Run>) {
    let mut lines = String::new();
    let earlier = view.runs.iter().filter(|run| shown.is_none_or(|shown| shown.id != run.id));
    for run in earlier.filter(|run| run.phase != Phase::Offered).take(5) {
        let sha = run.request.sha.as_ref().map(|sha| sha.short()).unwrap_or_default();
        let _ = writeln!(lines, "- run {} at `{sha}`: {}", run.id, headline(run));
    }
    if !lines.is_empty() {
        fold(text, "earlier runs", &lines);
    }
}

fn fold(text: &mut String, title: &str, body: &str) {
    let _ = write!(text, "\n<details><summary>{title}</summary>\n\n{}\n\n</details>\n", body.trim_end());
}

/// The page of a run.
pub fn page_of(view: &View<'_>, run: &Run) -> Option<String> {
    view.public_url.map(|url| format!("{url}/runs/{}", run.id))
}

fn link(view: &View<'_>, words: &str) -> String {
    let page = view.runs.first().and_then(|run| page_of(view, run));
    page.map(|page| format!("{words}: {page}")).unwrap_or_default()
}
