//! What people do to a forge: accounts' tokens, repositories, pushes, pull requests, comments, all over HTTP as people do.
//!
//! Nothing here knows which forge it is, so that the same words set up the real Gitea, the embedded forge, and one in the
//! world.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use super::eventually;

/// A forge as its users reach it. It keeps no connection between requests, so that several tests may share it.
pub struct Api {
    /// The web address, without a slash at the end.
    pub url: String,
    /// Where its API begins.
    pub base: String,
    /// Whoever may see everything and, where [`Api::user`] is used, may make accounts.
    pub admin: Account,
    client: reqwest::Client,
    marks: AtomicUsize,
}

/// An account of the forge with a token that may do everything the account may.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: u64,
    pub login: String,
    pub password: String,
    pub token: String,
}

/// One commit to push: what it changes and where it goes.
pub struct Push<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// The branch that it goes to; made if it is not there.
    pub branch: &'a str,
    /// The commit to stand on; without it the tip of the branch, or of `main` where the branch is new.
    pub onto: Option<&'a str>,
    /// Path → new content, or `None` to delete the file.
    pub files: &'a [(&'a str, Option<&'a str>)],
    /// Whether the branch may lose commits.
    pub force: bool,
}

impl Api {
    /// The API of Gitea's kind at this address.
    pub fn new(url: String, admin: Account) -> Self {
        let base = format!("{url}/api/v1");
        Self::with_base(url, base, admin)
    }

    /// An API that begins somewhere else.
    pub fn with_base(url: String, base: String, admin: Account) -> Self {
        // The crypto of the client; another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .user_agent("docent-tests")
            .build()
            .expect("an HTTP client");
        Self { url, base, admin, client, marks: AtomicUsize::new(0) }
    }

    /// A number that nothing else of this forge has from here.
    pub fn mark(&self) -> usize {
        self.marks.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it answers at all.
    pub async fn answers(&self) -> bool {
        let asked = self.client.get(format!("{}/version", self.base)).send().await;
        asked.is_ok_and(|answer| answer.status().is_success())
    }

    /// Asks for an address as nobody.
    pub async fn ask(&self, path: &str) {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
    }

    // ---- Accounts ----

    /// Makes an ordinary account.
    pub async fn user(&self, login: &str) -> Account {
        let password = "a-password-for-tests";
        let about = json!({ "username": login, "email": format!("{login}@example.org"), "password": password,
            "must_change_password": false });
        let made = self.call(&self.admin, Method::POST, "/admin/users", Some(about)).await;
        let id = made["id"].as_u64().unwrap();
        let mut account =
            Account { id, login: login.into(), password: password.into(), token: String::new() };
        account.token = self.token(&account, &["all"]).await;
        account
    }

    /// Makes a token with these scopes (`read:repository`, …).
    pub async fn token(&self, account: &Account, scopes: &[&str]) -> String {
        let name = format!("narrow-{}", self.mark());
        let answer = self
            .client
            .post(format!("{}/users/{}/tokens", self.base, account.login))
            .basic_auth(&account.login, Some(&account.password))
            .json(&json!({ "name": name, "scopes": scopes }))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        let made: Value = answer.json().await.unwrap();
        made["sha1"].as_str().unwrap_or_else(|| panic!("no token: {status} {made}")).to_owned()
    }

    /// Makes an organisation that `owner` owns.
    pub async fn organisation(&self, owner: &Account, name: &str) -> Value {
        self.call(owner, Method::POST, "/orgs", Some(json!({ "username": name }))).await
    }

    /// Gives `login` a permission (`read`, `write`, `admin`) on a repository.
    pub async fn collaborator(&self, owner: &Account, repository: &str, login: &str, permission: &str) {
        let path = format!("/repos/{repository}/collaborators/{login}");
        self.call(owner, Method::PUT, &path, Some(json!({ "permission": permission }))).await;
    }

    // ---- Repositories ----

    /// Makes a public repository with one commit on `main`. `owner` is an account's login or one of its organisations.
    pub async fn repository(&self, by: &Account, owner: &str, name: &str) -> Value {
        let path = if owner == by.login { "/user/repos".to_owned() } else { format!("/orgs/{owner}/repos") };
        let about = json!({ "name": name, "auto_init": true, "default_branch": "main" });
        self.call(by, Method::POST, &path, Some(about)).await
    }

    /// Renames a repository within its owner; the old name then redirects.
    pub async fn rename(&self, by: &Account, repository: &str, name: &str) -> Value {
        self.call(by, Method::PATCH, &format!("/repos/{repository}"), Some(json!({ "name": name }))).await
    }

    /// Makes it private, or public again.
    pub async fn make_private(&self, by: &Account, repository: &str, private: bool) -> Value {
        let path = format!("/repos/{repository}");
        self.call(by, Method::PATCH, &path, Some(json!({ "private": private }))).await
    }

    pub async fn delete_repository(&self, by: &Account, repository: &str) {
        self.call(by, Method::DELETE, &format!("/repos/{repository}"), None).await;
    }

    /// Forks a repository to `by` and waits until the fork can be pushed to.
    pub async fn fork(&self, by: &Account, repository: &str) -> Value {
        let fork = self.call(by, Method::POST, &format!("/repos/{repository}/forks"), Some(json!({}))).await;
        let name = fork["full_name"].as_str().unwrap().to_owned();
        eventually("fork", || async { self.tip(&name, "main").await }).await;
        fork
    }

    /// The commit at the tip of a branch, if there is such a branch.
    pub async fn tip(&self, repository: &str, branch: &str) -> Option<String> {
        let path = format!("/repos/{repository}/branches/{branch}");
        let (status, answer) = self.try_call(&self.admin, Method::GET, &path, None).await;
        if status != 200 {
            return None;
        }
        // GitHub calls it sha.
        answer["commit"]["id"].as_str().or(answer["commit"]["sha"].as_str()).map(str::to_owned)
    }

    pub async fn delete_branch(&self, by: &Account, repository: &str, branch: &str) {
        self.call(by, Method::DELETE, &format!("/repos/{repository}/branches/{branch}"), None).await;
    }

    /// Commits and pushes with the `git` program, over HTTP as people do. Answers the new commit's SHA.
    pub async fn push(&self, by: &Account, push: Push<'_>) -> String {
        let onto = match push.onto {
            Some(sha) => sha.to_owned(),
            None => match self.tip(push.repository, push.branch).await {
                Some(sha) => sha,
                None => self.tip(push.repository, "main").await.expect("a branch to stand on"),
            },
        };
        let folder = tempfile::tempdir().unwrap();
        let remote = format!("{}/{}.git", self.url, push.repository);
        let git = |arguments: &[&str]| git(folder.path(), &self.url, by, arguments);
        git(&["init", "--quiet"]);
        git(&["fetch", "--quiet", "--depth=1", &remote, &onto]);
        git(&["checkout", "--quiet", "--detach", &onto]);
        for (path, content) in push.files {
            let file = folder.path().join(path);
            match content {
                Some(content) => {
                    fs::create_dir_all(file.parent().unwrap()).unwrap();
                    fs::write(file, content).unwrap();
                }
                None => fs::remove_file(file).unwrap(),
            }
        }
        git(&["add", "--all"]);
        // Two pushes of the same change are two commits even within one second.
        let message = format!("Change {}", self.mark());
        git(&["commit", "--quiet", "--allow-empty", "--message", &message]);
        let place = if push.branch.starts_with("refs/") { "" } else { "refs/heads/" };
        let to = format!("{}HEAD:{place}{}", if push.force { "+" } else { "" }, push.branch);
        git(&["push", "--quiet", &remote, &to]);
        git(&["rev-parse", "HEAD"])
    }

    /// Pushes files to a branch: the common case of [`Gitea::push`].
    pub async fn push_files(
        &self,
        by: &Account,
        repository: &str,
        branch: &str,
        files: &[(&str, &str)],
    ) -> String {
        let files: Vec<_> = files.iter().map(|(path, content)| (*path, Some(*content))).collect();
        self.push(by, Push { repository, branch, onto: None, files: &files, force: false }).await
    }

    // ---- Pull requests and comments ----

    /// Opens a pull request onto `main`. `head` is a branch, or `login:branch` for a fork's.
    pub async fn pull(&self, by: &Account, repository: &str, head: &str, title: &str) -> Value {
        let about = json!({ "base": "main", "head": head, "title": title });
        self.call(by, Method::POST, &format!("/repos/{repository}/pulls"), Some(about)).await
    }

    /// The pull request as it is now.
    pub async fn pull_now(&self, repository: &str, number: u64) -> Value {
        self.call(&self.admin, Method::GET, &format!("/repos/{repository}/pulls/{number}"), None).await
    }

    /// Waits until the forge itself shows this head, which is a second after the push or so.
    pub async fn wait_for_head(&self, repository: &str, number: u64, sha: &str) {
        eventually("such head", || async {
            (self.pull_now(repository, number).await["head"]["sha"] == sha).then_some(())
        })
        .await;
    }

    /// Closes a pull request, or opens it again.
    pub async fn set_state(&self, by: &Account, repository: &str, number: u64, state: &str) -> Value {
        let path = format!("/repos/{repository}/pulls/{number}");
        self.call(by, Method::PATCH, &path, Some(json!({ "state": state }))).await
    }

    pub async fn comment(&self, by: &Account, repository: &str, number: u64, body: &str) -> Value {
        let path = format!("/repos/{repository}/issues/{number}/comments");
        self.call(by, Method::POST, &path, Some(json!({ "body": body }))).await
    }

    pub async fn edit_comment(&self, by: &Account, repository: &str, id: u64, body: &str) -> Value {
        let path = format!("/repos/{repository}/issues/comments/{id}");
        self.call(by, Method::PATCH, &path, Some(json!({ "body": body }))).await
    }

    pub async fn delete_comment(&self, by: &Account, repository: &str, id: u64) {
        self.call(by, Method::DELETE, &format!("/repos/{repository}/issues/comments/{id}"), None).await;
    }

    /// All comments of a pull request, oldest first.
    pub async fn comments(&self, repository: &str, number: u64) -> Vec<Value> {
        let path = format!("/repos/{repository}/issues/{number}/comments");
        self.call(&self.admin, Method::GET, &path, None).await.as_array().unwrap().clone()
    }

    /// Submits a review: `COMMENT`, `APPROVED` or `REQUEST_CHANGES`.
    pub async fn review(
        &self,
        by: &Account,
        repository: &str,
        number: u64,
        event: &str,
        body: &str,
    ) -> Value {
        let path = format!("/repos/{repository}/pulls/{number}/reviews");
        self.call(by, Method::POST, &path, Some(json!({ "event": event, "body": body }))).await
    }

    /// The statuses of a commit, newest first.
    pub async fn statuses(&self, repository: &str, sha: &str) -> Vec<Value> {
        let path = format!("/repos/{repository}/statuses/{sha}");
        self.call(&self.admin, Method::GET, &path, None).await.as_array().unwrap().clone()
    }

    // ---- Anything else ----

    /// Calls the API as an account and answers the body; anything but success fails the test. `path` begins after `/api/v1`.
    pub async fn call(&self, by: &Account, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.try_call(by, method.clone(), path, body).await;
        assert!((200..300).contains(&status), "{method} {path} as {}: {status} {answer}", by.login);
        answer
    }

    /// Calls the API as an account and answers status and body, whatever they are.
    pub async fn try_call(
        &self,
        by: &Account,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("authorization", format!("token {}", by.token));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }
}

/// Runs git with the account's token in the environment, nothing from this machine's own configuration.
fn git(folder: &Path, url: &str, by: &Account, arguments: &[&str]) -> String {
    use base64::Engine;
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", by.login, by.token));
    let ran = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("http.{url}/.extraHeader"))
        .env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {basic}"))
        .envs(["AUTHOR", "COMMITTER"].map(|role| (format!("GIT_{role}_NAME"), by.login.clone())))
        .envs(
            ["AUTHOR", "COMMITTER"]
                .map(|role| (format!("GIT_{role}_EMAIL"), format!("{}@example.org", by.login))),
        )
        .output()
        .unwrap();
    assert!(ran.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}
