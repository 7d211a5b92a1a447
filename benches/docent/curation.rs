//! A repository of notebooks, whole and again, beside what people do without docent: `uv` and papermill in a shell.
//!
//! Both begin with nothing cached, resolve the same requirement, and run the same notebooks on as many cores. The shell runs
//! them with no limit, no sandbox and no report; docent does all that it does for a pull request.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use docent::core::run::Run;
use docent::executor::container::{Container, Settings};
use serde_json::json;

use super::figure::{Figure, Figures};
use super::stage::Stage;

/// Notebooks, unless `DOCENT_BENCH_NOTEBOOKS` says otherwise.
const NOTEBOOKS: usize = 100;
const RECIPE: &str = "notebook";
const IMAGE: &str = "docent/notebook:2";
const REQUIREMENTS: &str = "numpy\n";
/// What is measured: how docent is asked, and its target as a part of the shell's time.
const WRANGLER: &str = "100 notebooks, cold, over nb-wrangler";
const COLD: &str = "100 notebooks, cold, over uv and papermill in a shell";
const WARM: &str = "the same again, with nothing reused";
const UNCHANGED: &str = "the same, nothing changed";
const ONE_CHANGED: &str = "the same, one notebook changed";

/// Cold, warm, unchanged, and with one notebook changed.
pub async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    if let Err(why) = image().await {
        for what in [COLD, WARM, UNCHANGED, ONE_CHANGED] {
            figures.add(Figure::not_run(what, &why.to_string()));
        }
        return Ok(());
    }
    let count = std::env::var("DOCENT_BENCH_NOTEBOOKS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(NOTEBOOKS);
    let mut files: Vec<(String, Vec<u8>)> =
        (0..count).map(|number| (path(number), notebook(number, 0))).collect();
    files.push(("requirements.txt".to_owned(), REQUIREMENTS.into()));

    println!("{count} notebooks in a shell, with uv and papermill");
    let shell = tokio::task::block_in_place(|| shell(&files))?;
    println!("the same by docent: cold, warm, unchanged, one changed");
    let mut stage = Stage::set(RECIPE, &[], &files).await?;
    let cold = stage.run("!testme").await?;
    let warm = stage.run("!testme --full").await?;
    let unchanged = stage.run("!testme").await?;
    stage.push(&path(0), &notebook(0, 1)).await?;
    let changed = stage.run("!testme").await?;

    for (what, run, target, executed) in [
        (COLD, &cold, 1.0, count),
        (WARM, &warm, 0.5, count),
        (UNCHANGED, &unchanged, 0.03, 0),
        (ONE_CHANGED, &changed, 0.05, 1),
    ] {
        let took = length(run)?;
        let numbers = format!("{} over {:.1} s: {}", seconds(took), shell.as_secs_f64(), tiers(run));
        let ratio = took.as_secs_f64() / shell.as_secs_f64();
        figures.add(Figure::noisy(what, ratio, "×", Some(target), numbers));
        let really = executed_in(run)?;
        if really != executed {
            figures.add(Figure::failed(what, &format!("{really} notebooks were executed, not {executed}")));
        }
    }
    match tokio::task::block_in_place(|| wrangler(&files))? {
        Ok((wrangled, failed)) => {
            let ratio = length(&cold)?.as_secs_f64() / wrangled.as_secs_f64();
            let numbers = format!(
                "{} over {}, in which nb-wrangler failed {failed} of the notebooks, and docent none",
                seconds(length(&cold)?),
                seconds(wrangled)
            );
            figures.add(Figure::noisy(WRANGLER, ratio, "×", Some(1.0), numbers));
        }
        Err(why) => figures.add(Figure::not_run(WRANGLER, &why)),
    }
    Ok(())
}

/// The image of the recipe, made if it is not there.
pub async fn image() -> anyhow::Result<()> {
    let engine = Container::connect(Settings::new("bench")).await?;
    if engine.image_exists(IMAGE).await? {
        return Ok(());
    }
    println!("making {IMAGE}");
    let mut docent = Command::new(env!("CARGO_BIN_EXE_docent"));
    docent.args(["recipe", "build", RECIPE]).stdout(Stdio::null());
    let status = tokio::task::spawn_blocking(move || docent.status()).await??;
    if !status.success() {
        bail!("docent recipe build {RECIPE} ended with {status}");
    }
    Ok(())
}

pub fn path(number: usize) -> String {
    format!("notebooks/topic-{:02}/n{number:03}.ipynb", number / 10)
}

/// A small notebook of the usual kind: prose, imports, a little work, a line of output.
pub fn notebook(number: usize, version: usize) -> Vec<u8> {
    let code = |source: &str| json!({"cell_type": "code", "execution_count": null, "metadata": {}, "outputs": [], "source": source});
    let cells = json!([
        {"cell_type": "markdown", "metadata": {}, "source": format!("# Notebook {number}")},
        code("import numpy as np"),
        code(&format!("rng = np.random.default_rng({number} + {version})\nimage = rng.normal(size=(256, 256))")),
        code("power = np.abs(np.fft.fft2(image)) ** 2\nprofile = power.mean(axis=0)"),
        code("assert profile.shape == (256,)\nprint(f'{profile.mean():.3f}')"),
    ]);
    let kernel = json!({"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}});
    json!({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}).to_string().into_bytes()
}

/// What a person writes who has `uv`, papermill and no docent; in a fresh folder, with nothing cached.
const SHELL: &str = r#"
set -eu
uv venv --quiet env
{ cat repo/requirements.txt; echo papermill; echo ipykernel; } >wanted
uv pip compile --quiet wanted --output-file lock
uv pip install --quiet --python env/bin/python --requirement lock
env/bin/python -m ipykernel install --prefix env --name python3 >/dev/null 2>&1
cd repo
find . -name '*.ipynb' | sort | xargs -P "$(nproc)" -I{} sh -c \
  'cd "$(dirname {})" && papermill --no-progress-bar "$(basename {})" "$OLDPWD/../out-$(basename {})" -k python3 2>/dev/null'
"#;

/// The files in a folder `repo` of their own.
fn lay_out(files: &[(String, Vec<u8>)]) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("docent-bench-shell-").tempdir()?;
    for (name, content) in files {
        let place = folder.path().join("repo").join(name);
        std::fs::create_dir_all(place.parent().unwrap_or(folder.path()))?;
        std::fs::write(place, content)?;
    }
    Ok(folder)
}

fn shell(files: &[(String, Vec<u8>)]) -> anyhow::Result<Duration> {
    let folder = lay_out(files)?;
    let tools = tools(folder.path())?;
    let path = std::env::var("PATH").unwrap_or_default();
    let began = Instant::now();
    let status = Command::new("sh")
        .args(["-c", SHELL])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{}:{path}", folder.path().join("env/bin").display(), tools.display()))
        .env("UV_CACHE_DIR", folder.path().join("cache"))
        .stdin(Stdio::null())
        .status()?;
    let took = began.elapsed();
    let done = std::fs::read_dir(folder.path())?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("out-"))
        .count();
    if !status.success() || done + 1 != files.len() {
        bail!("the shell ended with {status}, {done} notebooks done");
    }
    Ok(took)
}

/// The original tool: it makes the environment (its micromamba played by `uv`), locks, installs, and runs papermill. How long it
/// took, and how many notebooks it failed: two that run at once in one folder write the same file there.
fn wrangler(files: &[(String, Vec<u8>)]) -> anyhow::Result<Result<(Duration, usize), String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tool = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wrangler/bin");
    if !tool.join("nbw").is_file() {
        return Ok(Err("no nb-wrangler (scripts/setup wrangler installs it)".to_owned()));
    }
    let folder = lay_out(files)?;
    let repo = folder.path().join("repo");
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "--message=all"],
    ] {
        let status = Command::new("git").arg("-C").arg(&repo).args(arguments).status()?;
        if !status.success() {
            bail!("git {} ended with {status}", arguments.join(" "));
        }
    }
    let spec = folder.path().join("spec.yaml");
    std::fs::write(&spec, SPEC.replace("ADDRESS", &repo.display().to_string()))?;
    let path = format!("{}:{}", tool.display(), std::env::var("PATH").unwrap_or_default());
    let began = Instant::now();
    let output = Command::new(tool.join("nbw"))
        .arg(&spec)
        .args(["--curate", "--packages-omit-spi", "--test-notebooks", "--jobs"])
        .arg(std::thread::available_parallelism()?.to_string())
        .current_dir(folder.path())
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("NBW_ROOT", folder.path().join("live"))
        .env("NBW_PANTRY", folder.path().join("pantry"))
        .env("NBW_MAMBA_CMD", root.join("tests/support/micromamba"))
        .output()?;
    let took = began.elapsed();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let (passed, failed) = (said.matches(".ipynb OK ").count(), said.matches(".ipynb FAIL ").count());
    if passed + failed + 1 != files.len() {
        bail!("nb-wrangler ended with {}, {passed} notebooks passed: {said}", output.status);
    }
    Ok(Ok((took, failed)))
}

/// As nb-wrangler writes it.
const SPEC: &str = r#"image_spec_header:
  image_name: Bench
  deployment_name: bench
  kernel_name: bench
  display_name: Bench
  valid_on: '2026-01-01'
  expires_on: '2027-01-01'
  python_version: '3.11'
repositories:
  nb:
    url: file://ADDRESS
    ref: main
selected_notebooks:
  all:
    repo: nb
    include_subdirs:
      - .
system:
  spec_version: '2.3'
  spi:
    repo: https://github.com/example/images.git
    ref: main
"#;

/// Where `uv` is: the one of this machine, else one from the index, which is not part of what is measured.
fn tools(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let place = folder.join("tools");
    for arguments in [
        vec!["python3", "-m", "venv", place.to_str().context("a folder's name")?],
        vec![place.join("bin/pip").to_str().context("a folder's name")?, "install", "--quiet", "uv"],
    ] {
        let (program, rest) = arguments.split_first().context("no program")?;
        let status = Command::new(program).args(rest).stdin(Stdio::null()).status()?;
        if !status.success() {
            bail!("{} ended with {status}", arguments.join(" "));
        }
    }
    Ok(place.join("bin"))
}

pub fn length(run: &Run) -> anyhow::Result<Duration> {
    let (began, ended) = run.started_at.zip(run.ended_at).context("a run that did not end")?;
    Ok((ended - began).to_std()?)
}

fn executed_in(run: &Run) -> anyhow::Result<usize> {
    let tier = run.tier("notebooks").context("no tier of notebooks")?;
    Ok(tier.tests.iter().filter(|test| test.reused_from.is_none()).count())
}

/// `resolve 2.1 s, …`: where the time went.
fn tiers(run: &Run) -> String {
    let length = |tier: &docent::core::run::TierRun| {
        let attempt = tier.attempts.last()?;
        let took = (attempt.closed_at? - attempt.opened_at).to_std().ok()?;
        Some(format!("{} {}", tier.tier.name, seconds(took)))
    };
    run.tiers.iter().filter_map(length).collect::<Vec<_>>().join(", ")
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}
