//! The repository that `docent demo` shows: on its main branch everything passes, and an open pull request breaks one notebook.
//!
//! Small and without dependencies, so that the demonstration needs no index and no engine, and one of each kind: a
//! notebook that passes, one that the pull request breaks, one that is skipped, one that runs only when asked for.

use secrecy::SecretString;

use super::forge::{EmbeddedForge, Right};

/// Name of the repository.
pub const REPOSITORY: &str = "astro/notebooks";
/// Writes to the repository: may ask for runs.
pub const MAINTAINER: &str = "mira";
/// Has an account and nothing else: may only offer a run.
pub const STRANGER: &str = "guest";
/// Reports: comments and sets statuses.
pub const REPORTER: &str = "docent";
/// Watches: can only read, by its account and by its token.
pub const WATCHER: &str = "docent-watch";

/// The branch that the pull request would merge into.
const MAIN: &[(&str, &[u8])] = &[
    ("README.md", include_bytes!("sample/README.md")),
    ("requirements.txt", include_bytes!("sample/requirements.txt")),
    ("notebooks/light_curve.ipynb", include_bytes!("sample/notebooks/light_curve.ipynb")),
    ("notebooks/flat_field.ipynb", include_bytes!("sample/notebooks/flat_field.ipynb")),
    ("notebooks/bootstrap.ipynb", include_bytes!("sample/notebooks/bootstrap.ipynb")),
    ("notebooks/survey_archive.ipynb", include_bytes!("sample/notebooks/survey_archive.ipynb")),
];

/// What the pull request changes: a name that is not there, found out in the middle of the notebook.
const PULL: &[(&str, &[u8])] =
    &[("notebooks/flat_field.ipynb", include_bytes!("sample/pull/flat_field.ipynb"))];

/// The sample repository in a forge.
#[derive(Debug)]
pub struct Sample {
    /// `astro/notebooks`.
    pub repository: &'static str,
    /// Its number.
    pub repository_id: u64,
    /// Number of the open pull request.
    pub pull: u64,
    /// Its head: here `flat_field.ipynb` fails with a `KeyError`.
    pub head: String,
    /// The tip of `main`: here everything passes.
    pub base: String,
    /// Account number of [`MAINTAINER`], for `allow = ["mira:N"]`.
    pub maintainer: u64,
    /// Account number of [`STRANGER`].
    pub stranger: u64,
    /// Account number of [`REPORTER`].
    pub reporter: u64,
    /// Token of [`WATCHER`]: `read:repository`, `read:issue`.
    pub watch_token: SecretString,
    /// Token of [`REPORTER`]: `write:issue`, `write:repository`.
    pub report_token: SecretString,
}

/// Puts the sample into a fresh forge.
///
/// # Panics
/// If the forge already has one of its accounts' repositories, or git fails on this machine.
pub fn sample(forge: &EmbeddedForge) -> Sample {
    forge.organisation("astro");
    let maintainer = forge.account(MAINTAINER);
    let stranger = forge.account(STRANGER);
    let reporter = forge.account(REPORTER);
    forge.account(WATCHER);
    forge.write_as(&[MAINTAINER, STRANGER]);
    let repository_id = forge.repository("astro", "notebooks", false);
    forge.permit(REPOSITORY, MAINTAINER, Right::Write);
    // A status needs the right to push; the token is what keeps the watcher from it.
    forge.permit(REPOSITORY, REPORTER, Right::Write);
    let base = forge.commit_as(REPOSITORY, "main", Some(MAINTAINER), MAIN);
    let head = forge.commit_as(REPOSITORY, "flat-field-names", Some(MAINTAINER), PULL);
    let pull =
        forge.pull(REPOSITORY, MAINTAINER, "Use the new name of the flat field", "flat-field-names", "main");
    Sample {
        repository: REPOSITORY,
        repository_id,
        pull,
        head,
        base,
        maintainer,
        stranger,
        reporter,
        watch_token: forge.token(WATCHER, &["read:repository", "read:issue"]).into(),
        report_token: forge.token(REPORTER, &["write:issue", "write:repository"]).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::Value;

    use super::*;

    fn notebook(files: &[(&str, &[u8])], name: &str) -> Value {
        let (_, content) = files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        serde_json::from_slice(content).unwrap()
    }

    /// The code of all cells, in order.
    fn code(notebook: &Value) -> String {
        let cells = notebook["cells"].as_array().unwrap().iter().filter(|c| c["cell_type"] == "code");
        let lines = cells
            .flat_map(|c| c["source"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).chain(["\n"]));
        lines.collect()
    }

    /// Gives what Python says at the end; none where there is no Python.
    fn run(notebook: &Value) -> Option<(bool, String)> {
        let output = match Command::new("python3").args(["-c", &code(notebook)]).output() {
            Ok(output) => output,
            Err(error) => {
                println!("not run: no python3 ({error})");
                return None;
            }
        };
        Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    #[test]
    fn main_passes_and_the_pull_breaks_one() {
        for name in ["light_curve.ipynb", "flat_field.ipynb", "bootstrap.ipynb"] {
            let Some((passed, said)) = run(&notebook(MAIN, name)) else { return };
            assert!(passed, "{name}: {said}");
        }
        let Some((passed, said)) = run(&notebook(PULL, "flat_field.ipynb")) else { return };
        assert!(!passed && said.contains("KeyError: 'flat_field'"), "{said}");
    }

    #[test]
    fn marks_what_is_skipped_and_what_is_extra() {
        let skipped = notebook(MAIN, "survey_archive.ipynb");
        assert_eq!(skipped["metadata"]["docent"]["skip"], true);
        let extra = notebook(MAIN, "bootstrap.ipynb");
        assert_eq!(extra["metadata"]["tags"][0], "docent-extra");
    }

    #[tokio::test]
    async fn stands_in_a_forge() {
        let directory = tempfile::tempdir().unwrap();
        let forge = EmbeddedForge::start(directory.path(), 0).await.unwrap();
        let sample = sample(&forge);
        assert_eq!(forge.head(sample.repository, sample.pull), sample.head);
        assert_eq!(forge.branches(REPOSITORY)["main"], sample.base);
        assert!(!format!("{sample:?}").contains(&forge.password(MAINTAINER)));
        forge.stop().await;
    }
}
