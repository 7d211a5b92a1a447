//! Pushes to watched branches: one search per owner says which repositories changed at all; only of those the watched
//! branches are read, and of those whose branches were never read before.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::json::Stamp;
use super::Cycle;
use crate::core::id::Sha;
use crate::core::pull::Repository;
use crate::core::time::Time;
use crate::forge::http::{Answer, Watcher};
use crate::forge::name::split;
use crate::forge::round::OVERLAP;
use crate::forge::{ForgeError, ForgeErrorKind};

/// The most pages of one search.
const MOST: usize = 200;

/// Repositories that changed, most recently first.
struct Feed {
    began: Time,
    /// Their names now, by number.
    changed: BTreeMap<u64, String>,
    /// What could not be read of it.
    failures: Vec<ForgeError>,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    data: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize)]
struct Updated {
    id: u64,
    full_name: String,
    updated_at: Stamp,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum References {
    Many(Vec<Reference>),
    One(Reference),
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "ref")]
    name: String,
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    sha: Sha,
}

impl<'a> Cycle<'a> {
    /// Notes of which of an owner's repositories the branches have to be read.
    pub(super) async fn look_for_pushes(&mut self, owner: u64, repositories: &[&'a Repository]) {
        let watching: Vec<&Repository> =
            repositories.iter().filter(|r| !self.watch.branches_of(r).is_empty()).copied().collect();
        if watching.is_empty() || self.round.stop().is_some() {
            return;
        }
        let key = format!("pushes:{owner}");
        let since = self.old.feeds.get(&key).copied();
        let searched = search(&self.watcher, owner, since).await;
        self.round.heed(searched.as_ref().err());
        let feed = match searched {
            Ok(feed) => feed,
            Err(error) => return self.round.poll.failures.push((None, error)),
        };
        self.round.has_read = true;
        for repository in watching {
            if let Some(name) = feed.changed.get(&repository.id.number) {
                self.pushed.insert(repository.id.number, name.clone());
            }
        }
        if feed.failures.is_empty() {
            self.round.poll.cursor.feeds.insert(key, feed.began);
        }
        self.round.poll.failures.extend(feed.failures.into_iter().map(|error| (None, error)));
    }

    /// Reads the watched branches of what was pushed to, of what is read whole, and of what was never read.
    pub(super) async fn read_branches(&mut self, whole: &BTreeSet<u64>) {
        for repository in self.watch.repositories {
            let (number, names) = (repository.id.number, self.watch.branches_of(repository));
            let known = self.old.repositories.get(&number);
            let is_new = |name: &String| known.is_none_or(|known| !known.branches.contains_key(name));
            let pushed = self.pushed.get(&number).cloned();
            if names.is_empty() || !(pushed.is_some() || whole.contains(&number) || names.iter().any(is_new))
            {
                continue;
            }
            let read = match self.round.stop().cloned() {
                Some(error) => Err(error),
                None => self.read_branches_of(repository, pushed.as_deref(), names).await,
            };
            self.round.heed(read.as_ref().err());
            if let Err(error) = read {
                self.round.is_behind(repository, error);
            }
        }
    }

    async fn read_branches_of(
        &mut self,
        repository: &Repository,
        name: Option<&str>,
        branches: &[String],
    ) -> Result<(), ForgeError> {
        let (owner, short) = split(&self.gitea.name, name.unwrap_or(&repository.name))?;
        for branch in branches {
            let mut path = vec!["repos", owner, short, "git", "refs", "heads"];
            path.extend(branch.split('/'));
            let answer = self.watcher.ask(&path, &[]).await?;
            let observed_at = answer.clock()?;
            let head = tip(answer, branch)?;
            self.round.has_read = true;
            self.round.branch_is(repository, branch, head, observed_at);
        }
        if let Some(name) = name {
            self.round.is_named(repository, name);
        }
        Ok(())
    }
}

/// Where the branch is, if there is one: the forge gives everything that begins with its name.
fn tip(answer: Answer, branch: &str) -> Result<Option<Sha>, ForgeError> {
    // 409: the repository is empty.
    if matches!(answer.status.as_u16(), 404 | 409) {
        return Ok(None);
    }
    let wanted = format!("refs/heads/{branch}");
    let found = match answer.success()?.json::<References>()? {
        References::Many(all) => all,
        References::One(one) => vec![one],
    };
    Ok(found.into_iter().find(|reference| reference.name == wanted).map(|reference| reference.object.sha))
}

/// The repositories of `owner` that changed since then; without a time, only the forge's clock is of interest.
async fn search(watcher: &Watcher, owner: u64, since: Option<Time>) -> Result<Feed, ForgeError> {
    let horizon = since.map(|since| since - OVERLAP);
    let uid = owner.to_string();
    let mut feed: Option<Feed> = None;
    for page in 1..=MOST {
        let page = page.to_string();
        let query = [
            ("uid", uid.as_str()),
            ("exclusive", "true"),
            ("sort", "updated"),
            ("order", "desc"),
            ("page", page.as_str()),
            ("limit", if horizon.is_some() { "50" } else { "1" }),
        ];
        let answer = watcher.get(&["repos", "search"], &query).await?;
        let clock = answer.clock()?;
        let began = answer.began.unwrap_or(clock);
        let feed = feed.get_or_insert_with(|| Feed { began, changed: BTreeMap::new(), failures: Vec::new() });
        let items = answer.json::<Found>()?.data.unwrap_or_default();
        let Some(horizon) = horizon else { break };
        let (mut fresh, mut is_past) = (0, false);
        for item in &items {
            match answer.item::<Updated>(item) {
                Ok(found) if found.updated_at.time() < horizon => is_past = true,
                Ok(found) => fresh += usize::from(feed.changed.insert(found.id, found.full_name).is_none()),
                Err(error) => feed.failures.push(error),
            }
        }
        let is_last = answer.has_link() && answer.next_page().is_none();
        if is_past || is_last || fresh == 0 {
            break;
        }
    }
    feed.ok_or_else(|| ForgeError {
        forge: watcher.forge().to_owned(),
        kind: ForgeErrorKind::Malformed,
        what: "GET repos/search".to_owned(),
        detail: "no page could be read".to_owned(),
        retry_after: None,
    })
}
