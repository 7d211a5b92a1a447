//! What docent costs, as ratios measured in one run on one machine: an absolute number says more about the machine than about
//! docent. A noisy figure that is over its target is shown as such and fails nothing; a count that is over fails.

mod curation;
mod double;
mod engine;
mod extras;
mod figure;
mod idle;
mod plain;
mod process;
mod stage;
#[path = "../../tests/hostile/tiny.rs"]
mod tiny;

use std::process::ExitCode;

use figure::{Figure, Figures};

fn main() -> anyhow::Result<ExitCode> {
    // This program again, as the plain loop that docent is compared with.
    if let Some(url) = std::env::var_os(plain::URL) {
        return plain::main(&url.to_string_lossy());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Figures::default();
    // `cargo bench -- curating` measures only that.
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    runtime.block_on(async {
        if is_wanted("watching") {
            let measured = idle::measure(&mut figures).await;
            told(&mut figures, "watching", measured);
        }
        if is_wanted("running") {
            let measured = engine::measure(&mut figures).await;
            told(&mut figures, "running", measured);
        }
        if is_wanted("extra") {
            let measured = extras::measure(&mut figures).await;
            told(&mut figures, "extra", measured);
        }
        if is_wanted("curating") {
            let measured = curation::measure(&mut figures).await;
            told(&mut figures, "curating", measured);
        }
    });
    Ok(if figures.has_defect() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn told(figures: &mut Figures, part: &str, measured: anyhow::Result<()>) {
    if let Err(error) = measured {
        figures.add(Figure::failed(part, &format!("{error:#}")));
    }
}
