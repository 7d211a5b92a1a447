//! Which branches and tags a repository has, asked without fetching anything.

use std::path::Path;

use tokio::time::Instant;

use super::program::{Environment, Scratch};
use super::{FetchLimits, FetchSource, Git, GitError};
use crate::core::id::Sha;
use crate::core::spec::refs::RemoteRef;

/// Bytes of an answer that are read. A hundred thousand refs have some 8 MB.
const MAX_ANSWER: usize = 16 << 20;

impl Git {
    /// All branches and tags of `source`. `folder` is where git may work meanwhile.
    ///
    /// # Errors
    /// See [`GitError`]; nothing is left behind.
    pub async fn refs(
        &self,
        source: &FetchSource,
        folder: &Path,
        limits: &FetchLimits,
    ) -> Result<Vec<RemoteRef>, GitError> {
        source.check()?;
        let scratch = Scratch::new(folder)?;
        let mut environment = Environment::new(&self.program, &scratch);
        environment.limit(limits);
        environment.allow(&source.url);
        if let Some(credential) = &source.credential {
            environment.authenticate(&source.url, credential);
        }
        let mut answer = Vec::new();
        let args = ["ls-remote", "--quiet", "--heads", "--tags", "--", source.url.as_str()];
        environment
            .run(scratch.path(), &args, Instant::now() + limits.timeout, None, |bytes| {
                answer.extend_from_slice(bytes);
                match answer.len() > MAX_ANSWER {
                    true => Err(GitError::TooLarge {
                        what: format!("the list of branches and tags of {}", source.url),
                    }),
                    false => Ok(()),
                }
            })
            .await?;
        Ok(parse(&String::from_utf8_lossy(&answer)))
    }
}

/// Lines `SHA<tab>NAME`; `NAME^{}` after an annotated tag is the commit behind it. What reads otherwise is left out.
fn parse(answer: &str) -> Vec<RemoteRef> {
    let mut refs: Vec<RemoteRef> = Vec::new();
    for line in answer.lines() {
        let Some((sha, name)) = line.split_once('\t') else { continue };
        let Ok(sha) = sha.parse::<Sha>() else { continue };
        match name.strip_suffix("^{}") {
            Some(tag) => {
                if let Some(tag) = refs.iter_mut().rev().find(|one| one.name == tag) {
                    tag.peeled = Some(sha);
                }
            }
            None => refs.push(RemoteRef { name: name.to_owned(), sha, peeled: None }),
        }
    }
    refs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotated_tags_have_their_commit_and_odd_lines_are_left_out() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let refs = parse(&format!(
            "{a}\trefs/heads/main\n{a}\trefs/tags/v1\n{b}\trefs/tags/v1^{{}}\nnonsense\n12\trefs/heads/x\n{b}\trefs/tags/v9^{{}}\n"
        ));
        let seen: Vec<(&str, &str, bool)> =
            refs.iter().map(|one| (one.name.as_str(), one.sha.as_str(), one.peeled.is_some())).collect();
        assert_eq!(seen, [("refs/heads/main", a.as_str(), false), ("refs/tags/v1", a.as_str(), true)]);
    }
}
