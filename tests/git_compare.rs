//! What differs between two commits, with real git on both ends.

#[path = "support/git_repository.rs"]
#[allow(dead_code, reason = "the fetch's tests use all of it")]
mod git_repository;
#[path = "support/git_server.rs"]
#[allow(dead_code, reason = "the fetch's tests use all of it")]
mod git_server;

use std::sync::Mutex;
use std::time::Duration;

use docent::git::{BasicCredential, FetchLimits, FetchSource, Git, GitError, Judge};
use git_repository::{Repository, State};
use git_server::GitServer;

const TOKEN: &str = "canary+token/0123456789abcdef";

struct Bench {
    _root: tempfile::TempDir,
    state: State,
    server: GitServer,
    repository: Repository,
    /// What was read to be judged.
    judged: Mutex<Vec<(String, usize, usize)>>,
}

impl Bench {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let server = GitServer::start(root.path(), Some(("docent", TOKEN))).await;
        let repository = Repository::new(&root.path().join("r.git"));
        Self { state: State::new(), server, repository, judged: Mutex::default(), _root: root }
    }

    /// Files that end in `.ipynb` are read, and mean their first byte.
    async fn compare(&self, before: &str, after: &str) -> Result<Vec<String>, GitError> {
        let credential = BasicCredential { username: "docent".into(), token: TOKEN.into() };
        let url = self.server.url("r.git");
        let source = FetchSource { url, credential: Some(credential), fallback_ref: None };
        let judge = Judge {
            wants: |path: &str| path.ends_with(".ipynb"),
            is_meaningful: |path: &str, before: &[u8], after: &[u8]| {
                self.judged.lock().unwrap().push((path.to_owned(), before.len(), after.len()));
                before[0] != after[0]
            },
        };
        let limits = FetchLimits { timeout: Duration::from_secs(120), max_bytes: 128 << 20, max_files: 1000 };
        let done = Git::default().compare(&source, before, after, self.state.path(), &limits, judge).await;
        assert_eq!(std::fs::read_dir(self.state.path()).unwrap().count(), 0, "something was left behind");
        if let Err(error) = &done {
            assert!(!format!("{error} {error:?}").contains(TOKEN), "{error}");
        }
        done
    }
}

#[tokio::test]
async fn what_came_went_and_changed_is_named_and_only_what_may_mean_the_same_is_read() {
    let bench = Bench::new().await;
    let before = bench.repository.commit(
        "refs/heads/main",
        &[
            ("100644", "gone.txt", b"x"),
            ("100644", "same.txt", b"x"),
            ("100644", "changed.txt", b"x"),
            ("100644", "n/run.ipynb", b"1 before"),
            ("100644", "n/new.ipynb", b"1 before"),
            ("100644", "n/link.ipynb", b"1 before"),
        ],
    );
    let after = bench.repository.commit(
        "refs/heads/main",
        &[
            ("100644", "same.txt", b"x"),
            ("100755", "changed.txt", b"x"),
            ("100644", "n/run.ipynb", b"1 after, longer"),
            ("100644", "n/new.ipynb", b"2 after"),
            ("120000", "n/link.ipynb", b"run.ipynb"),
            ("100644", "came\tto\nbe \u{e9}.txt", b"x"),
        ],
    );
    let mut changed = bench.compare(&before, &after).await.unwrap();
    changed.sort();
    let expected = ["came\tto\nbe \u{e9}.txt", "changed.txt", "gone.txt", "n/link.ipynb", "n/new.ipynb"];
    assert_eq!(changed, expected);
    let mut judged = bench.judged.lock().unwrap().clone();
    judged.sort();
    assert_eq!(judged, [("n/new.ipynb".to_owned(), 8, 7), ("n/run.ipynb".to_owned(), 8, 15)]);
    let asked = bench.server.requests();
    assert!(asked.iter().all(|request| request.target.contains("git-upload-pack")), "{asked:?}");
}

#[tokio::test]
async fn where_the_commit_before_is_gone_every_file_counts() {
    let bench = Bench::new().await;
    let after = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x"), ("100644", "b", b"x")]);
    assert_eq!(bench.compare(&"0123456789".repeat(4), &after).await.unwrap(), ["a", "b"]);
}

#[tokio::test]
async fn a_commit_that_is_not_there_is_an_error() {
    let bench = Bench::new().await;
    let before = bench.repository.commit("refs/heads/main", &[("100644", "a", b"x")]);
    let error = bench.compare(&before, &"0123456789".repeat(4)).await.unwrap_err();
    assert!(matches!(error, GitError::NotFound { .. }), "{error}");
    let error = bench.compare("--upload-pack=x", &before).await.unwrap_err();
    assert!(error.to_string().contains("no full SHA"), "{error}");
}

#[tokio::test]
async fn too_many_differences_are_refused_and_a_giant_counts_as_changed() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..1200).map(|index| format!("f{index}")).collect();
    let many: Vec<(&str, &str, &[u8])> =
        names.iter().map(|name| ("100644", name.as_str(), &b"x"[..])).collect();
    let (small, giant) = (vec![b'1'; 40 << 20], vec![b'1'; (40 << 20) + 1]);
    let before = bench.repository.commit("refs/heads/main", &[("100644", "g.ipynb", &small)]);
    let after = bench.repository.commit("refs/heads/main", &[("100644", "g.ipynb", &giant)]);
    assert_eq!(bench.compare(&before, &after).await.unwrap(), ["g.ipynb"]);
    assert!(bench.judged.lock().unwrap().is_empty(), "it was not looked at");
    let crowd = bench.repository.commit("refs/heads/main", &many);
    let error = bench.compare(&before, &crowd).await.unwrap_err();
    assert!(matches!(error, GitError::TooLarge { .. }), "{error}");
}
