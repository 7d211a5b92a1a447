//! A real Gitea for one test program: started on a port of its own, used through its API and through `git push`, gone
//! with everything it wrote when it is dropped or when the test program dies, however that dies.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use super::{eventually, not_run};

/// Answers [`Gitea::start`] with a running forge, or ends the calling test as «not run».
#[macro_export]
macro_rules! gitea_or_return {
    () => {
        match support::gitea::Gitea::start().await {
            Some(gitea) => gitea,
            None => return,
        }
    };
}

/// A running Gitea. Several tests of one program may share it: it keeps no connection between requests.
pub struct Gitea {
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub url: String,
    /// The site's administrator, who makes all other accounts.
    pub admin: Account,
    client: reqwest::Client,
    work: PathBuf,
    marks: AtomicUsize,
    /// Ends the forge and removes its files as soon as its standard input is closed, by whatever.
    keeper: Child,
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

/// One line of the forge's own access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Login, or `-` where nobody was signed in.
    pub account: String,
    pub method: String,
    /// Path with query.
    pub path: String,
    pub status: u16,
}

impl Gitea {
    /// Starts one and waits until it answers; `None`, said as «not run», where there is no program.
    pub async fn start() -> Option<Gitea> {
        let program = std::env::var_os("DOCENT_GITEA").map_or_else(
            || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("gitea").join("gitea"),
            PathBuf::from,
        );
        if !program.is_file() {
            not_run("gitea", "no Gitea binary (scripts/gitea builds it)");
            return None;
        }
        // The crypto of the client; another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("an HTTP client");

        let (work, user) = stage(&program);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        fs::write(work.join("data/app.ini"), configuration(&work, &user, port)).unwrap();
        hand_over(&work.join("data"), &user);
        let keeper = keep(&work, &user);

        eventually("answer of Gitea", || {
            assert!(!work.join("ended").exists(), "Gitea ended: {}", read(&work.join("console.log")));
            let asked = client.get(format!("{url}/api/v1/version")).send();
            async { asked.await.ok().filter(|answer| answer.status().is_success()) }
        })
        .await;

        let password = "a-password-for-tests";
        let made = as_user(&work, &user)
            .args(["admin", "user", "create", "--admin", "--username", "keeper"])
            .args(["--password", password, "--email", "keeper@example.org", "--must-change-password=false"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let admin =
            Account { id: 1, login: "keeper".into(), password: password.into(), token: String::new() };
        let mut gitea = Gitea { url, admin, client, work, marks: AtomicUsize::new(0), keeper };
        gitea.admin.token = gitea.token(&gitea.admin, &["all"]).await;
        gitea.admin.id = gitea.call(&gitea.admin, Method::GET, "/user", None).await["id"].as_u64().unwrap();
        Some(gitea)
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
        let name = format!("token-{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let answer = self
            .client
            .post(format!("{}/api/v1/users/{}/tokens", self.url, account.login))
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
        answer["commit"]["id"].as_str().map(str::to_owned)
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
        let message = format!("Change {}", self.marks.fetch_add(1, Ordering::Relaxed));
        git(&["commit", "--quiet", "--allow-empty", "--message", &message]);
        let to = format!("{}HEAD:refs/heads/{}", if push.force { "+" } else { "" }, push.branch);
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
            .request(method, format!("{}/api/v1{path}", self.url))
            .header("authorization", format!("token {}", by.token));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Every request so far that the forge has answered, as it logged them itself.
    pub async fn accesses(&self) -> Vec<Access> {
        // The log is written a moment later. What stands before a line of our own is complete.
        let mark = format!("/api/v1/version?mark={}", self.marks.fetch_add(1, Ordering::Relaxed));
        self.client.get(format!("{}{mark}", self.url)).send().await.unwrap();
        let log = self.work.join("data/log/access.log");
        let text = eventually("mark in the access log", || async {
            let text = fs::read_to_string(&log).unwrap_or_default();
            text.contains(&format!("{mark}\n")).then_some(text)
        })
        .await;
        let of_line = |line: &str| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "ACCESS").skip(1);
            let mut word = || words.next().map(str::to_owned);
            let (account, method, status, path) = (word()?, word()?, word()?, word()?);
            Some(Access { account, method, path, status: status.parse().ok()? })
        };
        text.lines().filter_map(of_line).filter(|access| !access.path.contains("?mark=")).collect()
    }

    /// Where it keeps everything; gone when it is dropped.
    pub fn folder(&self) -> &Path {
        &self.work
    }

    /// What the forge has said for its administrator: for the message of a failed test.
    pub fn console(&self) -> String {
        read(&self.work.join("console.log"))
    }
}

impl Drop for Gitea {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

// ---- How it is kept ----

/// The account under which the forge runs: Gitea refuses root.
struct RunAs {
    name: String,
    ids: Option<(u32, u32)>,
}

/// Puts the program and its templates where an ordinary account can read them, and makes its directory of data.
fn stage(program: &Path) -> (PathBuf, RunAs) {
    let work = tempfile::Builder::new().prefix("docent-gitea-").tempdir_in("/var/tmp").unwrap().keep();
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(work.join("data")).unwrap();
    let beside = program.parent().unwrap();
    let source = if beside.join("src").is_dir() { beside.join("src") } else { beside.to_owned() };
    for (from, to) in [
        (program.to_owned(), "gitea"),
        (source.join("templates"), "templates"),
        (source.join("options"), "options"),
        (source.join("public"), "public"),
    ] {
        // Linked where that is possible: a hundred megabytes for every test program would be felt.
        let copy = |how: &str| Command::new("cp").arg(how).arg(&from).arg(work.join(to)).output().unwrap();
        if !copy("-rlL").status.success() {
            let _ = fs::remove_dir_all(work.join(to));
            let copied = copy("-rL");
            assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        }
    }
    (work, ordinary_account())
}

/// Ourselves, or an account made for this where we are root.
fn ordinary_account() -> RunAs {
    let of_name = |name: &str| {
        let line = read(Path::new("/etc/passwd"))
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))?
            .to_owned();
        let mut fields = line.split(':').skip(2).map(|field| field.parse::<u32>().ok());
        Some(RunAs { name: name.into(), ids: Some((fields.next()??, fields.next()??)) })
    };
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return RunAs { name: std::env::var("USER").unwrap_or_else(|_| "forge".into()), ids: None };
    }
    let name = "docent-forge";
    of_name(name)
        .or_else(|| {
            let _ =
                Command::new("useradd").args(["--system", "--user-group", "--no-create-home", name]).output();
            of_name(name)
        })
        .or_else(|| of_name("nobody"))
        .expect("an ordinary account")
}

/// Gives everything under `folder` to the account.
fn hand_over(folder: &Path, user: &RunAs) {
    if let Some((uid, gid)) = user.ids {
        let given = Command::new("chown").arg("-R").arg(format!("{uid}:{gid}")).arg(folder).status().unwrap();
        assert!(given.success());
    }
}

/// The program, to be run as the account.
fn as_user(work: &Path, user: &RunAs) -> Command {
    let program = work.join("gitea");
    let mut command = match user.ids {
        Some((uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    command.env("HOME", work.join("data")).env("USER", &user.name).current_dir(work.join("data"));
    command.arg("--config").arg(work.join("data/app.ini"));
    command
}

/// Runs the forge under a shell that waits for its own standard input to close, which happens even when this process is
/// killed; then it ends the forge with all its children and removes what they wrote.
fn keep(work: &Path, user: &RunAs) -> Child {
    let forge = as_user(work, user);
    let script = r#"work=$1; shift; cd "$work"
        setsid sh -c '"$@" web >console.log 2>&1 </dev/null; : >ended' sh "$@" & forge=$!
        read -r _
        kill -KILL -$forge
        wait $forge
        cd / && rm -rf "$work""#;
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(work)
        .arg(forge.get_program())
        .args(forge.get_args())
        .envs(forge.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Everything that makes it answer sooner or say more about who asked what, and nothing that changes what it answers.
fn configuration(work: &Path, user: &RunAs, port: u16) -> String {
    let (work, name) = (work.display(), &user.name);
    format!(
        "RUN_MODE = prod
RUN_USER = {name}
WORK_PATH = {work}/data
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
DISABLE_SSH = true
OFFLINE_MODE = true
STATIC_ROOT_PATH = {work}
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {work}/data/gitea.db
SQLITE_JOURNAL_MODE = WAL
[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2$10$50
SECRET_KEY = only-for-tests-only-for-tests-32
INTERNAL_TOKEN = only-for-tests
[oauth2]
ENABLED = false
[queue]
TYPE = channel
[cache]
ADAPTER = memory
[session]
PROVIDER = memory
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[webhook]
ALLOWED_HOST_LIST = loopback
[log]
MODE = console
LEVEL = warn
logger.access.MODE = access
ACCESS_LOG_TEMPLATE = ACCESS {{{{.Identity}}}} {{{{.Ctx.Req.Method}}}} {{{{.ResponseWriter.Status}}}} {{{{.Ctx.Req.URL.RequestURI}}}}
[log.access]
MODE = file
LEVEL = info
FILE_NAME = access.log
"
    )
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

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
