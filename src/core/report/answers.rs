//! What became of each command, of the offers, and of the runs before this one.

use std::fmt::Write as _;

use super::status::headline;
use super::{View, asked_for, fold};
use crate::core::ledger::Fate;
use crate::core::neutral;
use crate::core::run::{Phase, Run, Trigger};
use crate::core::time::for_people;

/// Commands whose fates are shown.
const ANSWERS: usize = 6;

pub(super) fn write_offer(text: &mut String, view: &View<'_>, offer: &Run) {
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

pub(super) fn write_answers(text: &mut String, view: &View<'_>) {
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
        Fate::Offered { run, why } => match runs.iter().find(|known| known.id == *run) {
            Some(known) if known.phase != Phase::Offered => format!("offer {run}, {}", headline(known)),
            _ if why.is_empty() => format!("offer {run}, waits to be accepted"),
            _ => format!("offer {run}, waits to be accepted: {why}"),
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

pub(super) fn write_history(text: &mut String, view: &View<'_>, shown: Option<&Run>) {
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
