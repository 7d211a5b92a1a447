//! What happens, from what somebody writes on a pull request to what docent answers there: the real daemon, a real
//! database file, the embedded forge over HTTP, scripted attempts. The stage fails on everything that a test did not expect.

mod baseline;
mod commands;
mod curating;
mod curator;
mod deferred;
mod executor_trouble;
mod extra;
mod forge_trouble;
mod publishing;
mod pushes;
mod queue;
mod reports;
mod reuse;
mod services;
mod stopping;

#[path = "../support/stage/mod.rs"]
mod stage;
#[path = "../support/mod.rs"]
mod support;

/// The story of a run in which everything went well.
pub const GOOD: &str = "COMPLETED pass: first-1 passed, second-1 passed";
