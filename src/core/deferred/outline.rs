//! From Markdown to what this format is made of: headings, and the items of lists at the top level, each with its place.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Where the parts of an entry stand, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// The character in the box.
    pub tick: usize,
    /// What stands before the box: `- `, and what the item is indented by.
    pub lead: String,
    /// Where the last item ends.
    pub end: usize,
}

/// A block at the top level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// In bytes, without the white space after it.
    pub range: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Heading { level: usize, title: String },
    Item(Item),
    Rule,
    Other,
}

/// An item of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// Where its box stands, and whether it is ticked.
    pub tick: Option<(usize, bool)>,
    /// What stands as code in it.
    pub codes: Vec<String>,
}

/// The blocks of a document, in order. Lists stand for their items.
pub(super) fn outline(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut depth = 0;
    // One at the top level stands in a list, which stands in nothing.
    let mut item: Option<(Range<usize>, Item)> = None;
    let mut heading = false;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TASKLISTS).into_offset_iter() {
        let is_top = depth == 0;
        match &event {
            Event::Start(tag) => {
                depth += 1;
                match tag {
                    Tag::Item if depth == 2 => item = Some((range, Item::default())),
                    Tag::Heading { level, .. } if is_top => {
                        heading = true;
                        let kind = Kind::Heading { level: *level as usize, title: String::new() };
                        blocks.push(Block { range: trimmed(text, range), kind });
                    }
                    Tag::List(_) | Tag::Item => {}
                    _ if is_top => blocks.push(Block { range: trimmed(text, range), kind: Kind::Other }),
                    _ => {}
                }
            }
            Event::End(end) => {
                if *end == TagEnd::Item
                    && depth == 2
                    && let Some((range, item)) = item.take()
                {
                    blocks.push(Block { range: trimmed(text, range), kind: Kind::Item(item) });
                }
                heading &= depth > 1;
                depth -= 1;
            }
            Event::TaskListMarker(ticked) => {
                // Not that of an item further in.
                if let Some((_, item)) = item.as_mut().filter(|_| depth <= 3) {
                    item.tick.get_or_insert((range.start + 1, *ticked));
                }
            }
            Event::Code(code) => {
                if let Some((_, item)) = &mut item {
                    item.codes.push(code.to_string());
                }
                append(&mut blocks, heading, code);
            }
            Event::Text(words) => append(&mut blocks, heading, words),
            Event::SoftBreak => append(&mut blocks, heading, " "),
            Event::Rule if is_top => blocks.push(Block { range: trimmed(text, range), kind: Kind::Rule }),
            _ => {}
        }
    }
    blocks
}

/// Adds to the title of the heading that is being read.
fn append(blocks: &mut [Block], heading: bool, words: &str) {
    if let (true, Some(Block { kind: Kind::Heading { title, .. }, .. })) = (heading, blocks.last_mut()) {
        title.push_str(words);
    }
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let end = range.start + text[range.clone()].trim_ascii_end().len();
    range.start..end
}
