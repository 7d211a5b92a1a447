//! `docent demo`: the whole loop in one process, against an embedded forge. No account, no configuration.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::Trouble;
use super::assemble;
use super::outcome::code_of;
use super::recipe::kind_of;
use super::scratch::{Scratch, sweep};
use super::serve::{Down, log, start};
use crate::config::{self, Config, ExecutorKind};
use crate::core::id::RunId;
use crate::core::report::headline;
use crate::core::run::{Phase, Run};
use crate::demo::forge::EmbeddedForge;
use crate::demo::sample::{self, Sample};
use crate::executor::any::AnyExecutor;
use crate::store::Store;

/// How to show it.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Write the command itself, wait, print the report, and exit with the run's code.
    #[arg(long)]
    once: bool,
    /// Port of docent's pages; the embedded forge takes the next one. 0: any.
    #[arg(long, default_value_t = 8440)]
    port: u16,
    /// Where untrusted code runs.
    #[arg(long, value_parser = ["auto", "container", "sandbox"], default_value = "auto")]
    executor: String,
}

/// Shows the whole loop until it is interrupted.
pub async fn demo(arguments: &Demo) -> Result<ExitCode, Trouble> {
    log("warn");
    crate::git::Git::default().version().await.map_err(|error| Trouble::Usage(error.to_string()))?;
    // From here on an interrupt must not end the process before everything is put away.
    let interrupted = interrupted()?;
    tokio::pin!(interrupted);
    let home = super::run::own_state_dir();
    let scratch = Scratch::new(&home)?;
    let port = if arguments.port == 0 { 0 } else { arguments.port.saturating_add(1) };
    let forge = EmbeddedForge::start(&scratch.path().join("forge"), port).await.map_err(|error| {
        Trouble::Usage(format!("the embedded forge cannot use port {port} ({error}): try --port"))
    })?;
    let sample = tokio::task::block_in_place(|| sample::sample(&forge));
    let kind = kind_of(&arguments.executor, ExecutorKind::Auto);
    let pages_port = if arguments.port == 0 { free_port()? } else { arguments.port };
    let config = configuration(scratch.path(), &forge, &sample, pages_port, kind)?;
    tokio::select! {
        made = make_image(&config, &home) => made?,
        () = &mut interrupted => return Err(Trouble::Machinery(anyhow::anyhow!("interrupted"))),
    }

    println!("trying which limits bind here; this takes some seconds");
    let instance = scratch.instance().to_owned();
    assemble::open_store(&config)?.setting("instance", || instance).await?;
    let started = start(&config, Down::Fail).await?;
    let pages = format!("http://{}", started.address()?);
    let pull = format!("{}/{}/pulls/{}", forge.url(), sample.repository, sample.pull);
    let store = started.daemon.store().clone();
    let stop = CancellationToken::new();
    let running = tokio::spawn(started.run(stop.clone()));
    println!("\n  the pull request   {pull}\n  docent's pages     {pages}\n");

    if !arguments.once {
        println!("  Write !testme under the pull request, and watch docent's pages. Ctrl-C ends it all.\n");
    }
    let whole = async {
        if arguments.once { once(&forge, &sample, &store).await } else { std::future::pending().await }
    };
    let code = tokio::select! {
        code = whole => {
            wind_up(&store).await;
            code?
        }
        () = &mut interrupted => {
            wind_up(&store).await;
            // Whoever waits for the run's code must not take an interrupt for a good end.
            if arguments.once { ExitCode::from(3) } else { ExitCode::SUCCESS }
        }
    };
    stop.cancel();
    running.await??;
    forge.stop().await;
    Ok(code)
}

/// Ends at the first TERM or INT after this call.
pub(super) fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

/// A port that nobody has now. Reports link to the pages, so it must be known before they are served.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn configuration(
    folder: &Path,
    forge: &EmbeddedForge,
    sample: &Sample,
    port: u16,
    kind: ExecutorKind,
) -> Result<Config, Trouble> {
    let credentials = folder.join("credentials");
    std::fs::create_dir_all(&credentials)?;
    for (name, token) in [("watch", &sample.watch_token), ("report", &sample.report_token)] {
        let file = credentials.join(name);
        std::fs::write(&file, token.expose_secret())?;
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    let text = format!(
        r#"
        listen = "127.0.0.1:{port}"
        public_url = "http://127.0.0.1:{port}"

        [limits]
        report_interval = "1s"

        [[forge]]
        name = "demo"
        kind = "gitea"
        url = "{url}"
        poll_interval = "2s"
        watch_credential = "watch"
        report_credential = "report"
        own_account = {reporter}

        [[repository]]
        forge = "demo"
        name = "{repository}"
        recipe = "notebook"
        allow = ["{maintainer_name}:{maintainer}"]
        "#,
        url = forge.url(),
        reporter = sample.reporter,
        repository = sample.repository,
        maintainer_name = sample::MAINTAINER,
        maintainer = sample.maintainer,
    );
    let mut config = config::parse("demo", &text).map_err(|mistakes| {
        Trouble::Usage(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    config.state_dir = folder.to_owned();
    config.credentials_dir = Some(credentials);
    config.executor = kind;
    config.environments = 0;
    Ok(config)
}

/// Makes the image of the sample's recipe if it is not there. A sandbox keeps its images with the person, so that the second
/// demo does not make them again.
async fn make_image(config: &Config, home: &Path) -> Result<(), Trouble> {
    let shelf = assemble::load_shelf(config, &config.state_dir)?;
    sweep(home, None, &shelf).await;
    let executor =
        assemble::executor(config.executor, None, &config.index_hosts, &config.state_dir, "demo", &shelf)
            .await?;
    println!(
        "untrusted code runs in {}",
        match &executor {
            AnyExecutor::Container(_) => "containers",
            _ => "a local sandbox",
        }
    );
    let (Some(recipe), Some(build)) = (shelf.recipes.get("notebook"), shelf.builds("notebook").next()) else {
        return Err(Trouble::Usage("the recipe notebook is not there".to_owned()));
    };
    if !assemble::has_image(&executor, &recipe.image).await? {
        println!("making the image {}, once", recipe.image);
        assemble::build_image(&executor, build, home, &mut |line| println!("  {line}")).await?;
    }
    Ok(())
}

async fn once(forge: &EmbeddedForge, sample: &Sample, store: &Store) -> Result<ExitCode, Trouble> {
    // A comment in the second in which docent saw the head would not be certain to be younger.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    forge.comment(sample.repository, sample.pull, sample::MAINTAINER, "!testme");
    println!("{} wrote !testme", sample::MAINTAINER);
    let run = wait_for(store, RunId(1)).await?;
    let run = compared(store, run).await?;
    for _ in 0..100 {
        let comments = forge.comments(sample.repository, sample.pull);
        if let Some(report) = comments.iter().find(|comment| comment.body.contains(&headline(&run))) {
            // The first line is the hidden marker, which no reader of a forge sees.
            println!("\n{}", report.body.split_once('\n').map_or("", |(_, shown)| shown));
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(code_of(&run))
}

/// The run once it is known whether its failures were there before: for that, docent runs what failed on the base too.
async fn compared(store: &Store, mut run: Run) -> Result<Run, Trouble> {
    let is_open = |run: &Run| run.baseline.as_ref().is_some_and(|baseline| !baseline.is_concluded);
    if is_open(&run) {
        println!("  seeing whether it failed before the change");
    }
    for _ in 0..900 {
        if !is_open(&run) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        run = store.run(run.id).await?.unwrap_or(run);
    }
    Ok(run)
}

async fn wait_for(store: &Store, id: RunId) -> Result<Run, Trouble> {
    let mut shown = String::new();
    loop {
        if let Some(run) = store.run(id).await? {
            let now = headline(&run);
            if now != shown {
                println!("  {now}");
                shown = now;
            }
            if run.phase.is_ended() {
                return Ok(run);
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Nothing of the demo may be left: what is running is cancelled, and waited for.
async fn wind_up(store: &Store) {
    let mut asked = std::collections::BTreeSet::new();
    // What ends may be the reason for something new: what failed is run on the base too.
    for _ in 0..600 {
        let mut open = store.open_runs().await.unwrap_or_default();
        open.retain(|run| run.phase != Phase::Offered);
        if open.is_empty() {
            return;
        }
        for run in open.iter().filter(|run| asked.insert(run.id)) {
            let ask = crate::core::event::Ask::Cancel { run: run.id };
            let _ = store.ask(ask, crate::clock::Clock::system().now()).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
