//! What docent costs, as ratios measured in one run on one machine: an absolute number says more about the machine than about
//! docent. A noisy figure that is over its target is shown as such and fails nothing; a count that is over fails.

mod curation;
mod double;
mod engine;
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
    if let Err(error) = runtime.block_on(idle::measure(&mut figures)) {
        figures.add(Figure::failed("watching", &format!("{error:#}")));
    }
    if let Err(error) = runtime.block_on(engine::measure(&mut figures)) {
        figures.add(Figure::failed("running", &format!("{error:#}")));
    }
    if let Err(error) = runtime.block_on(curation::measure(&mut figures)) {
        figures.add(Figure::failed("curating", &format!("{error:#}")));
    }
    Ok(if figures.has_defect() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
