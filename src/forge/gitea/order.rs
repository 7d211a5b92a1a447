//! Which head did the commenter see? Comments and pushes stand in one record with rising numbers, so the record proves
//! that a push came before a comment where docent's own poll was too slow to see it.

use super::json::{Entry, Push};
use crate::core::id::{CommentKind, Sha};
use crate::core::pull::{Comment, Order, Repository};
use crate::forge::ForgeError;
use crate::forge::http::{Answer, Watcher, is_too_large};
use crate::forge::name::split;

/// The record of a pull request, as far as it is needed.
#[derive(Debug, Default)]
pub struct Record {
    /// Number of the newest push entry and the commit it ends in; none where the entry cannot be read.
    newest_push: Option<(u64, Option<Sha>)>,
    /// Review, its entry, its text, and whether the entry was changed.
    reviews: Vec<(u64, u64, String, bool)>,
}

/// Reads the record whole. The forge gives it in one answer when no page is named; only where that answer would be too
/// large, page by page.
pub async fn read(
    watcher: &Watcher,
    forge: &str,
    repository: &Repository,
    pull: u64,
) -> Result<Record, ForgeError> {
    let (owner, name) = split(forge, &repository.name)?;
    let number = pull.to_string();
    let path = ["repos", owner, name, "issues", number.as_str(), "timeline"];
    let mut record = Record::default();
    match watcher.get(&path, &[]).await {
        Ok(answer) if answer.next_page().is_none() => {
            record.take(&answer)?;
            return Ok(record);
        }
        Ok(_) => {}
        Err(error) if is_too_large(&error) => {}
        Err(error) => return Err(error),
    }
    for page in 1..=2000_u32 {
        let answer = watcher.get(&path, &[("page", &page.to_string()), ("limit", "10")]).await?;
        // Entries that the reader may not see are left out, so that a short page proves nothing: only an empty one does.
        if record.take(&answer)? == 0 {
            return Ok(record);
        }
    }
    Ok(Record::default())
}

impl Record {
    fn take(&mut self, answer: &Answer) -> Result<usize, ForgeError> {
        let items = answer.items()?;
        for item in &items {
            let entry: Entry = answer.item(item)?;
            match entry.kind.as_deref() {
                Some("pull_push") if self.newest_push.as_ref().is_none_or(|(id, _)| *id < entry.id) => {
                    let push = serde_json::from_str::<Push>(&entry.body.unwrap_or_default()).ok();
                    let head = push.and_then(|push| push.commit_ids.last()?.parse().ok());
                    self.newest_push = Some((entry.id, head));
                }
                Some("review") if entry.review_id > 0 => {
                    let is_changed = entry.created_at.time() != entry.updated_at.time();
                    self.reviews.push((
                        entry.review_id,
                        entry.id,
                        entry.body.unwrap_or_default(),
                        is_changed,
                    ));
                }
                _ => {}
            }
        }
        Ok(items.len())
    }

    fn review(&self, comment: &Comment) -> Option<&(u64, u64, String, bool)> {
        self.reviews.iter().find(|(review, ..)| *review == comment.id.number)
    }

    /// Whether a review's text was changed, which only its entry shows: the times of the review itself also move when it
    /// is begun before it is sent, or dismissed. None when the record does not say.
    pub fn is_edited(&self, comment: &Comment) -> Option<bool> {
        if comment.id.kind != CommentKind::Review {
            return None;
        }
        self.review(comment).map(|(_, _, text, changed)| *changed || *text != comment.body)
    }

    /// Whether `head`, the current one, is older than the comment.
    pub fn order(&self, comment: &Comment, head: &Sha) -> Order {
        let number = match comment.id.kind {
            CommentKind::Comment => Some(comment.id.number),
            CommentKind::Review => self.review(comment).map(|(_, entry, ..)| *entry),
        };
        match (number, &self.newest_push) {
            (Some(number), Some((push, _))) if *push > number => Order::CommentFirst,
            (Some(number), Some((push, Some(end)))) if *push < number && end == head => Order::HeadFirst,
            _ => Order::Unproven,
        }
    }
}
