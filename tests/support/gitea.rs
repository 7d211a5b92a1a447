//! A real Gitea for one test program: started on a port of its own, used through its API and through `git push`, gone
//! with everything it wrote when it is dropped or when the test program dies, however that dies.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::Method;

use super::api::{Account, Api};
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

/// A running Gitea: an [`Api`] with a process behind it.
pub struct Gitea {
    api: Api,
    work: PathBuf,
    /// Ends the forge and removes its files as soon as its standard input is closed, by whatever.
    keeper: Child,
}

impl std::ops::Deref for Gitea {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
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
        let (work, user) = stage(&program);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        fs::write(work.join("data/app.ini"), configuration(&work, &user, port)).unwrap();
        hand_over(&work.join("data"), &user);
        let keeper = keep(&work, &user);

        let password = "a-password-for-tests".to_owned();
        let api = Api::new(url, Account { id: 1, login: "keeper".into(), password, token: String::new() });
        let mut gitea = Gitea { api, work, keeper };
        eventually("answer of Gitea", || {
            assert!(!gitea.work.join("ended").exists(), "Gitea ended: {}", gitea.console());
            async { gitea.answers().await.then_some(()) }
        })
        .await;

        let made = as_user(&gitea.work, &user)
            .args(["admin", "user", "create", "--admin", "--username", &gitea.admin.login])
            .args(["--password", &gitea.admin.password, "--email", "keeper@example.org"])
            .arg("--must-change-password=false")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        gitea.api.admin.token = gitea.token(&gitea.admin, &["all"]).await;
        gitea.api.admin.id =
            gitea.call(&gitea.admin, Method::GET, "/user", None).await["id"].as_u64().unwrap();
        Some(gitea)
    }

    /// Every request so far that the forge has answered, as it logged them itself.
    pub async fn accesses(&self) -> Vec<Access> {
        // The log is written a moment later. What stands before a line of our own is complete.
        let mark = format!("/api/v1/version?mark={}", self.mark());
        self.ask(&mark).await;
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

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
