//! Pages and their headers, and the times in queries, as the real forge counts and refuses them.

use chrono::{DateTime, Utc};

use super::{Answer, Call, Refusal, no};

/// Items of a page when nothing is asked for.
pub(super) const DEFAULT: usize = 30;
/// The most items of a page; a larger wish is cut down silently.
pub(super) const CAP: usize = 50;

/// A wish for a page.
#[derive(Clone, Copy)]
pub(super) struct Page {
    number: usize,
    /// The page size that was asked for: `Link` is made with it, even where it is over the cap.
    wished: usize,
}

impl Page {
    fn size(self) -> usize {
        self.wished.min(CAP)
    }

    pub fn cut<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip((self.number - 1).saturating_mul(self.size())).take(self.size()).collect()
    }
}

impl Call<'_> {
    pub(super) fn page(&self) -> Page {
        let number = |name: &str| self.asked(name).parse::<usize>().unwrap_or(0);
        let wished = number("limit");
        Page { number: number("page").max(1), wished: if wished == 0 { DEFAULT } else { wished } }
    }

    /// Whether the answer carries the headers of a paged list: those of the search are made with the uncut page size,
    /// so that a limit over the cap loses the later pages. That is how it is.
    pub(super) fn with_links(&self, answer: Answer, total: usize, page: Page, is_search: bool) -> Answer {
        let size = if is_search { page.wished } else { page.size() };
        let pages = total.div_ceil(size);
        let current = page.number.min(pages.max(1));
        let link = |to: usize, rel: &str| {
            let mut pairs: Vec<(String, String)> =
                url::form_urlencoded::parse(self.raw_query.as_bytes()).into_owned().collect();
            pairs.retain(|(name, _)| name != "page");
            pairs.push(("page".to_owned(), to.to_string()));
            pairs.sort();
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            format!("<{}{}?{query}>; rel=\"{rel}\"", self.shared.url, self.path)
        };
        let mut links = Vec::new();
        if current < pages {
            links.extend([link(current + 1, "next"), link(pages, "last")]);
        }
        if current > 1 {
            links.extend([link(1, "first"), link(current - 1, "prev")]);
        }
        let answer = answer.header("x-total-count", total.to_string());
        if links.is_empty() { answer } else { answer.header("link", links.join(",")) }
    }

    /// `since` and `before`, both inclusive.
    pub(super) fn span(&self) -> Result<Span, Refusal> {
        Ok(Span { since: self.time("since")?, before: self.time("before")? })
    }

    fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
        let text = self.asked(name);
        if text.is_empty() {
            return Ok(None);
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) if text.as_bytes().get(10) == Some(&b'T') => Ok(Some(time.with_timezone(&Utc))),
            _ => {
                // What cannot be read is named from there on, beside what should stand there.
                let (rest, wanted) = text.get(19..).map_or((text, "2006"), |rest| (rest, "Z07:00"));
                let layout = "2006-01-02T15:04:05Z07:00";
                let said = format!(
                    "parsing time \"{text}\" as \"{layout}\": cannot parse \"{rest}\" as \"{wanted}\""
                );
                Err(no(422, said))
            }
        }
    }
}

/// A span of time.
pub(super) struct Span {
    since: Option<DateTime<Utc>>,
    before: Option<DateTime<Utc>>,
}

impl Span {
    pub fn holds(&self, time: DateTime<Utc>) -> bool {
        self.since.is_none_or(|since| time.timestamp() >= since.timestamp())
            && self.before.is_none_or(|before| time.timestamp() <= before.timestamp())
    }
}
