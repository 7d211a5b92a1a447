//! What several test programs share. Each of them uses a part.
#![allow(dead_code, reason = "every test program compiles all of it and uses some")]

pub mod api;
pub mod docent;
pub mod gitea;
pub mod registry;

use std::future::Future;
use std::time::{Duration, Instant};

/// Says that a test does not run for want of something, or fails where `DOCENT_REQUIRE` lists that thing:
/// `engine,sandbox,gitea,browser,nix,git,nb-wrangler,registry,skopeo`.
#[track_caller]
pub fn not_run(what: &str, why: &str) {
    let required = std::env::var("DOCENT_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == what), "{what} is required here, but: {why}");
    println!("not run: {why}");
}

/// Asks again and again until there is an answer, for at most a minute.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "after a minute there is still no {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The program of the original tool, where `scripts/setup wrangler` has put it; `None`, said as «not run», elsewhere.
pub fn wrangler() -> Option<std::path::PathBuf> {
    let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("wrangler");
    let program = std::env::var_os("DOCENT_WRANGLER").map_or(place.join("bin/nbw"), Into::into);
    if program.is_file() {
        return Some(program);
    }
    not_run("nb-wrangler", "no nb-wrangler (scripts/setup wrangler installs it)");
    None
}
