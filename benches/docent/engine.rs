//! From a comment to a container, and what a tier costs beside the same container without docent.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, StartContainerOptions,
};
use docent::core::time::Time;
use docent::executor::container::{Container, Settings};
use futures_util::StreamExt;

use super::figure::{Figure, Figures, Spread};
use super::stage::Stage;
use super::tiny;

/// Rounds of each kind, unless `DOCENT_BENCH_ROUNDS` says otherwise; docent and the engine alone take turns, so that both
/// meet the same machine.
const ROUNDS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(120);
const LATENCY: &str = "comment seen to container started, above the engine's own";
const OVERHEAD: &str = "a one-step tier over the same docker run";

/// What the tier's step is, and how it is shown.
const STEPS: [(&str, &[&str], Option<f64>); 2] =
    [("sleep 1", &["sleep", "1"], Some(1.15)), ("true", &["true"], None)];

/// Latency and overhead.
pub async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let engine = match Container::connect(Settings::new("bench")).await {
        Ok(engine) => engine,
        Err(error) => {
            let why = error.to_string();
            figures.add(Figure::not_run(LATENCY, &why));
            figures.add(Figure::not_run(OVERHEAD, &why));
            return Ok(());
        }
    };
    tiny::ensure_image(&engine).await.map_err(|why| anyhow::anyhow!("making {}: {why}", tiny::TINY))?;
    let docker = engine.engine().docker.clone();
    for (name, command, target) in STEPS {
        let rounds = rounds();
        println!("a tier that runs `{name}`, {rounds} times, and as often without docent");
        let files = [("README.md".to_owned(), b"# Notebooks\n".to_vec())];
        let stage = Stage::set("bench", &[("bench", &recipe(command))], &files).await?;
        let measured = Engine { stage, docker: docker.clone() }.measure(command, rounds).await?;
        if target.is_some() {
            figures.add(measured.latency()?);
        }
        figures.add(measured.overhead(name, target)?);
    }
    Ok(())
}

/// Runs of one step, by docent and without it.
struct Engine {
    stage: Stage,
    docker: Docker,
}

fn recipe(command: &[&str]) -> String {
    format!(
        "name = \"bench\"\ndescription = \"One step\"\ndetect = []\nimage = {:?}\n\
         [limits]\nmemory = \"256MiB\"\ncpus = 1.0\nprocesses = 64\ndisk = \"64MiB\"\nlog = \"1MiB\"\ntimeout = \"1m\"\n\
         [[tier]]\nname = \"work\"\nrun = {command:?}\n",
        tiny::TINY
    )
}

#[derive(Default)]
struct Measured {
    /// From the comment's row in the journal to the container's start, and the steps between.
    to_start: Vec<Duration>,
    examined: Vec<Duration>,
    prepared: Vec<Duration>,
    submitted: Vec<Duration>,
    /// From the request to make the container to its start, without docent.
    engine: Vec<Duration>,
    tier: Vec<Duration>,
    alone: Vec<Duration>,
}

impl Measured {
    fn latency(&self) -> anyhow::Result<Figure> {
        let (all, engine) = (spread(&self.to_start)?, spread(&self.engine)?);
        let numbers = format!(
            "{all} of which asking the forge {}, fetching {}, starting {}; the engine alone {engine}",
            spread(&self.examined)?,
            spread(&self.prepared)?,
            spread(&self.submitted)?,
        );
        Ok(Figure::noisy(LATENCY, (all.median - engine.median) / 1e3, "s", Some(0.2), numbers))
    }

    fn overhead(&self, step: &str, target: Option<f64>) -> anyhow::Result<Figure> {
        let (tier, alone) = (spread(&self.tier)?, spread(&self.alone)?);
        let what = format!("{OVERHEAD} ({step})");
        Ok(Figure::noisy(&what, tier.median / alone.median, "×", target, format!("{tier} over {alone}")))
    }
}

fn rounds() -> usize {
    std::env::var("DOCENT_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn spread(values: &[Duration]) -> anyhow::Result<Spread> {
    Spread::of(values.iter().copied()).context("nothing was measured")
}

impl Engine {
    async fn measure(&self, command: &[&str], rounds: usize) -> anyhow::Result<Measured> {
        let mut measured = Measured::default();
        let instance = self.stage.docent.store.setting("instance", String::new).await?;
        // The first round warms everything up and counts for nothing.
        for round in 0..=rounds {
            let mut own = Measured::default();
            self.with_docent(&instance, &mut own).await?;
            own.engine.push(self.engine_alone(command).await?);
            own.alone.push(docker_run(command).await?);
            if round > 0 {
                measured.take(own);
            }
        }
        Ok(measured)
    }

    async fn with_docent(&self, instance: &str, measured: &mut Measured) -> anyhow::Result<()> {
        let journal = self.last_of_journal().await?;
        let label = format!("docent.instance={instance}");
        let filters = HashMap::from([("event", vec!["start"]), ("label", vec![label.as_str()])]);
        let mut events = self.docker.events(Some(EventsOptionsBuilder::default().filters(&filters).build()));
        let docker = self.docker.clone();
        let started = tokio::spawn(async move {
            let event = events.next().await.context("the engine stopped telling")??;
            let name = event.actor.and_then(|actor| actor.id).context("an event of nothing")?;
            // A step that takes no time may be gone already.
            let seen = docker.inspect_container(&name, None::<InspectContainerOptions>).await.ok();
            anyhow::Ok(seen.and_then(|seen| seen.state?.started_at))
        });
        let run = self.stage.run("!testme").await?;
        let attempt = run.tiers.first().and_then(|tier| tier.attempts.last()).context("no attempt")?;
        let closed = attempt.closed_at.context("an attempt that is open")?;
        measured.tier.push((closed - attempt.opened_at).to_std()?);
        let seen = self.comment_seen(journal).await?;
        if let Some(started) = tokio::time::timeout(PATIENCE, started).await??? {
            let started: Time = started.parse()?;
            measured.to_start.push((started - seen).to_std()?);
            measured.examined.push((run.requested_at - seen).to_std()?);
            measured.prepared.push((attempt.opened_at - run.requested_at).to_std()?);
            measured.submitted.push((started - attempt.opened_at).to_std()?);
        }
        Ok(())
    }

    async fn last_of_journal(&self) -> anyhow::Result<i64> {
        Ok(self.stage.docent.store.journal(0, u32::MAX).await?.last().map_or(0, |row| row.sequence))
    }

    async fn comment_seen(&self, after: i64) -> anyhow::Result<Time> {
        let rows = self.stage.docent.store.journal(after, u32::MAX).await?;
        let seen = rows.iter().find(|row| row.event == "comment_seen");
        Ok(seen.context("no comment in the journal")?.at)
    }

    /// The engine's own part, asked in the same way as docent asks.
    async fn engine_alone(&self, command: &[&str]) -> anyhow::Result<Duration> {
        let name = format!("docent-bench-{}", std::process::id());
        let body = ContainerCreateBody {
            image: Some(tiny::TINY.to_owned()),
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                readonly_rootfs: Some(true),
                init: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        let began = docent::clock::Clock::system().now();
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(&name, None::<StartContainerOptions>).await?;
        let seen = self.docker.inspect_container(&name, None::<InspectContainerOptions>).await?;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.docker.remove_container(&name, Some(options)).await?;
        let started = seen.state.and_then(|state| state.started_at).context("it never started")?;
        Ok((started.parse::<Time>()? - began).to_std()?)
    }
}

impl Measured {
    fn take(&mut self, other: Self) {
        self.to_start.extend(other.to_start);
        self.examined.extend(other.examined);
        self.prepared.extend(other.prepared);
        self.submitted.extend(other.submitted);
        self.engine.extend(other.engine);
        self.tier.extend(other.tier);
        self.alone.extend(other.alone);
    }
}

/// The same container from the command line: as closed as docent's, with as many volumes.
async fn docker_run(command: &[&str]) -> anyhow::Result<Duration> {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--init", "--read-only", "--network=none", "--cap-drop=ALL"]);
    docker.args([
        "--security-opt=no-new-privileges",
        "--user=65534:65534",
        "--tmpfs=/tmp",
        "--pids-limit=64",
    ]);
    docker.args(["--memory=256m", "--memory-swap=256m", "--cpus=1", "--workdir=/repo"]);
    docker.args(["--volume=/repo", "--volume=/recipe", "--volume=/in", "--volume=/out", tiny::TINY]);
    docker.args(command).stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || docker.status()).await?.context("starting docker")?;
    if !status.success() {
        bail!("docker run ended with {status}");
    }
    Ok(began.elapsed())
}
