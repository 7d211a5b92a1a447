//! One poll by REST, repository by repository: for anonymous reading, and for servers that refuse GraphQL.

use super::cycle::Cycle;
use super::json::{Comment, Reference, RestPull, RestRepository, Review};
use super::{GitHub, split};
use crate::core::pull::Repository;
use crate::core::time::Time;
use crate::forge::http::Answer;
use crate::forge::{Cursor, ForgeError, ForgeErrorKind, Poll, Watch};

/// Pages of one list.
const MOST: usize = 200;

/// Polls once.
pub async fn poll(github: &GitHub, watch: &Watch<'_>, cursor: &Cursor) -> Result<Poll, ForgeError> {
    let mut cycle = Cycle::new(github, watch, cursor);
    for repository in cycle.repositories.clone() {
        let read = match cycle.round.stop().cloned() {
            Some(error) => Err(error),
            None => read(&mut cycle, repository).await,
        };
        if let Err(error) = read {
            cycle.round.heed(Some(&error));
            cycle.fail(repository, error);
        }
    }
    cycle.finish()
}

async fn read(cycle: &mut Cycle<'_>, repository: &Repository) -> Result<(), ForgeError> {
    let horizon = cycle.horizon(repository);
    let mut changed = Vec::new();
    if horizon.is_some() {
        changed = pulls(cycle, repository, "all", horizon).await?;
    }
    if cycle.is_whole(repository) {
        pulls(cycle, repository, "open", None).await?;
        look_up(cycle, repository).await?;
    }
    branches(cycle, repository).await?;
    let Some(horizon) = horizon else { return Ok(()) };
    for pull in &changed {
        reviews(cycle, repository, *pull, horizon).await?;
    }
    if !changed.is_empty() || cycle.is_whole(repository) {
        comments(cycle, repository, horizon).await?;
    }
    Ok(())
}

/// The name may have been given to another repository, or the repository another name.
async fn look_up(cycle: &mut Cycle<'_>, repository: &Repository) -> Result<(), ForgeError> {
    let (owner, name) = split(&cycle.github.name, &repository.name)?;
    let answer = cycle.watcher.get(&["repos", owner, name], &[]).await?;
    let now: RestRepository = answer.json()?;
    if now.id.get() != repository.id.number {
        let detail = format!("the name belongs to repository {} now", now.id);
        return Err(answer.error(ForgeErrorKind::NotFound, &detail));
    }
    cycle.round.is_named(repository, &now.into_repository(&cycle.github.name).name);
    Ok(())
}

/// Goes through the pages of a list; `take` says whether the next one is of interest.
async fn pages<F>(
    cycle: &mut Cycle<'_>,
    repository: &Repository,
    path: &[&str],
    query: &[(&str, &str)],
    mut take: F,
) -> Result<(), ForgeError>
where
    F: FnMut(&mut Cycle<'_>, &Answer) -> Result<bool, ForgeError> + Send,
{
    let (owner, name) = split(&cycle.github.name, &repository.name)?;
    let mut whole = vec!["repos", owner, name];
    whole.extend(path);
    let mut answer = cycle.watcher.get(&whole, query).await?;
    for _ in 0..MOST {
        cycle.clock(&answer)?;
        if !take(cycle, &answer)? {
            return Ok(());
        }
        match cycle.watcher.follow(&answer).await {
            Some(next) => answer = next?,
            None => return Ok(()),
        }
    }
    Err(answer.error(ForgeErrorKind::Malformed, "a list without an end"))
}

async fn pulls(
    cycle: &mut Cycle<'_>,
    repository: &Repository,
    state: &str,
    horizon: Option<Time>,
) -> Result<Vec<u64>, ForgeError> {
    let mut changed = Vec::new();
    let query = [("state", state), ("sort", "updated"), ("direction", "desc"), ("per_page", "50")];
    pages(cycle, repository, &["pulls"], &query, |cycle, answer| {
        let observed_at = answer.clock()?;
        for item in answer.items()? {
            let pull = answer.item::<RestPull>(item).and_then(|pull| {
                pull.into_pull(&repository.id).map_err(|why| answer.error(ForgeErrorKind::Malformed, &why))
            });
            match pull {
                Ok(pull) if horizon.is_some_and(|horizon| pull.updated_at < horizon) => return Ok(false),
                Ok(pull) => {
                    changed.push(pull.id.number);
                    cycle.observe(pull, observed_at);
                }
                Err(error) => cycle.fail(repository, error),
            }
        }
        Ok(true)
    })
    .await?;
    Ok(changed)
}

/// Where the watched branches are: one request for each.
async fn branches(cycle: &mut Cycle<'_>, repository: &Repository) -> Result<(), ForgeError> {
    let (owner, name) = split(&cycle.github.name, &repository.name)?;
    for branch in cycle.branches_of(repository) {
        let mut path = vec!["repos", owner, name, "git", "matching-refs", "heads"];
        path.extend(branch.split('/'));
        let answer = cycle.watcher.get(&path, &[]).await?;
        let observed_at = cycle.clock(&answer)?;
        let wanted = format!("refs/heads/{branch}");
        let found: Vec<Reference> = answer.json()?;
        let head = found.into_iter().find(|reference| reference.name == wanted);
        cycle.round.branch_is(repository, branch, head.map(|reference| reference.object.sha), observed_at);
    }
    Ok(())
}

async fn reviews(
    cycle: &mut Cycle<'_>,
    repository: &Repository,
    pull: u64,
    horizon: Time,
) -> Result<(), ForgeError> {
    let number = pull.to_string();
    let path = ["pulls", number.as_str(), "reviews"];
    pages(cycle, repository, &path, &[("per_page", "100")], |cycle, answer| {
        for item in answer.items()? {
            match answer.item::<Review>(item) {
                Ok(review) => {
                    let said = review.into_comment(&repository.id, pull);
                    cycle.say(said.filter(|review| review.updated_at >= horizon));
                }
                Err(error) => cycle.fail(repository, error),
            }
        }
        Ok(true)
    })
    .await
}

async fn comments(cycle: &mut Cycle<'_>, repository: &Repository, horizon: Time) -> Result<(), ForgeError> {
    let since = horizon.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    let query = [("since", since.as_str()), ("sort", "updated"), ("direction", "asc"), ("per_page", "100")];
    pages(cycle, repository, &["issues", "comments"], &query, |cycle, answer| {
        for item in answer.items()? {
            match answer.item::<Comment>(item) {
                Ok(comment) => {
                    let said = comment.into_comment(&repository.id);
                    // The list has comments on issues as well; their pages tell them apart.
                    cycle.say(said.filter(|comment| comment.page_url.contains("/pull/")));
                }
                Err(error) => cycle.fail(repository, error),
            }
        }
        Ok(true)
    })
    .await
}
