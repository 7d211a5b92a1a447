//! Services beside the tiers of a run, on a real engine: a real server whose state later tiers find, deaths of docent at every
//! moment of its life, and services that mean harm.

use std::process::Command;

#[path = "../hostile/mod.rs"]
mod hostile;
#[path = "../support/served.rs"]
#[allow(dead_code, reason = "of what it tells, this uses a part")]
mod served;

mod beside;
mod killed;
mod laptop;
mod redis;

/// Containers, volumes and networks that carry this label.
fn left_at_the_engine(label: &str) -> String {
    let label = format!("label={label}");
    let lists: [&[&str]; 3] = [&["ps", "-aq"], &["volume", "ls", "-q"], &["network", "ls", "-q"]];
    let list = |words: &&[&str]| {
        let output = Command::new("docker").args(*words).args(["--filter", &label]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    lists.iter().map(list).collect()
}
