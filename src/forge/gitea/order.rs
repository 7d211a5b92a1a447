//! Which head did the commenter see? Comments and pushes stand in one record with rising numbers, so the record proves
//! that a push came before a comment where docent's own poll was too slow to see it.

use std::collections::BTreeSet;

use super::json::{Entry, Push};
use super::pages;
use crate::core::id::{CommentKind, Sha};
use crate::core::pull::{Comment, Order, PushRecord, Repository};
use crate::core::time::Time;
use crate::forge::ForgeError;
use crate::forge::http::{Answer, Watcher, is_too_large};
use crate::forge::name::split;

/// Entries asked for at a time where a page of the usual size is too large.
const FEW: usize = 10;
/// More pages than any record has that docent reads.
const MOST: usize = 2000;

/// The record of a pull request, as far as it is needed.
#[derive(Debug, Default)]
pub struct Record {
    newest_push: Option<NewestPush>,
    /// Review, its entry, its text, and whether the entry was changed.
    reviews: Vec<(u64, u64, String, bool)>,
    /// Numbers of all entries so far.
    seen: BTreeSet<u64>,
}

#[derive(Debug)]
struct NewestPush {
    /// Number of its entry.
    number: u64,
    /// The commit it ends in; none where the entry cannot be read.
    end: Option<Sha>,
    /// Number of the account that pushed.
    by: Option<u64>,
    recorded_at: Time,
}

/// Reads the record whole, page by page: Gitea 1.26 gives only the first thirty entries when no page is named, and says
/// nowhere that there are more.
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
    let (mut limit, mut page) = (pages::LIMIT, 1_usize);
    while page <= MOST {
        let answer =
            match watcher.get(&path, &[("page", &page.to_string()), ("limit", &limit.to_string())]).await {
                Err(error) if is_too_large(&error) && limit > FEW => {
                    page = (page - 1) * limit / FEW + 1;
                    limit = FEW;
                    continue;
                }
                answer => answer?,
            };
        // Entries that the reader may not see are left out, so that a short page proves nothing: only one without
        // anything new does.
        if record.take(&answer)? == 0 {
            return Ok(record);
        }
        page += 1;
    }
    Ok(Record::default())
}

impl Record {
    /// Takes the entries of one page. Gives how many of them no earlier page had.
    fn take(&mut self, answer: &Answer) -> Result<usize, ForgeError> {
        let known = self.seen.len();
        for item in answer.items()? {
            let entry: Entry = answer.item(item)?;
            self.seen.insert(entry.id);
            match entry.kind.as_deref() {
                Some("pull_push") if self.newest_push.as_ref().is_none_or(|push| push.number < entry.id) => {
                    let push = serde_json::from_str::<Push>(&entry.body.unwrap_or_default()).ok();
                    self.newest_push = Some(NewestPush {
                        number: entry.id,
                        end: push.and_then(|push| push.commit_ids.last()?.parse().ok()),
                        by: entry
                            .user
                            .and_then(|user| u64::try_from(user.id).ok())
                            .filter(|number| *number > 0),
                        recorded_at: entry.created_at.time(),
                    });
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
        Ok(self.seen.len() - known)
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
            (Some(number), Some(push)) if push.number > number => Order::CommentFirst,
            (Some(number), Some(push)) if push.number < number && push.end.as_ref() == Some(head) => {
                Order::HeadFirst
            }
            _ => Order::Unproven,
        }
    }

    /// The push that ends in `head`, the current one.
    pub fn push(&self, head: &Sha) -> Option<PushRecord> {
        let push = self.newest_push.as_ref().filter(|push| push.end.as_ref() == Some(head))?;
        Some(PushRecord { by: push.by?, recorded_at: push.recorded_at })
    }
}
