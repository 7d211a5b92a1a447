//! The hardened fetch, with real git on both ends and everything hostile that a repository can contain.

#[path = "support/git_repository.rs"]
mod git_repository;
#[path = "support/git_server.rs"]
mod git_server;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use docent::git::{
    BasicCredential, Checkout, FetchLimits, FetchSource, Git, GitError, GitVersion, SCRATCH_PREFIX,
};
use git_repository::{Repository, State};
use git_server::{GitServer, Manners};

const TOKEN: &str = "canary+token/0123456789abcdef";

struct Bench {
    root: tempfile::TempDir,
    state: State,
    server: GitServer,
    repository: Repository,
}

impl Bench {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = GitServer::start(root.path(), Some(("docent", TOKEN))).await;
        let repository = Repository::new(&root.path().join("r.git"));
        Self { state: State::new(), root, server, repository }
    }

    fn source(&self) -> FetchSource {
        let credential = BasicCredential { username: "docent".into(), token: TOKEN.into() };
        FetchSource { url: self.server.url("r.git"), credential: Some(credential), fallback_ref: None }
    }

    fn place(&self, sha: &str) -> PathBuf {
        self.state.path().join(sha)
    }

    async fn fetch(&self, sha: &str) -> Result<Checkout, GitError> {
        self.fetch_within(sha, &limits()).await
    }

    async fn fetch_within(&self, sha: &str, limits: &FetchLimits) -> Result<Checkout, GitError> {
        self.fetch_from(&self.source(), sha, limits).await
    }

    async fn fetch_from(
        &self,
        source: &FetchSource,
        sha: &str,
        limits: &FetchLimits,
    ) -> Result<Checkout, GitError> {
        let result = Git::default().fetch(source, sha, &self.place(sha), limits).await;
        if let Err(error) = &result {
            assert!(!self.place(sha).exists(), "a checkout in spite of {error}");
            let text = format!("{error} {error:?}");
            assert!(!text.contains(TOKEN) && !text.contains(&encoded()), "{text}");
        }
        self.assert_nothing_left();
        result
    }

    /// No scratch directory, no process, and the token in no file.
    fn assert_nothing_left(&self) {
        for entry in std::fs::read_dir(self.state.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with(SCRATCH_PREFIX), "{name} was left behind");
        }
        assert_eq!(processes_with(self.state.path().to_str().unwrap()), Vec::<String>::new());
        self.state.assert_without(&[TOKEN, &encoded()]);
    }

    fn read(&self, sha: &str, path: &str) -> String {
        std::fs::read_to_string(self.place(sha).join(path)).unwrap()
    }
}

fn limits() -> FetchLimits {
    FetchLimits { timeout: Duration::from_secs(120), max_bytes: 64 << 20, max_files: 20_000 }
}

fn encoded() -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("docent:{TOKEN}"))
}

/// Command lines of living processes that contain `needle`.
fn processes_with(needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        if let Ok(line) = std::fs::read(entry.path().join("cmdline")) {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(needle) {
                found.push(line);
            }
        }
    }
    found
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_commit_arrives_as_it_was_committed() {
    let bench = Bench::new().await;
    bench.repository.commit("refs/heads/main", &[("100644", "old.txt", b"before")]);
    let sha = bench.repository.commit(
        "refs/heads/main",
        &[
            ("100644", "a.ipynb", b"{}\n"),
            ("100755", "bin/run", b"#!/bin/sh\n"),
            ("100644", "crlf.txt", b"a\r\nb\n"),
        ],
    );
    let checkout = bench.fetch(&sha).await.unwrap();
    assert_eq!((checkout.files, checkout.bytes, checkout.existed), (3, 18, false));
    assert_eq!(bench.read(&sha, "a.ipynb"), "{}\n");
    assert_eq!(bench.read(&sha, "crlf.txt"), "a\r\nb\n");
    let mode = std::fs::metadata(bench.place(&sha).join("bin/run")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    assert!(!bench.place(&sha).join(".git").exists());
    assert!(!bench.place(&sha).join("old.txt").exists());

    let requests = bench.server.requests();
    assert!(requests.iter().all(|r| r.target.contains("git-upload-pack")), "{requests:?}");
    assert_eq!(requests[0].method, "GET");
    assert!(requests.iter().all(|r| !r.target.contains("canary")), "{requests:?}");
    let header = format!("Basic {}", encoded());
    assert!(
        requests.iter().all(|r| r.authorization.as_deref() == Some(&header)),
        "not on the first try: {requests:?}"
    );

    // A second time it is there already: nothing is asked of the server.
    let again = bench.fetch(&sha).await.unwrap();
    assert_eq!((again.files, again.bytes, again.existed), (3, 18, true));
    assert_eq!(bench.server.requests().len(), requests.len());
}

#[tokio::test]
async fn a_whole_history_is_not_fetched() {
    let bench = Bench::new().await;
    bench.repository.commit("refs/heads/main", &[("100644", "big", &noise(3 << 20))]);
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "small", b"x")]);
    bench.fetch_within(&sha, &FetchLimits { max_bytes: 1 << 20, ..limits() }).await.unwrap();
}

#[tokio::test]
async fn several_fetches_of_one_commit_at_once_end_in_one_checkout() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let (git, source, into, limits) = (Git::default(), bench.source(), bench.place(&sha), limits());
    let (one, two, three) = tokio::join!(
        git.fetch(&source, &sha, &into, &limits),
        git.fetch(&source, &sha, &into, &limits),
        git.fetch(&source, &sha, &into, &limits),
    );
    assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{one:?} {two:?} {three:?}");
    assert_eq!(bench.read(&sha, "a"), "x");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn sha256_repositories_are_fetched_too() {
    let root = tempfile::tempdir().unwrap();
    let server = GitServer::start(root.path(), None).await;
    let repository = Repository::with_format(&root.path().join("r.git"), "sha256");
    let sha = repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    assert_eq!(sha.len(), 64);
    let state = State::new();
    let source = FetchSource { url: server.url("r.git"), credential: None, fallback_ref: None };
    Git::default().fetch(&source, &sha, &state.path().join(&sha), &limits()).await.unwrap();
}

#[tokio::test]
async fn the_token_is_in_no_argument_and_no_file_while_git_runs() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    bench.server.behave(Manners::Hang);
    let (source, into) = (bench.source(), bench.place(&sha));
    let fetching = tokio::spawn(async move { Git::default().fetch(&source, &sha, &into, &limits()).await });
    until("the request", || (!bench.server.requests().is_empty()).then_some(())).await;

    let address = bench.server.address.to_string();
    let lines = processes_with(&address);
    assert!(lines.iter().any(|line| line.contains("remote-http")), "{lines:?}");
    for secret in [TOKEN, &encoded(), "canary", "Authorization"] {
        assert_eq!(processes_with(secret), Vec::<String>::new());
    }
    bench.state.assert_without(&[TOKEN, &encoded()]);
    assert!(std::fs::read_dir(bench.state.path()).unwrap().count() > 0, "nothing was there to look at");

    // Dropping the future ends all of it.
    fetching.abort();
    let _ = fetching.await;
    until("the end of git", || processes_with(&address).is_empty().then_some(())).await;
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    bench.server.behave(Manners::Hang);
    let error = bench
        .fetch_within(&sha, &FetchLimits { timeout: Duration::from_secs(2), ..limits() })
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }) && error.is_retryable(), "{error:?}");
    assert_eq!(processes_with(&bench.server.address.to_string()), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_takes_the_credential_nowhere() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let other = GitServer::start(bench.root.path(), None).await;
    for to in
        [format!("http://{}", other.address), format!("http://localhost:{}", bench.server.address.port())]
    {
        bench.server.behave(Manners::RedirectTo(to));
        let error = bench.fetch(&sha).await.unwrap_err();
        assert!(matches!(error, GitError::Redirected { .. }), "{error:?}");
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn answers_are_told_apart_and_never_repeat_the_token() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    for (manners, expected) in [
        (Manners::Status(401), "Refused"),
        (Manners::Status(403), "Refused"),
        (Manners::Status(404), "NotFound"),
        (Manners::Status(429), "Unreachable"),
        (Manners::Status(500), "Unreachable"),
        (Manners::Status(503), "Unreachable"),
        (Manners::NotGit, "Unreachable"),
        (Manners::Cut, "Unreachable"),
        (Manners::Echo, "Unreachable"),
    ] {
        bench.server.behave(manners.clone());
        let error = bench.fetch(&sha).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{manners:?}: {error:?}");
        if matches!(manners, Manners::Echo) {
            assert!(error.to_string().contains("you sent Basic *** that is ***"), "{error}");
        }
    }
    bench.server.behave(Manners::Good);
    let mut source = bench.source();
    source.credential = None;
    let error = bench.fetch_from(&source, &sha, &limits()).await.unwrap_err();
    assert!(matches!(error, GitError::Refused { .. }), "{error:?}");
    source = bench.source();
    source.url = bench.server.url("none.git");
    let error = bench.fetch_from(&source, &sha, &limits()).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error:?}");
    source.url = "http://127.0.0.1:1/r.git".parse().unwrap();
    let error = bench.fetch_from(&source, &sha, &limits()).await.unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }) && error.is_retryable(), "{error:?}");
}

#[tokio::test]
async fn only_plain_http_addresses_are_fetched_from() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let file = format!("file://{}", bench.root.path().join("r.git").display());
    for url in
        [&file, "ssh://git@127.0.0.1/r.git", "git://127.0.0.1/r.git", "ext::sh", "http://u:p@127.0.0.1/r.git"]
    {
        let source = FetchSource { url: url.parse().unwrap(), ..bench.source() };
        let error = bench.fetch_from(&source, &sha, &limits()).await.unwrap_err();
        assert!(matches!(error, GitError::Other { .. }), "{url}: {error:?}");
    }
    for sha in
        ["", "main", "--upload-pack=x", &sha[..39], &sha.to_uppercase(), &format!("{sha}:refs/heads/x")]
    {
        let error =
            Git::default().fetch(&bench.source(), sha, &bench.place("x"), &limits()).await.unwrap_err();
        assert!(matches!(error, GitError::Other { .. }), "{sha}: {error:?}");
    }
    assert_eq!(bench.server.requests().len(), 0);
}

#[tokio::test]
async fn a_commit_that_is_gone_is_found_by_its_ref_or_not_at_all() {
    let bench = Bench::new().await;
    let gone = bench.repository.commit("refs/heads/main", &[("100644", "a", b"gone")]);
    bench.repository.git(&["update-ref", "-d", "refs/heads/main"]);
    // Unreachable, but still there: any stock server gives it.
    bench.fetch(&gone).await.unwrap();
    bench.repository.git(&["prune", "--expire=now"]);
    std::fs::remove_dir_all(bench.place(&gone)).unwrap();
    let error = bench.fetch(&gone).await.unwrap_err();
    assert!(
        matches!(&error, GitError::NotFound { sha, .. } if *sha == gone) && !error.is_retryable(),
        "{error:?}"
    );

    let now = bench.repository.commit("refs/pull/7/head", &[("100644", "a", b"now")]);
    let source = FetchSource { fallback_ref: Some("refs/pull/7/head".into()), ..bench.source() };
    let error = bench.fetch_from(&source, &gone, &limits()).await.unwrap_err();
    assert!(error.to_string().contains(&now), "{error}");
    bench.fetch_from(&source, &now, &limits()).await.unwrap();
    let none = FetchSource { fallback_ref: Some("refs/pull/8/head".into()), ..bench.source() };
    let error = bench.fetch_from(&none, &gone, &limits()).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_give_commits_by_sha_gives_them_by_ref() {
    let bench = Bench::new().await;
    let below = bench.repository.commit("refs/pull/7/head", &[("100644", "a", b"x")]);
    let tip = bench.repository.commit("refs/pull/7/head", &[("100644", "a", b"y")]);
    let by_ref = FetchSource { fallback_ref: Some("refs/pull/7/head".into()), ..bench.source() };
    bench.server.behave(Manners::OnlyByRef);
    assert!(matches!(bench.fetch(&tip).await, Err(GitError::NotFound { .. })));
    bench.fetch_from(&by_ref, &tip, &limits()).await.unwrap();
    assert_eq!(bench.read(&tip, "a"), "y");

    bench.server.behave(Manners::OldProtocol);
    let error = bench.fetch_from(&by_ref, &below, &limits()).await.unwrap_err();
    assert!(matches!(&error, GitError::NotFound { detail, .. } if detail.contains(&tip)), "{error:?}");
    std::fs::remove_dir_all(bench.place(&tip)).unwrap();
    bench.fetch(&tip).await.unwrap();
}

#[tokio::test]
async fn what_is_no_commit_is_not_taken_for_one() {
    let bench = Bench::new().await;
    bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let tree = bench.repository.git(&["rev-parse", "refs/heads/main^{tree}"]);
    bench.repository.git(&["tag", "-a", "-m", "t", "v1", "refs/heads/main"]);
    let tag = bench.repository.git(&["rev-parse", "refs/tags/v1"]);
    for sha in [tree, tag] {
        assert!(bench.fetch(&sha).await.is_err());
    }
}

#[tokio::test]
async fn nothing_of_the_repository_is_executed() {
    let bench = Bench::new().await;
    let trap = bench.root.path().join("trapped");
    let command = format!("touch {}", trap.display());
    let attributes =
        "* filter=evil diff=evil merge=evil\n*.txt text eol=crlf ident working-tree-encoding=UTF-16\n";
    let config =
        format!("[filter \"evil\"]\nsmudge = {command}\nrequired = true\n[core]\nhooksPath = .githooks\n");
    let modules = "[submodule \"s\"]\npath = s\nurl = file:///\n";
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
    let lfs = format!("[lfs]\nurl = http://{}/lfs\n", bench.server.address);
    let hook = format!("#!/bin/sh\n{command}\n");
    let commit = bench.repository.commit("refs/heads/inner", &[("100644", "x", b"x")]);
    let sha = bench.repository.commit(
        "refs/heads/main",
        &[
            ("100644", ".gitattributes", attributes.as_bytes()),
            ("100644", ".gitconfig", config.as_bytes()),
            ("100644", ".gitmodules", modules.as_bytes()),
            ("100644", ".lfsconfig", lfs.as_bytes()),
            ("100755", ".githooks/post-checkout", hook.as_bytes()),
            ("100755", "hooks/post-checkout", hook.as_bytes()),
            ("100755", "hooks/reference-transaction", hook.as_bytes()),
            ("100644", "big.bin", pointer.as_bytes()),
            ("100644", "line.txt", b"$Id$ one\ntwo\n"),
            ("160000", "s", commit.as_bytes()),
        ],
    );
    let checkout = bench.fetch(&sha).await.unwrap();
    assert!(!trap.exists());
    assert_eq!(checkout.submodules, ["s"]);
    assert_eq!(checkout.files, 9);
    assert_eq!(bench.read(&sha, "line.txt"), "$Id$ one\ntwo\n", "bytes as committed");
    assert_eq!(bench.read(&sha, "big.bin"), pointer);
    assert_eq!(std::fs::read_dir(bench.place(&sha).join("s")).unwrap().count(), 0);
    let requests = bench.server.requests();
    assert!(
        requests.iter().all(|r| !r.target.contains("lfs") && r.target.starts_with("/r.git/")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn the_operators_own_git_configuration_is_not_used() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    // A program that stands in for git shows the environment that git gets.
    let shown = bench.root.path().join("environment");
    let fake = bench.root.path().join("fake-git");
    let script = format!("#!/bin/sh\nenv > {}\nexec git \"$@\"\n", shown.display());
    std::fs::write(&fake, script).unwrap();
    std::fs::set_permissions(&fake, std::fs::Permissions::from_mode(0o755)).unwrap();
    Git::new(&fake).fetch(&bench.source(), &sha, &bench.place(&sha), &limits()).await.unwrap();
    let shown = std::fs::read_to_string(shown).unwrap();
    let home = shown.lines().find_map(|line| line.strip_prefix("HOME=")).unwrap();
    assert!(home.starts_with(bench.state.path().to_str().unwrap()), "{home}");
    for expected in ["GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0"] {
        assert!(shown.lines().any(|line| line == expected), "{expected} is missing:\n{shown}");
    }
    assert!(!shown.contains("CARGO"), "the environment of docent was passed on:\n{shown}");
}

#[tokio::test]
async fn links_never_lead_out() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit(
        "refs/heads/main",
        &[
            ("120000", "absolute", b"/etc/passwd"),
            ("120000", "up", b"../../../../etc"),
            ("120000", "d/inside", b"../data/x.csv"),
            ("120000", "d/root", b".."),
            ("120000", "d/sly", b"root/../etc"),
            ("120000", "self", b"self"),
            ("120000", "dangling", b"nowhere"),
            ("100644", "data/x.csv", b"1,2"),
        ],
    );
    let checkout = bench.fetch(&sha).await.unwrap();
    assert_eq!(checkout.withheld_links, ["absolute", "d/sly", "up"]);
    assert_eq!(bench.read(&sha, "absolute"), "/etc/passwd", "a plain file with the link's text");
    assert_eq!(bench.read(&sha, "d/inside"), "1,2");
    let inside = bench.place(&sha).canonicalize().unwrap();
    for entry in walkdir::WalkDir::new(&inside) {
        let entry = entry.unwrap();
        if let Ok(real) = entry.path().canonicalize() {
            assert!(real.starts_with(&inside), "{} leads to {}", entry.path().display(), real.display());
        }
    }
}

#[tokio::test]
async fn a_file_behind_a_link_is_not_written_through_it() {
    let bench = Bench::new().await;
    let outside = bench.root.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let link = bench.repository.blob(outside.to_str().unwrap().as_bytes());
    let file = bench.repository.blob(b"evil");
    let directory = bench.repository.tree(&[("100644", "passwd", &file)]);
    let tree = bench.repository.raw_tree(&[("120000", "dir", &link), ("40000", "dir", &directory)]);
    let sha = bench.repository.commit_tree("refs/heads/main", &tree);
    let error = bench.fetch(&sha).await.unwrap_err();
    assert!(matches!(error, GitError::Unsafe { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn names_that_mean_gits_own_directory_are_refused() {
    let bench = Bench::new().await;
    let file = bench.repository.blob(b"[core]\n");
    let directory = bench.repository.tree(&[("100644", "config", &file)]);
    for name in [".git", ".GIT", "git~1", ".git ", "..", ".", ".g\u{200c}it"] {
        let tree = bench.repository.raw_tree(&[("40000", name, &directory)]);
        let sha = bench.repository.commit_tree("refs/heads/main", &tree);
        let error = bench.fetch(&sha).await.unwrap_err();
        assert!(matches!(error, GitError::Unsafe { .. }), "{name:?}: {error:?}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn odd_names_stay_names() {
    let bench = Bench::new().await;
    let names = [
        "-rf",
        "a\nb.ipynb",
        "\"quoted\"",
        "it's",
        "$(id)",
        "bidi\u{202e}.ipynb",
        "sp ace",
        "\t",
        "*",
        "dé/ß",
    ];
    let files: Vec<_> = names.iter().map(|name| ("100644", *name, name.as_bytes())).collect();
    let sha = bench.repository.commit("refs/heads/main", &files);
    bench.fetch(&sha).await.unwrap();
    for name in names {
        assert_eq!(bench.read(&sha, name), name);
    }
}

#[tokio::test]
async fn an_old_history_with_harmless_flaws_is_fetched() {
    let bench = Bench::new().await;
    let file = bench.repository.blob(b"x");
    let directory = bench.repository.tree(&[("100644", "x", &file)]);
    // Zero-padded modes were written by early hosting software, and there is a lot of it.
    let tree = bench.repository.raw_tree(&[("040000", "d", &directory)]);
    let commit = format!(
        "tree {tree}\nauthor Nobody <a@b 0 +051800\ncommitter X<> 99999999999999999999 +0000\n\nold\n"
    );
    let sha = bench.repository.raw("commit", commit.as_bytes());
    bench.repository.git(&["update-ref", "refs/heads/main", &sha]);
    bench.fetch(&sha).await.unwrap();
    assert_eq!(bench.read(&sha, "d/x"), "x");
}

#[tokio::test]
async fn ten_thousand_files_are_fetched_and_limited() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..10_000).map(|n| format!("d{}/f{n}", n % 100)).collect();
    let files: Vec<_> = names.iter().map(|name| ("100644", name.as_str(), &b"x"[..])).collect();
    let sha = bench.repository.commit("refs/heads/main", &files);
    let error = bench.fetch_within(&sha, &FetchLimits { max_files: 9_999, ..limits() }).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
    assert_eq!(bench.fetch(&sha).await.unwrap().files, 10_000);
}

#[tokio::test]
async fn a_tree_of_a_billion_files_is_refused_at_once() {
    let bench = Bench::new().await;
    let mut object = bench.repository.blob(b"x");
    let mut mode = "100644";
    for _ in 0..9 {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_str(), object.as_str())).collect();
        object = bench.repository.raw_tree(&entries);
        mode = "40000";
    }
    let sha = bench.repository.commit_tree("refs/heads/main", &object);
    let error = bench.fetch(&sha).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_too_large_is_refused_while_it_comes_and_before_it_is_written() {
    let bench = Bench::new().await;
    let small = FetchLimits { max_bytes: 1 << 20, ..limits() };
    // Incompressible: already what is received is too much.
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "noise", &noise(4 << 20))]);
    let error = bench.fetch_within(&sha, &small).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error:?}");
    // Compressible: little is received, much would be written.
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "zeros", &vec![0; 40 << 20])]);
    let error = bench.fetch_within(&sha, &small).await.unwrap_err();
    assert!(matches!(&error, GitError::TooLarge { what } if what.contains("its files")), "{error:?}");
    assert_eq!(bench.fetch(&sha).await.unwrap().bytes, 40 << 20);
}

#[tokio::test]
async fn an_endless_pack_is_cut_off() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    bench.server.behave(Manners::Flood);
    let error = bench.fetch_within(&sha, &FetchLimits { max_bytes: 4 << 20, ..limits() }).await.unwrap_err();
    assert!(matches!(&error, GitError::TooLarge { what } if what.contains("received")), "{error:?}");
}

#[tokio::test]
async fn a_missing_or_old_git_is_named() {
    let bench = Bench::new().await;
    let git = Git::new("/nonexistent/git");
    assert!(matches!(git.version().await, Err(GitError::Missing { .. })));
    let sha = "0".repeat(40);
    let error = git.fetch(&bench.source(), &sha, &bench.place(&sha), &limits()).await.unwrap_err();
    assert!(error.to_string().contains("/nonexistent/git"), "{error}");
    bench.assert_nothing_left();
    assert!(Git::default().version().await.unwrap() >= GitVersion::OLDEST);

    let old = bench.root.path().join("old-git");
    std::fs::write(&old, "#!/bin/sh\necho git version 2.20.1\n").unwrap();
    std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(Git::new(&old).version().await, Err(GitError::TooOld { .. })));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let bench = Bench::new().await;
    let sha = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let nowhere = Path::new("/nonexistent/place").join(&sha);
    let error = Git::default().fetch(&bench.source(), &sha, &nowhere, &limits()).await.unwrap_err();
    assert!(
        matches!(error, GitError::Disk { .. }) && error.to_string().contains("/nonexistent/place"),
        "{error}"
    );
    std::fs::write(bench.place(&sha), "in the way").unwrap();
    let error = Git::default().fetch(&bench.source(), &sha, &bench.place(&sha), &limits()).await.unwrap_err();
    assert!(matches!(error, GitError::Disk { .. }), "{error:?}");
}

/// Bytes that cannot be compressed.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}
