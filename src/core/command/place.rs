//! Where in a comment's Markdown a position stands.
//!
//! Extensions that any of the forges renders are switched on: what one of them shows as a table, a footnote
//! or a formula is not plain words there, and reading it as less is the safe side.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Ignored;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The writer's own words.
    Plain,
    Ignored(Ignored),
}

/// Quotes and lists that may open on one line. The parser compares every line with all that is open, so
/// deeper nesting costs time in the square of the comment's length; no person writes it.
const MAX_NESTING: usize = 64;

/// The place of each offset; `offsets` must ascend.
pub(super) fn places(body: &str, offsets: &[usize]) -> Vec<Place> {
    if offsets.is_empty() {
        return Vec::new();
    }
    if body.lines().any(|line| nesting(line) > MAX_NESTING) {
        return vec![Place::Ignored(Ignored::TooDeep); offsets.len()];
    }
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_MATH
        | Options::ENABLE_GFM;
    let mut places = Vec::with_capacity(offsets.len());
    let mut around = Around::default();
    for (event, range) in Parser::new_ext(body, options).into_offset_iter() {
        let leaf = match event {
            Event::Start(tag) => {
                if matches!(tag, Tag::HtmlBlock) {
                    around.elements.read(&body[range]);
                }
                around.step(&tag.to_end(), 1);
                continue;
            }
            Event::End(tag) => {
                around.step(&tag, -1);
                continue;
            }
            Event::Text(_) => around.reason().map_or(Place::Plain, Place::Ignored),
            Event::Code(_) => Place::Ignored(Ignored::InCode),
            Event::InlineMath(_) | Event::DisplayMath(_) => Place::Ignored(Ignored::InMath),
            Event::Html(_) => Place::Ignored(Ignored::InHtml),
            Event::InlineHtml(_) => {
                around.elements.read(&body[range.clone()]);
                Place::Ignored(Ignored::InHtml)
            }
            Event::FootnoteReference(_)
            | Event::SoftBreak
            | Event::HardBreak
            | Event::Rule
            | Event::TaskListMarker(_) => continue,
        };
        while let Some(offset) = offsets.get(places.len()).filter(|offset| **offset < range.end) {
            // What no event covers belongs to a link definition or to markup.
            places.push(if *offset < range.start { Place::Ignored(Ignored::Hidden) } else { leaf });
        }
        if places.len() == offsets.len() {
            break;
        }
    }
    places.resize(offsets.len(), Place::Ignored(Ignored::Hidden));
    quote_fences(body, offsets, &mut places);
    places
}

/// How many quotes, list items and footnotes a line may open, at most.
fn nesting(line: &str) -> usize {
    let mut count = 0;
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = if let Some(after) = rest.strip_prefix('>') {
            Some(after)
        } else if rest.starts_with("[^") {
            rest.split_once("]:").map(|(_, after)| after)
        } else {
            let bullet = if digits > 0 { &['.', ')'][..] } else { &['-', '*', '+'][..] };
            rest[digits..].strip_prefix(bullet).filter(|after| after.starts_with([' ', '\t']))
        };
        match after {
            Some(after) => rest = after,
            None => return count,
        }
        count += 1;
    }
}

/// What is open around the current event. Counters, because a stack of a hostile comment may be deep.
#[derive(Default)]
struct Around {
    code: i32,
    html: i32,
    quote: i32,
    footnote: i32,
    table: i32,
    list: i32,
    link: i32,
    struck: i32,
    elements: OpenElements,
}

impl Around {
    fn step(&mut self, tag: &TagEnd, by: i32) {
        match tag {
            TagEnd::CodeBlock => self.code += by,
            TagEnd::HtmlBlock | TagEnd::MetadataBlock(_) => self.html += by,
            TagEnd::BlockQuote(_) => self.quote += by,
            TagEnd::FootnoteDefinition => self.footnote += by,
            TagEnd::Table => self.table += by,
            TagEnd::List(_) | TagEnd::DefinitionList => self.list += by,
            TagEnd::Link | TagEnd::Image => self.link += by,
            TagEnd::Strikethrough => self.struck += by,
            TagEnd::Paragraph
            | TagEnd::Heading(_)
            | TagEnd::Item
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::TableHead
            | TagEnd::TableRow
            | TagEnd::TableCell
            | TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Superscript
            | TagEnd::Subscript => {}
        }
    }

    fn reason(&self) -> Option<Ignored> {
        let open = [
            (self.code, Ignored::InCode),
            (self.html, Ignored::InHtml),
            (self.quote, Ignored::Quoted),
            (self.footnote, Ignored::InFootnote),
            (self.table, Ignored::InTable),
            (self.list, Ignored::InList),
            (self.link, Ignored::InLink),
            (self.struck, Ignored::StruckOut),
        ];
        let reason = open.iter().find(|(count, _)| *count > 0).map(|(_, reason)| *reason);
        reason.or(self.elements.is_open().then_some(Ignored::InHtml))
    }
}

/// HTML elements in which text is not the writer's own plain words. Markdown goes on as usual between
/// `<details>` and `</details>` when empty lines stand there, so the parser alone would not tell.
const ELEMENTS: [&str; 18] = [
    "a",
    "blockquote",
    "code",
    "del",
    "details",
    "div",
    "dl",
    "kbd",
    "ol",
    "pre",
    "q",
    "s",
    "samp",
    "strike",
    "summary",
    "table",
    "template",
    "ul",
];

#[derive(Default)]
struct OpenElements {
    depth: [u32; ELEMENTS.len()],
}

impl OpenElements {
    fn is_open(&self) -> bool {
        self.depth.iter().any(|depth| *depth > 0)
    }

    fn read(&mut self, html: &str) {
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            rest = &rest[at + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = comment.split_once("-->").map_or("", |(_, after)| after);
                continue;
            }
            let (closes, name) = match rest.strip_prefix('/') {
                Some(name) => (true, name),
                None => (false, rest),
            };
            let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
            if let Some(at) = ELEMENTS.iter().position(|element| name[..end].eq_ignore_ascii_case(element)) {
                self.depth[at] = if closes { self.depth[at].saturating_sub(1) } else { self.depth[at] + 1 };
            }
            rest = &name[end..];
        }
    }
}

/// GitLab quotes everything between two lines of `>>>`, which Markdown parsers do not know.
fn quote_fences(body: &str, offsets: &[usize], places: &mut [Place]) {
    let mut opened: Option<usize> = None;
    let mut start = 0;
    for line in body.split_inclusive('\n') {
        if line.trim_end() == ">>>" {
            if let Some(from) = opened.take() {
                let first = offsets.partition_point(|offset| *offset < from);
                let end = offsets.partition_point(|offset| *offset < start);
                for place in &mut places[first..end] {
                    if *place == Place::Plain {
                        *place = Place::Ignored(Ignored::Quoted);
                    }
                }
            } else {
                opened = Some(start);
            }
        }
        start += line.len();
    }
}
