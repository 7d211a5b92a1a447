//! What it costs to watch a thousand repositories in which nothing happens.

use std::fmt::Write as _;
use std::time::Duration;

use super::double::Double;
use super::figure::{Figure, Figures};
use super::plain;
use super::process::{Docent, Memory};

/// The one owner of all repositories.
pub const OWNER: &str = "astro";
const MANY: u64 = 1000;
/// Polls that are measured, after a few that are not.
const CYCLES: usize = 20;
const WARM: usize = 3;

/// The name of a repository.
pub fn name(number: u64) -> String {
    format!("r{number:04}")
}

/// What some idle cycles took.
struct Idle {
    requests: u64,
    bytes: u64,
    cpu: Duration,
    memory: Memory,
}

impl Idle {
    fn cpu_of_a_cycle(&self) -> Duration {
        self.cpu / CYCLES as u32
    }
}

/// Requests, CPU and memory of watching.
pub async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let double = Double::start().await?;
    println!("watching {MANY} idle repositories, for {CYCLES} polls a second apart: gitea");
    let nothing = watch(&double, "gitea", 0).await?;
    let gitea = watch(&double, "gitea", MANY).await?;
    println!("the same: github");
    let github = watch(&double, "github", MANY).await?;

    let cycles = CYCLES as u64;
    figures.add(Figure::count(
        "requests per idle cycle, 1,000 repositories of a Gitea owner",
        gitea.requests as f64 / cycles as f64,
        2.0,
        format!("{} requests in {cycles} cycles", gitea.requests),
    ));
    figures.add(Figure::count(
        "queries per idle cycle, 1,000 repositories of GitHub",
        github.requests as f64 / cycles as f64,
        10.0,
        format!("{} queries in {cycles} cycles", github.requests),
    ));
    let base = nothing.cpu_of_a_cycle();
    for (forge, idle) in [("Gitea", &gitea), ("GitHub", &github)] {
        let (requests, bytes) = (idle.requests / cycles, idle.bytes / idle.requests.max(1));
        let plain = plain::measure(&double.url, requests, bytes).await?;
        let cpu = idle.cpu_of_a_cycle().saturating_sub(base);
        figures.add(Figure::noisy(
            &format!("CPU per idle repository and cycle, {forge}"),
            cpu.as_secs_f64() * 1e6 / MANY as f64,
            "µs",
            None,
            format!(
                "{:.1} ms a cycle, and {:.1} ms with no repository at all",
                idle.cpu_of_a_cycle().as_secs_f64() * 1e3,
                base.as_secs_f64() * 1e3
            ),
        ));
        figures.add(Figure::noisy(
            &format!("CPU of a cycle over plain fetching, {forge}"),
            cpu.as_secs_f64() / plain.as_secs_f64(),
            "×",
            None,
            format!(
                "{requests} × {bytes} bytes fetched by a plain loop: {:.1} ms a cycle",
                plain.as_secs_f64() * 1e3
            ),
        ));
    }
    for (forge, idle) in [("Gitea", &gitea), ("GitHub", &github)] {
        figures.add(Figure::noisy(
            &format!("resident memory with 1,000 repositories, {forge}"),
            megabytes(idle.memory.resident),
            "MB",
            Some(25.0),
            format!(
                "of it anonymous {:.1} MB; with no repository {:.1} MB, anonymous {:.1} MB",
                megabytes(idle.memory.anonymous),
                megabytes(nothing.memory.resident),
                megabytes(nothing.memory.anonymous),
            ),
        ));
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

async fn watch(double: &Double, kind: &str, repositories: u64) -> anyhow::Result<Idle> {
    let mut tables = format!(
        "[[forge]]\nname = \"double\"\nkind = {kind:?}\nurl = {:?}\npoll_interval = \"1s\"\nwatch_credential = \"watch\"\n",
        double.url
    );
    for number in 1..=repositories {
        write!(
            tables,
            "[[repository]]\nforge = \"double\"\nname = \"{OWNER}/{}\"\nrecipe = \"notebook\"\nallow = [\"mira:1042\"]\n",
            name(number)
        )?;
    }
    let mut docent = Docent::start("auto", &tables, &[("watch", "a-token-of-the-double")], &[]).await?;
    docent.cycles(WARM).await?;
    let (before, cpu) = (double.counts.now(), docent.cpu()?);
    docent.cycles(CYCLES).await?;
    let (after, cpu_after) = (double.counts.now(), docent.cpu()?);
    Ok(Idle {
        requests: after.0 - before.0,
        bytes: after.1 - before.1,
        cpu: cpu_after - cpu,
        memory: docent.memory()?,
    })
}
