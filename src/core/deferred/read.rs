//! Reading the file: every entry, and every mistake with its place.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::NaiveDate;

use super::outline::{Block, Item, Kind, Layout, outline};
use super::{Deferral, Entry, MAX_BYTES, Register, slug};
use crate::core::mistake::{Mistake, Place, did_you_mean, position};

/// What an entry says, in the order in which it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Field {
    What,
    FiledBy,
    Reason,
    Trigger,
    Linked,
    Closed,
}

impl Field {
    const ALL: [Self; 6] =
        [Self::What, Self::FiledBy, Self::Reason, Self::Trigger, Self::Linked, Self::Closed];
    const REQUIRED: [Self; 3] = [Self::What, Self::FiledBy, Self::Reason];

    pub fn word(self) -> &'static str {
        match self {
            Self::What => "What",
            Self::FiledBy => "Filed by",
            Self::Reason => "Reason for deferral",
            Self::Trigger => "Re-entry trigger",
            Self::Linked => "Linked IDEA / BACKLOG",
            Self::Closed => "Closed",
        }
    }

    /// The field of this name. «Linked …» and «Closed …» may name more.
    fn named(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let begins = |word: &str| name.split_whitespace().next() == Some(word);
        match Self::ALL.into_iter().find(|field| field.word().to_lowercase() == name) {
            None if begins("linked") => Some(Self::Linked),
            None if begins("closed") => Some(Self::Closed),
            found => found,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Open,
    Closed,
}

impl Section {
    const BOTH: [Self; 2] = [Self::Open, Self::Closed];

    fn word(self) -> &'static str {
        match self {
            Self::Open => "Open deferrals",
            Self::Closed => "Closed deferrals",
        }
    }

    fn named(title: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|section| title.trim().eq_ignore_ascii_case(section.word()))
    }
}

/// Reads the file called `file`.
pub fn read(text: &str, file: &str) -> Register {
    let mut reader = Reader { text, file, register: Register::default(), sections: Vec::new(), draft: None };
    for block in outline(text) {
        reader.take(block);
    }
    reader.finish_entry();
    for section in Section::BOTH {
        if !reader.sections.contains(&Some(section)) {
            let missing = format!("there is no section `## {}`: add it", section.word());
            reader.mistake(text.len(), missing);
        }
    }
    reader.register.mistakes.sort();
    reader.register
}

/// Reads the file as it was stored: nothing is too large or too strange to be told of.
pub fn read_bytes(bytes: &[u8], file: &str) -> Register {
    let only = |mistake| Register { entries: Vec::new(), mistakes: vec![mistake] };
    if bytes.len() > MAX_BYTES {
        let text = format!("is larger than {} MiB, which no such file is", MAX_BYTES >> 20);
        return only(Mistake::new(Place::whole(file), text));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text, file),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let (line, column) = position(&valid, valid.len());
            let place = Place { file: file.to_owned(), line, column };
            only(Mistake::new(place, "is no UTF-8 from here on; save the file as UTF-8"))
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    register: Register,
    /// Headings of the second level so far; none for a section that is of no concern here.
    sections: Vec<Option<Section>>,
    draft: Option<Draft>,
}

/// An entry that is being read.
struct Draft {
    at: usize,
    section: Section,
    heading: Option<(NaiveDate, String)>,
    fields: BTreeMap<Field, (usize, String)>,
    tests: Vec<String>,
    box_is_ticked: Option<bool>,
    /// Something is said beside the fields.
    has_notes: bool,
    layout: Layout,
}

impl Reader<'_> {
    fn mistake(&mut self, at: usize, text: impl Into<String>) {
        let (line, column) = position(self.text, at);
        let place = Place { file: self.file.to_owned(), line, column };
        self.register.mistakes.push(Mistake::new(place, text));
    }

    fn section(&self) -> Option<Section> {
        self.sections.last().copied().flatten()
    }

    fn take(&mut self, block: Block) {
        let at = block.range.start;
        match block.kind {
            Kind::Heading { level, title } if date_of(&title).is_some() => {
                self.finish_entry();
                match self.section() {
                    Some(section) => {
                        if level != 3 {
                            self.mistake(at, "entries are headed with `###`");
                        }
                        self.begin_entry(at, section, &title);
                    }
                    None => self.mistake(
                        at,
                        "this entry stands in neither section: move it below `## Open deferrals`",
                    ),
                }
            }
            Kind::Heading { level, title } if level <= 3 => {
                self.finish_entry();
                match self.section() {
                    Some(section) if level == 3 => self.begin_entry(at, section, &title),
                    None if level == 3 => {}
                    _ => self.begin_section(at, &title),
                }
            }
            Kind::Item(item) => self.take_item(block.range, item),
            Kind::Rule => {}
            Kind::Heading { .. } | Kind::Other => {
                if let Some(draft) = &mut self.draft {
                    draft.has_notes = true;
                }
            }
        }
    }

    fn begin_section(&mut self, at: usize, title: &str) {
        let section = Section::named(title);
        if section.is_some() && self.sections.contains(&section) {
            self.mistake(
                at,
                format!("there is a section «{}» already: move the entries there", title.trim()),
            );
        } else if section.is_none() {
            let hint = did_you_mean(title.trim(), Section::BOTH.map(Section::word));
            if !hint.is_empty() {
                self.mistake(at, format!("unknown section «{}»{hint}", title.trim()));
            }
        }
        self.sections.push(section);
    }

    fn begin_entry(&mut self, at: usize, section: Section, title: &str) {
        let heading = match heading(title) {
            Ok(heading) => Some(heading),
            Err(text) => {
                self.mistake(at, text);
                None
            }
        };
        self.draft = Some(Draft {
            at,
            section,
            heading,
            fields: BTreeMap::new(),
            tests: Vec::new(),
            box_is_ticked: None,
            has_notes: false,
            layout: Layout::default(),
        });
    }

    fn take_item(&mut self, range: Range<usize>, item: Item) {
        let source = &self.text[range.clone()];
        let Some(written) = Written::of(source) else {
            if let Some(draft) = &mut self.draft {
                draft.has_notes = true;
                draft.layout.end = range.end;
            }
            return;
        };
        let at = range.start + written.at;
        let known = Field::named(written.name);
        let field = known.or_else(|| {
            let near = |field: &Field| !did_you_mean(written.name, [field.word()]).is_empty();
            Field::ALL.into_iter().find(near)
        });
        if self.draft.is_none() {
            if field.is_some() && self.section().is_some() {
                self.mistake(at, format!("«{}» stands below no heading of an entry", written.name));
            }
            return;
        }
        if let (None, Some(field)) = (known, field) {
            let hint = did_you_mean(written.name, [field.word()]);
            self.mistake(at, format!("unknown field «{}»{hint}", written.name));
        }
        let value = unwrapped(written.value);
        if let (true, Some(field)) = (value.is_empty(), field) {
            self.mistake(at, format!("«{}» says nothing", field.word()));
        }
        let Some(draft) = &mut self.draft else { return };
        draft.layout.end = range.end;
        let Some(field) = field else {
            draft.has_notes = true;
            return;
        };
        if let Some((first, _)) = draft.fields.get(&field) {
            let (line, _) = position(self.text, *first);
            self.mistake(at, format!("«{}» stands twice; first in line {line}", field.word()));
            return;
        }
        draft.fields.insert(field, (at, value));
        if field != Field::What {
            return;
        }
        draft.tests = item.codes;
        draft.box_is_ticked = item.tick.map(|(_, is_ticked)| is_ticked);
        match item.tick {
            Some((tick, _)) => {
                let line = self.text[..range.start].rfind('\n').map_or(0, |end| end + 1);
                draft.layout.tick = tick;
                draft.layout.lead = self.text[line..tick - 1].to_owned();
            }
            None => self.mistake(range.start, "«What» has no box: write `- [ ] **What**: …`"),
        }
    }

    /// Judges an entry as a whole, and keeps it if it is clear what it says.
    fn finish_entry(&mut self) {
        let Some(mut draft) = self.draft.take() else { return };
        for field in Field::REQUIRED {
            if !draft.fields.contains_key(&field) {
                self.mistake(draft.at, format!("the entry has no «{}»", field.word()));
            }
        }
        let closed_at = draft.fields.get(&Field::Closed).map(|(at, _)| *at);
        let what_at = draft.fields.get(&Field::What).map_or(draft.at, |(at, _)| *at);
        match (draft.box_is_ticked, draft.section, closed_at) {
            (Some(true), _, None) if !draft.has_notes => {
                self.mistake(
                    what_at,
                    "the box is ticked, and nothing says what closed it: add `- **Closed**: …`",
                );
            }
            (Some(false), _, Some(at)) => {
                self.mistake(at, "this line closes the entry, whose box is not ticked: tick it");
            }
            (Some(false), Section::Closed, None) => self.mistake(
                what_at,
                "stands among the closed ones, and its box is not ticked: tick it, or move it to the open ones",
            ),
            _ => {}
        }
        let (Some((since, title)), Some(is_closed)) = (draft.heading.take(), draft.box_is_ticked) else {
            return;
        };
        let slug = slug(&title);
        if let Some(first) = self.register.entries.iter().find(|entry| entry.deferral.slug == slug) {
            let text = format!("there is an entry {slug} already, in line {}: choose another", first.line);
            self.mistake(draft.at, text);
        }
        let mut value = |field| draft.fields.remove(&field).map(|(_, value)| value);
        let deferral = Deferral {
            slug,
            title,
            since,
            is_closed,
            what: value(Field::What).unwrap_or_default(),
            filed_by: value(Field::FiledBy).unwrap_or_default(),
            reason: value(Field::Reason).unwrap_or_default(),
            trigger: value(Field::Trigger),
            linked: value(Field::Linked),
            closed: value(Field::Closed),
            tests: draft.tests,
        };
        let (line, _) = position(self.text, draft.at);
        self.register.entries.push(Entry { deferral, line, layout: draft.layout });
    }
}

/// `2026-11-27` at the beginning of a title, be it a day of the calendar or not.
fn date_of(title: &str) -> Option<&str> {
    let title = title.trim();
    let date = title.get(..10)?;
    let is_digit =
        |at: usize, byte: u8| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    date.bytes().enumerate().all(|(at, byte)| is_digit(at, byte)).then_some(date)
}

/// `2026-11-27 — slug`, with any dash or none.
fn heading(title: &str) -> Result<(NaiveDate, String), String> {
    let title = title.trim();
    let Some(date) = date_of(title) else {
        return Err(format!("an entry is headed `### 2026-11-27 slug`, and not «{title}»"));
    };
    let since = NaiveDate::parse_from_str(date, "%Y-%m-%d").map_err(|_| format!("{date} is no day"))?;
    let is_between = |c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | ':' | '·');
    let rest = title[date.len()..].trim_start_matches(is_between).trim();
    match slug(rest).is_empty() {
        true => Err(format!("the heading names nothing behind {date}: add a slug")),
        false => Ok((since, rest.to_owned())),
    }
}

/// An item that begins with a name in bold.
struct Written<'a> {
    /// Where the name begins, in bytes.
    at: usize,
    name: &'a str,
    value: &'a str,
}

impl<'a> Written<'a> {
    fn of(source: &'a str) -> Option<Self> {
        let skip = |text: &'a str, is_lead: fn(char) -> bool| text.trim_start_matches(is_lead);
        let rest = skip(source, |c| c.is_ascii_digit() || matches!(c, '-' | '*' | '+' | '.' | ')'));
        // The marker `*` and the bold of `* **What**` are told apart by the space between them.
        let rest = rest.trim_ascii_start();
        let rest =
            ["[ ]", "[x]", "[X]", "[]"].iter().find_map(|tick| rest.strip_prefix(tick)).unwrap_or(rest);
        let rest = rest.trim_ascii_start();
        let bold = ["**", "__"].into_iter().find(|bold| rest.starts_with(bold))?;
        let inside = &rest[bold.len()..];
        let (name, value) = inside.split_once(bold)?;
        let value = value.trim_ascii_start();
        let (name, value) = match name.trim_end().strip_suffix(':') {
            Some(name) => (name, value),
            None => (name, value.strip_prefix(':')?),
        };
        let is_line = !name.contains('\n') && !name.trim().is_empty();
        is_line.then(|| Self { at: source.len() - inside.len(), name: name.trim(), value })
    }
}

/// A value as it is meant: lines that were wrapped are one, an empty line stands between two paragraphs.
pub(super) fn unwrapped(value: &str) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut is_new = true;
    for line in value.lines() {
        let words = line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        match paragraphs.last_mut() {
            _ if words.is_empty() => is_new = true,
            Some(paragraph) if !is_new => {
                paragraph.push(' ');
                paragraph.push_str(&words);
            }
            _ => {
                paragraphs.push(words);
                is_new = false;
            }
        }
    }
    paragraphs.join("\n\n")
}
