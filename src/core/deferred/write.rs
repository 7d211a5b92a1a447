//! Changing the file by adding to it: every byte that was there stays, but for the one in the box of what is closed.

use chrono::NaiveDate;

use super::outline::{Kind, outline};
use super::read::{Field, unwrapped};
use super::{Deferral, Register, read, slug};
use crate::core::mistake::lines;

/// An entry to be added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewDeferral {
    /// What it is called by.
    pub slug: String,
    /// What is put off; Markdown, as the others. Line breaks are spaces, an empty line begins a paragraph.
    pub what: String,
    /// Who does so.
    pub filed_by: String,
    /// Why.
    pub reason: String,
    /// What would bring it back.
    pub trigger: Option<String>,
    /// Where it is spoken of elsewhere.
    pub linked: Option<String>,
}

/// The text with one more entry, at the end of the open ones.
///
/// # Errors
/// The file has mistakes, the slug is taken or none, a value says nothing or cannot be written: the sentence says which.
pub fn add(text: &str, new: &NewDeferral, today: NaiveDate) -> Result<String, String> {
    let before = sound(text)?;
    if new.slug.is_empty() || slug(&new.slug) != new.slug {
        let better = slug(&new.slug);
        let hint = if better.is_empty() { String::new() } else { format!(": take {better}") };
        return Err(format!("{:?} is no slug{hint} (lower case, digits and hyphens)", new.slug));
    }
    if let Some(taken) = before.entry(&new.slug) {
        return Err(format!("there is an entry {} already, in line {}", new.slug, taken.line));
    }
    let style = Style::of(text, &before);
    let mut added = format!("### {today}{}{}\n\n", style.dash, new.slug);
    let fields = [
        (Field::What, Some(&new.what)),
        (Field::FiledBy, Some(&new.filed_by)),
        (Field::Reason, Some(&new.reason)),
        (Field::Trigger, new.trigger.as_ref()),
        (Field::Linked, new.linked.as_ref()),
    ];
    let mut written = Vec::new();
    for (field, value) in fields.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        let value = value_of(field, value)?;
        let tick = if field == Field::What { "[ ] " } else { "" };
        // Further paragraphs are indented, so that they stay in the item.
        let lines = value.replace("\n\n", "\n\n  ");
        added.push_str(&format!("- {tick}{} {lines}\n", style.name(field)));
        written.push(value);
    }
    let at = end_of_open(text).ok_or("there is no section `## Open deferrals`")?;
    let after = insert(text, at, &format!("\n{added}"), true);
    // What was written is what was meant, or nothing is written.
    let read_back = sound(&after)?;
    let is_new = |deferral: &&Deferral| deferral.slug == new.slug;
    let told = read_back.deferrals().find(is_new).map(values).unwrap_or_default();
    let rest = read_back.deferrals().filter(|deferral| !is_new(deferral));
    if told != written || !rest.eq(before.deferrals()) {
        return Err("these values would not read back as they are; write them in plain sentences".to_owned());
    }
    Ok(after)
}

/// The text with the box of this entry ticked, and one line more that says what closed it.
///
/// # Errors
/// The file has mistakes, there is no such entry, or it is closed.
pub fn close(text: &str, name: &str, today: NaiveDate, how: &str) -> Result<String, String> {
    let before = sound(text)?;
    let Some(entry) = before.entry(name) else {
        let known = before.deferrals().filter(|it| !it.is_closed).map(|it| it.slug.as_str());
        let hint = crate::core::mistake::did_you_mean(name, known);
        return Err(format!("there is no entry {name}{hint}: `docent defer list --all` shows them"));
    };
    if entry.deferral.is_closed {
        return Err(format!("{} is closed already (line {})", entry.deferral.slug, entry.line));
    }
    let layout = &entry.layout;
    let closed = value_of(Field::Closed, &format!("{today}: {how}"))?;
    let name = Style::of(text, &before).name(Field::Closed);
    let line = format!("{}{name} {closed}\n", layout.lead);
    let ticked = format!("{}x{}", &text[..layout.tick], &text[layout.tick + 1..]);
    let after = insert(&ticked, layout.end, &line, false);
    let read_back = sound(&after)?;
    let mut expected: Vec<Deferral> = before.deferrals().cloned().collect();
    for deferral in expected.iter_mut().filter(|deferral| deferral.slug == entry.deferral.slug) {
        deferral.is_closed = true;
        deferral.closed = Some(closed.clone());
    }
    match read_back.deferrals().eq(&expected) {
        true => Ok(after),
        false => Err(format!(
            "{} cannot be closed without changing what other lines mean; close it by hand",
            entry.deferral.slug
        )),
    }
}

/// The file as it is, if it can be added to.
fn sound(text: &str) -> Result<Register, String> {
    let register = read(text, super::FILE);
    match register.mistakes.as_slice() {
        [] => Ok(register),
        mistakes => Err(format!("correct this first:\n{}", lines(mistakes))),
    }
}

fn value_of(field: Field, value: &str) -> Result<String, String> {
    let is_strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if value.contains(is_strange) {
        return Err(format!("«{}» holds a control character", field.word()));
    }
    match unwrapped(value) {
        value if value.is_empty() => Err(format!("«{}» says nothing", field.word())),
        value => Ok(value),
    }
}

fn values(deferral: &Deferral) -> Vec<String> {
    let Deferral { what, filed_by, reason, trigger, linked, .. } = deferral;
    [Some(what), Some(filed_by), Some(reason), trigger.as_ref(), linked.as_ref()]
        .into_iter()
        .flatten()
        .cloned()
        .collect()
}

/// The end of what the open section holds, but for a rule that parts it from the next.
fn end_of_open(text: &str) -> Option<usize> {
    let mut end = None;
    for block in outline(text) {
        match &block.kind {
            Kind::Heading { level, title } if *level <= 2 => {
                if end.is_some() {
                    return end;
                }
                end = title.trim().eq_ignore_ascii_case("Open deferrals").then_some(block.range.end);
            }
            Kind::Rule => {}
            _ => end = end.map(|_| block.range.end),
        }
    }
    end
}

/// `text` with whole lines more behind the line in which `at` stands, with line ends as it has them. `is_apart`: an empty
/// line follows.
fn insert(text: &str, at: usize, lines: &str, is_apart: bool) -> String {
    let at = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
    let (before, after) = text.split_at(at);
    let end = if text.split('\n').next().is_some_and(|line| line.ends_with('\r')) { "\r\n" } else { "\n" };
    let mut lines = lines.replace('\n', end);
    if !before.ends_with('\n') {
        // The file ends without a line end: so it does afterwards.
        lines = format!("{end}{}", lines.strip_suffix(end).unwrap_or(&lines));
    }
    if is_apart && !after.is_empty() && !after.starts_with(['\n', '\r']) {
        lines.push_str(end);
    }
    format!("{before}{lines}{after}")
}

/// How this file writes what may be written in several ways, from its last entry.
struct Style {
    dash: &'static str,
    is_colon_inside: bool,
}

impl Style {
    fn of(text: &str, register: &Register) -> Self {
        let Some(last) = register.entries.last() else {
            return Self { dash: " — ", is_colon_inside: true };
        };
        let heading = text.lines().nth(last.line - 1).unwrap_or_default();
        let dashes = [" — ", " – ", " - "];
        let name = text[last.layout.tick..].split("**").nth(1);
        Self {
            dash: dashes.into_iter().find(|dash| heading.contains(dash)).unwrap_or(" "),
            is_colon_inside: name.is_none_or(|name| name.trim_end().ends_with(':')),
        }
    }

    fn name(&self, field: Field) -> String {
        match self.is_colon_inside {
            true => format!("**{}:**", field.word()),
            false => format!("**{}**:", field.word()),
        }
    }
}
