//! Page after page of a list.
//!
//! Pages are counted here, not followed: the forge builds its `Link` from a setting that often names another host. That
//! there *is* a next page is taken from `Link`, else from `X-Total-Count`; where both are missing, from asking on until
//! a page brings nothing new.

use serde_json::value::RawValue;

use crate::forge::http::{Answer, Watcher, is_too_large};
use crate::forge::{ForgeError, ForgeErrorKind};

/// Items asked for at a time; the forge may give fewer.
pub const LIMIT: usize = 50;
/// Asked for at a time where that many are too large.
pub const FEW: usize = 5;
/// Fewer items than this are no full page of any forge: where nothing says how many there are, they are all.
pub const LEAST: usize = 10;
/// Single items that may be too large before the whole list is given up.
const MONSTERS: usize = 5;
/// More pages than any list has that docent reads.
const MOST: usize = 2000;

/// What the reader of a page found.
pub enum Flow {
    /// So many items that no earlier page had.
    New(usize),
    /// What was looked for: no further page is needed.
    Enough,
}

/// Gives `take` each page in turn. `query` must not name a page or limit. A page that is too large is asked for again in
/// smaller ones (anybody may fill a page with texts of megabytes); what is too large alone is given back as failures.
pub async fn read<F>(
    watcher: &Watcher,
    path: &[&str],
    query: &[(&str, &str)],
    limit: usize,
    mut take: F,
) -> Result<Vec<ForgeError>, ForgeError>
where
    F: FnMut(&Answer, Vec<&RawValue>) -> Result<Flow, ForgeError> + Send,
{
    let (mut limit, mut page, mut seen, mut idle) = (limit, 1, 0, 0);
    let mut failures = Vec::new();
    for _ in 0..MOST {
        let (number, size) = (page.to_string(), limit.to_string());
        let mut query = query.to_vec();
        query.extend([("page", number.as_str()), ("limit", size.as_str())]);
        let answer = match watcher.get(path, &query).await {
            Err(error) if is_too_large(&error) && limit > 1 => {
                limit = if limit > FEW { FEW } else { 1 };
                page = seen / limit + 1;
                continue;
            }
            Err(error) if is_too_large(&error) && failures.len() < MONSTERS => {
                failures.push(error);
                seen += 1;
                page += 1;
                continue;
            }
            answer => answer?,
        };
        let items = answer.items()?;
        let got = items.len();
        let says_more = answer.next_page().is_some();
        let fresh = match take(&answer, items)? {
            Flow::Enough => return Ok(failures),
            Flow::New(fresh) => fresh,
        };
        seen += got;
        idle = if fresh == 0 { idle + 1 } else { 0 };
        let goes_on = if answer.has_link() {
            says_more
        } else if let Some(total) = answer.total() {
            seen < total
        } else {
            fresh > 0
        };
        if got == 0 || !goes_on {
            return Ok(failures);
        }
        if idle > 2 {
            let detail =
                format!("page {page} brings nothing new, as those before it, and yet there is a next one");
            return Err(answer.error(ForgeErrorKind::Malformed, &detail));
        }
        page += 1;
    }
    Err(ForgeError {
        forge: watcher.forge().to_owned(),
        kind: ForgeErrorKind::Malformed,
        what: format!("GET {}", path.join("/")),
        detail: format!("more than {MOST} pages"),
        retry_after: None,
    })
}
