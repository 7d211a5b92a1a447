//! The least that fetching costs: the same HTTP library, as many requests and bytes at the same pace, and nothing else.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;

/// The variable that makes this program the plain loop.
pub const URL: &str = "DOCENT_BENCH_PLAIN_URL";
const REQUESTS: &str = "DOCENT_BENCH_PLAIN_REQUESTS";
const CYCLES: u32 = 20;

/// CPU per cycle of a loop that asks `requests` times a second for so many bytes each.
pub async fn measure(url: &str, requests: u64, bytes: u64) -> anyhow::Result<Duration> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(URL, format!("{url}/bytes/{bytes}")).env(REQUESTS, requests.to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout);
    let nanoseconds: u64 = text.trim().parse().with_context(|| format!("the plain loop said {text:?}"))?;
    Ok(Duration::from_nanos(nanoseconds) / CYCLES)
}

/// The loop. It says how many nanoseconds of CPU it used once it was warm.
pub fn main(url: &str) -> anyhow::Result<ExitCode> {
    let requests: u64 = std::env::var(REQUESTS)?.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let cycle = || async {
            for _ in 0..requests {
                client.get(url).send().await?.bytes().await?;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            anyhow::Ok(())
        };
        cycle().await?;
        let own = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
        let before: Duration = own.now()?.into();
        for _ in 0..CYCLES {
            cycle().await?;
        }
        let after: Duration = own.now()?.into();
        println!("{}", (after - before).as_nanos());
        Ok(ExitCode::SUCCESS)
    })
}
