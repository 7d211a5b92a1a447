//! Where a case plays: one repository of its own, its owner, and what happens in it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::eye::Eye;
use crate::site::Site;
use crate::support::api::{Account, Push};
use crate::support::eventually;

/// What docent is given to watch with.
pub const READ: [&str; 2] = ["read:repository", "read:issue"];

/// A repository with a commit on `main`.
pub struct Scene<'a> {
    pub site: &'a Site,
    pub owner: Account,
    /// `owner/name`.
    pub repository: String,
}

impl<'a> Scene<'a> {
    pub async fn set(site: &'a Site) -> Self {
        let owner = site.person("mira").await;
        let name = format!("docent-contract-{}-{}", std::process::id(), site.mark());
        let about = json!({ "name": name, "auto_init": true, "default_branch": "main" });
        site.call(&owner, Method::POST, "/user/repos", Some(about)).await;
        let scene = Self { site, repository: format!("{}/{name}", owner.login), owner };
        eventually("branch main", || async { site.tip(&scene.repository, "main").await }).await;
        scene
    }

    /// Opens a pull request from a new branch with one commit. Gives its number and its head.
    pub async fn open(&self, branch: &str) -> (u64, String) {
        let sha = self.push(branch, "one").await;
        let pull = self.site.pull(&self.owner, &self.repository, branch, &format!("About {branch}")).await;
        let number = pull["number"].as_u64().unwrap();
        // The record of the pull request begins with the commits that it was opened with, a moment later.
        self.recorded(number, &sha).await;
        (number, sha)
    }

    /// One more commit on a branch. Gives it.
    pub async fn push(&self, branch: &str, content: &str) -> String {
        let files = [("notes.txt", content)];
        self.site.push_files(&self.owner, &self.repository, branch, &files).await
    }

    /// Replaces what is on a branch by one commit on top of `onto`. Gives it.
    pub async fn force_push(&self, branch: &str, onto: &str) -> String {
        let files = [("forced.txt", Some("forced"))];
        let push =
            Push { repository: &self.repository, branch, onto: Some(onto), files: &files, force: true };
        self.site.push(&self.owner, push).await
    }

    /// Writes a comment as the owner. Gives its number.
    pub async fn say(&self, pull: u64, body: &str) -> u64 {
        let made = self.site.comment(&self.owner, &self.repository, pull, body).await;
        made["id"].as_u64().unwrap()
    }

    pub async fn edit(&self, comment: u64, body: &str) {
        self.site.edit_comment(&self.owner, &self.repository, comment, body).await;
    }

    pub async fn delete_comment(&self, comment: u64) {
        self.site.delete_comment(&self.owner, &self.repository, comment).await;
    }

    /// Whoever watches: an account without any right here, with a token that may only read.
    pub async fn watch_token(&self) -> String {
        let watcher = self.site.person("watcher").await;
        self.site.narrow(&watcher, &READ).await
    }

    /// docent's eye on the repository, after its first poll.
    pub async fn watch(&self) -> Eye {
        let token = self.watch_token().await;
        Eye::open(self.site.watcher(&token), &self.repository).await
    }

    /// The whole record of a pull request, as the forge has it.
    pub async fn timeline(&self, pull: u64) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        for page in 1.. {
            let path = format!("/repos/{}/issues/{pull}/timeline?page={page}&limit=50", self.repository);
            let (_, part) = self.site.try_call(&self.owner, Method::GET, &path, None).await;
            let part = part.as_array().cloned().unwrap_or_default();
            let known = all.len();
            all.extend(part.into_iter().filter(|entry| !all.contains(entry)).collect::<Vec<_>>());
            if all.len() == known {
                break;
            }
        }
        all
    }

    /// The number of the newest push on the record, if it ends in this commit.
    pub async fn push_number(&self, pull: u64, sha: &str) -> Option<u64> {
        let timeline = self.timeline(pull).await;
        let newest = timeline
            .iter()
            .filter(|entry| entry["type"] == "pull_push")
            .max_by_key(|entry| entry["id"].as_u64())?;
        let body: Value = serde_json::from_str(newest["body"].as_str()?).ok()?;
        let ends_so = body["commit_ids"].as_array()?.last()? == sha;
        newest["id"].as_u64().filter(|_| ends_so)
    }

    /// Waits until the forge itself has a push on record, which is up to two seconds after it. GitHub keeps no such record
    /// here; there the head has to do.
    pub async fn recorded(&self, pull: u64, sha: &str) {
        self.site.wait_for_head(&self.repository, pull, sha).await;
        if self.site.kind != docent::forge::any::ForgeKind::GitHub {
            eventually("record of the push", || self.push_number(pull, sha)).await;
        }
    }
}

impl Drop for Scene<'_> {
    /// On a forge of the world nothing may stay, also after a failed case.
    fn drop(&mut self) {
        if !self.site.is_live() {
            return;
        }
        let (site, owner, repository) = (self.site, &self.owner, &self.repository);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(site.try_call(owner, Method::DELETE, &format!("/repos/{repository}"), None));
            });
        });
    }
}

/// Until the forge's clock, which counts whole seconds, shows another second.
pub async fn another_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
}
