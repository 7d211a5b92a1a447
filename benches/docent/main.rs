//! What docent costs, as ratios measured in one run on one machine: an absolute number says more about the machine than about
//! docent. A noisy figure that is over its target is shown as such and fails nothing; a count that is over fails.

mod double;
mod engine;
mod figure;
mod idle;
mod plain;
mod process;
#[path = "../../tests/hostile/tiny.rs"]
mod tiny;

use std::process::ExitCode;

use figure::Figure;

fn main() -> anyhow::Result<ExitCode> {
    // This program again, as the plain loop that docent is compared with.
    if let Some(url) = std::env::var_os(plain::URL) {
        return plain::main(&url.to_string_lossy());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for (what, measured) in
        [("watching", runtime.block_on(idle::figures())), ("running", runtime.block_on(engine::figures()))]
    {
        match measured {
            Ok(found) => figures.extend(found),
            Err(error) => figures.push(Figure::failed(what, &format!("{error:#}"))),
        }
    }
    println!();
    for figure in &figures {
        println!("{figure}");
    }
    println!();
    Ok(if figures.iter().any(Figure::is_defect) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
