//! docent's eye on one repository: polls as the daemon does, and keeps what it saw.

use std::time::{Duration, Instant};

use docent::core::id::{CommentId, CommentKind};
use docent::core::pull::{Comment, Examination, PullRequest, Repository};
use docent::core::time;
use docent::forge::any::AnyForge;
use docent::forge::{Cursor, Forge, Observation, Poll, Question, Watch};

/// How long a forge may take to show what happened.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Eye {
    pub forge: AnyForge,
    pub repository: Repository,
    pub cursor: Cursor,
    /// Watched branches.
    pub branches: Vec<String>,
    seen: Vec<Observation>,
}

impl Eye {
    /// Looks the repository up and polls for the first time.
    pub async fn open(forge: AnyForge, repository: &str) -> Self {
        let repository = forge.repository(repository).await.unwrap();
        let mut eye =
            Self { forge, repository, cursor: Cursor::default(), branches: Vec::new(), seen: Vec::new() };
        eye.poll().await;
        eye
    }

    /// Polls once.
    pub async fn poll(&mut self) -> Poll {
        self.poll_with(&[]).await
    }

    /// Polls once and reads the repository whole.
    pub async fn reconcile(&mut self) -> Poll {
        let repository = self.repository.id.clone();
        self.poll_with(&[repository]).await
    }

    async fn poll_with(&mut self, reconcile: &[docent::core::id::RepositoryId]) -> Poll {
        let branches = [(self.repository.id.number, self.branches.clone())];
        let watch =
            Watch { repositories: std::slice::from_ref(&self.repository), reconcile, branches: &branches };
        let poll = self.forge.poll(watch, &self.cursor).await.unwrap();
        assert_eq!(poll.failures, [], "a healthy forge was read without failure");
        self.cursor = poll.cursor.clone();
        for observation in &poll.observations {
            if !self.seen.contains(observation) {
                self.seen.push(observation.clone());
            }
        }
        poll
    }

    /// As if this much time had passed without anything happening: the forge's clock as the cursor knows it is moved on.
    pub fn rest(&mut self, length: time::Duration) {
        for read in self.cursor.feeds.values_mut() {
            *read += length;
        }
        for repository in self.cursor.repositories.values_mut() {
            repository.read_to += length;
        }
    }

    /// Every comment as it was ever seen; one that was changed stands here twice.
    pub fn comments(&self) -> Vec<&Comment> {
        let comments = self.seen.iter().filter_map(|observation| match observation {
            Observation::Comment(comment) => Some(comment),
            Observation::Branch { .. } | Observation::Pull { .. } => None,
        });
        comments.collect()
    }

    fn pulls(&self) -> impl DoubleEndedIterator<Item = &PullRequest> {
        self.seen.iter().filter_map(|observation| match observation {
            Observation::Pull { pull, .. } => Some(pull),
            Observation::Branch { .. } | Observation::Comment(_) => None,
        })
    }

    /// Where a branch was last seen, if it was looked for.
    pub fn branch(&self, name: &str) -> Option<Option<String>> {
        let mut of_name = self.seen.iter().filter_map(|observation| match observation {
            Observation::Branch { branch, head, .. } if branch.name == name => Some(head),
            _ => None,
        });
        of_name.next_back().map(|head| head.as_ref().map(ToString::to_string))
    }

    /// Polls until a branch was last seen there.
    pub async fn until_branch(&mut self, name: &str, head: Option<&str>) {
        let end = Instant::now() + PATIENCE;
        while self.branch(name) != Some(head.map(str::to_owned)) {
            assert!(Instant::now() < end, "{name} is not at {head:?} but {:?}", self.branch(name));
            self.poll().await;
        }
    }

    /// A pull request as it was last seen.
    pub fn pull(&self, number: u64) -> Option<PullRequest> {
        self.pulls().rfind(|pull| pull.id.number == number).cloned()
    }

    /// Polls until a comment like this was seen.
    pub async fn until_comment(&mut self, what: &str, is_it: impl Fn(&Comment) -> bool) -> Comment {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(comment) = self.comments().into_iter().find(|comment| is_it(comment)) {
                return comment.clone();
            }
            assert!(Instant::now() < end, "no {what} was seen: {:#?}", self.comments());
            self.poll().await;
        }
    }

    /// Polls until a pull request was last seen like this.
    pub async fn until_pull(
        &mut self,
        what: &str,
        number: u64,
        is_it: impl Fn(&PullRequest) -> bool,
    ) -> PullRequest {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(pull) = self.pull(number).filter(|pull| is_it(pull)) {
                return pull;
            }
            assert!(Instant::now() < end, "no {what} was seen: {:#?}", self.pull(number));
            self.poll().await;
        }
    }

    /// Looks at a comment again, as before acting on it.
    pub async fn examine(&self, comment: u64, pull: u64) -> Examination {
        self.examine_kind(CommentKind::Comment, comment, pull, &Question::default()).await
    }

    pub async fn examine_kind(
        &self,
        kind: CommentKind,
        number: u64,
        pull: u64,
        question: &Question,
    ) -> Examination {
        let id = CommentId { repository: self.repository.id.clone(), kind, number };
        self.forge.examine(&self.repository, &id, pull, question).await.unwrap()
    }
}
