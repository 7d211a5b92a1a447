//! A docent that watches one pull request on an embedded forge, and is asked for runs there as a person asks.

use std::time::{Duration, Instant};

use anyhow::bail;
use docent::core::run::Run;
use docent::core::verdict::Verdict;
use docent::demo::forge::{EmbeddedForge, Right};

use super::process::Docent;

const REPOSITORY: &str = "astro/notebooks";
/// The branch of the pull request.
const HEAD: &str = "change";
const MAINTAINER: &str = "mira";
/// The longest run here: a hundred notebooks, cold.
const PATIENCE: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_millis(50);

/// The forge, its pull request, and the docent that watches it.
pub struct Stage {
    pub docent: Docent,
    forge: EmbeddedForge,
    pull: u64,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// A repository of these files, watched with this recipe; `recipes` are those that docent does not bring.
    pub async fn set(
        recipe: &str,
        recipes: &[(&str, &str)],
        files: &[(String, Vec<u8>)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("docent-bench-forge-").tempdir()?;
        let forge = EmbeddedForge::start(&folder.path().join("forge"), 0).await?;
        let (pull, account, watch, report, reporter) = tokio::task::block_in_place(|| {
            forge.organisation("astro");
            let (account, reporter) = (forge.account(MAINTAINER), forge.account("docent"));
            forge.account("watcher");
            forge.repository("astro", "notebooks", false);
            forge.permit(REPOSITORY, MAINTAINER, Right::Write);
            forge.permit(REPOSITORY, "docent", Right::Write);
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
            forge.commit_as(REPOSITORY, "main", Some(MAINTAINER), &files);
            forge.commit_as(REPOSITORY, HEAD, Some(MAINTAINER), &[("CHANGES.md", b"# Changed\n")]);
            let pull = forge.pull(REPOSITORY, MAINTAINER, "A change", HEAD, "main");
            let watch = forge.token("watcher", &["read:repository", "read:issue"]);
            let report = forge.token("docent", &["write:issue", "write:repository"]);
            (pull, account, watch, report, reporter)
        });
        let tables = format!(
            "[[forge]]\nname = \"bench\"\nkind = \"gitea\"\nurl = {:?}\npoll_interval = \"1s\"\n\
             watch_credential = \"watch\"\nreport_credential = \"report\"\nown_account = {reporter}\n\
             [[repository]]\nforge = \"bench\"\nname = {REPOSITORY:?}\nrecipe = {recipe:?}\n\
             allow = [\"{MAINTAINER}:{account}\"]\n",
            forge.url()
        );
        let credentials = [("watch", watch.as_str()), ("report", report.as_str())];
        let mut docent = Docent::start("container", &tables, &credentials, recipes).await?;
        docent.cycles(2).await?;
        Ok(Self { docent, forge, pull, _folder: folder })
    }

    /// Changes one file of the pull request, and waits until docent has seen it.
    pub async fn push(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        tokio::task::block_in_place(|| {
            self.forge.commit_as(REPOSITORY, HEAD, Some(MAINTAINER), &[(name, content)])
        });
        self.docent.cycles(2).await
    }

    /// Asks for a run in a comment and waits for its end. One that does not pass is an error: nothing is measured by it.
    pub async fn run(&self, words: &str) -> anyhow::Result<Run> {
        let store = &self.docent.store;
        let last = store.latest_runs(1, None).await?.first().map(|run| run.id);
        tokio::task::block_in_place(|| self.forge.comment(REPOSITORY, self.pull, MAINTAINER, words));
        let until = Instant::now() + PATIENCE;
        let run = loop {
            let runs = store.latest_runs(1, None).await?;
            match runs.into_iter().next() {
                Some(run) if Some(run.id) != last && run.phase.is_ended() => break run,
                run if Instant::now() > until => {
                    bail!("no run has ended: {run:?}; docent said {}", self.docent.said());
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        };
        if run.verdict != Some(Verdict::Pass) {
            bail!("run {} did not pass: {:?}", run.id, run.reason.as_ref().or(note(&run)));
        }
        Ok(run)
    }
}

/// Why its last attempt ended as it did.
fn note(run: &Run) -> Option<&String> {
    Some(&run.tiers.iter().filter_map(|tier| tier.attempts.last()).next_back()?.note)
}
