//! What became of each command, of the offers, and of the runs before this one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::status::headline;
use super::{View, asked_for, fold};
use crate::core::ledger::{Asked, Entry, Fate};
use crate::core::neutral;
use crate::core::run::{Phase, Run, Trigger};
use crate::core::time::for_people;

/// Commands whose fates are shown, and of one author.
const ANSWERS: usize = 6;
const OF_ONE: usize = 3;

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
    for (entry, asked) in shown(view.comments) {
        let who = entry.author.as_ref().map_or("somebody", |actor| actor.login.as_str());
        let (command, who) = (neutral::inline(&asked.text, 80), neutral::inline(who, 60));
        let _ = writeln!(lines, "- {command} by {who}: {}", answer(&asked.fate, view.runs));
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n**Commands**, the newest first\n\n{lines}");
    }
}

/// The newest commands; of one author only so many that he cannot push the answers to others out of the comment.
fn shown(comments: &[Entry]) -> Vec<(&Entry, &Asked)> {
    let asked = comments.iter().flat_map(|entry| entry.commands.iter().map(move |asked| (entry, asked)));
    let mut of_author: BTreeMap<Option<u64>, usize> = BTreeMap::new();
    let is_within = |(entry, _): &(&Entry, &Asked)| {
        let count = of_author.entry(entry.author.as_ref().map(|actor| actor.number)).or_default();
        *count += 1;
        *count <= OF_ONE
    };
    asked.filter(|(_, asked)| !is_silent(&asked.fate)).filter(is_within).take(ANSWERS).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::{CommentId, CommentKind, RepositoryId};
    use crate::core::pull::Actor;

    fn entry(number: u64, author: u64, texts: &[&str]) -> Entry {
        let repository = RepositoryId { forge: "f".into(), number: 1 };
        let asked = |text: &&str| Asked {
            line: 1,
            text: (*text).to_owned(),
            command: None,
            fate: Fate::Answered { text: "there".into() },
            path: Vec::new(),
        };
        Entry {
            id: CommentId { repository, kind: CommentKind::Comment, number },
            pull: 1,
            author: Some(Actor { number: author, login: author.to_string(), is_bot: false }),
            created_at: Default::default(),
            seen_at: Default::default(),
            page_url: String::new(),
            digest: String::new(),
            edited_at: None,
            commands: texts.iter().map(asked).collect(),
        }
    }

    #[test]
    fn nobody_pushes_the_answers_to_others_out() {
        let mut comments: Vec<Entry> =
            (2..40).rev().map(|number| entry(number, 7, &["!help", "!status"])).collect();
        comments.push(entry(1, 1042, &["!testme"]));
        let shown = shown(&comments);
        let of = |author: u64| {
            shown
                .iter()
                .filter(|(entry, _)| entry.author.as_ref().is_some_and(|it| it.number == author))
                .count()
        };
        assert_eq!((shown.len(), of(7), of(1042)), (4, OF_ONE, 1));
        assert_eq!((shown[0].0.id.number, shown[3].0.id.number), (39, 1), "the newest first");
    }
}
