//! Comments as HTML. What a stranger wrote stays text: no HTML of his, no script, nothing loaded, no reordered letters.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// The only HTML that is let through, exactly as written here: reports fold their details away with it.
const KEPT: [&str; 4] = ["<details>", "</details>", "<summary>", "</summary>"];

/// Renders Markdown.
pub(super) fn render(text: &str) -> String {
    let text = visible(text);
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut open = 0_u32;
    let mut events = Vec::new();
    for event in Parser::new_ext(&text, options) {
        match event {
            Event::Html(written) | Event::InlineHtml(written) => {
                html_events(&written, &mut open, &mut events)
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = if is_harmless(&dest_url) { dest_url } else { CowStr::from("#") };
                events.push(Event::Start(Tag::Link { link_type, dest_url, title, id }));
            }
            // An image would be loaded: its description is enough.
            Event::Start(Tag::Image { .. }) => events.push(Event::Text("[image: ".into())),
            Event::End(TagEnd::Image) => events.push(Event::Text("]".into())),
            other => events.push(other),
        }
    }
    // What was left open must not swallow the comments that follow.
    for _ in 0..open {
        events.push(Event::Html("</details>".into()));
    }
    let mut rendered = String::new();
    html::push_html(&mut rendered, events.into_iter());
    rendered
}

/// Splits raw HTML into the kept tags and text; comments are dropped, as a browser would.
fn html_events<'e>(written: &str, open: &mut u32, events: &mut Vec<Event<'e>>) {
    let mut rest = written;
    while !rest.is_empty() {
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        if let Some(tag) = KEPT.into_iter().find(|tag| rest.starts_with(tag)) {
            match tag {
                "<details>" => *open += 1,
                "</details>" => *open = open.saturating_sub(1),
                _ => {}
            }
            events.push(Event::Html(tag.into()));
            rest = &rest[tag.len()..];
            continue;
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| *c == '<').map_or(rest.len(), |(at, _)| at);
        let (text, after) = rest.split_at(end);
        events.push(Event::Text(text.to_owned().into()));
        rest = after;
    }
}

fn is_harmless(url: &str) -> bool {
    let lower = url.trim().to_ascii_lowercase();
    ["http://", "https://", "mailto:", "#"].iter().any(|start| lower.starts_with(start))
}

/// Makes the characters visible that reorder or hide others: a title must not read differently from what it is.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{200b}'..='\u{200f}'
            | '\u{61c}'
            | '\u{feff}' => {
                shown.push_str(&format!("⟦U+{:04X}⟧", u32::from(c)));
            }
            '\n' | '\t' | '\r' => shown.push(c),
            c if c.is_control() => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_stays_text() {
        let shown = render(
            "hello <script>alert(1)</script>\n\n<img src=x onerror=alert(1)>\n\n<details open>x</details>",
        );
        assert!(
            !shown.contains("<script") && !shown.contains("<img") && !shown.contains("<details open"),
            "{shown}"
        );
        assert!(shown.contains("&lt;script&gt;") && shown.contains("&lt;img"), "{shown}");
    }

    #[test]
    fn links_and_images_do_nothing() {
        let shown = render(
            "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) ![d](http://x.example/p.png) <javascript:x>",
        );
        assert!(
            !shown.to_lowercase().contains("href=\"javascript") && !shown.contains("data:text"),
            "{shown}"
        );
        assert!(!shown.contains("<img"), "{shown}");
        assert!(render("[ok](https://example.org)").contains("href=\"https://example.org\""));
    }

    #[test]
    fn details_fold_and_never_swallow_the_rest() {
        let shown = render("<!-- docent:report -->\n<details><summary>log</summary>\n\n**bold**\n");
        assert!(shown.contains("<details><summary>log</summary>"), "{shown}");
        assert!(shown.contains("<strong>bold</strong>") && !shown.contains("docent:report"), "{shown}");
        assert_eq!(shown.matches("<details>").count(), shown.matches("</details>").count(), "{shown}");
    }

    #[test]
    fn hidden_letters_are_shown() {
        assert_eq!(visible("a\u{202e}b\u{200b}c"), "a⟦U+202E⟧b⟦U+200B⟧c");
    }
}
