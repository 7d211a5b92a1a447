//! docent: a CI orchestrator that looks and never touches.
//!
//! Four floors, one direction: `core` decides, the edges (`forge`, `executor`, `store`, `git`, …) act,
//! `daemon` and `web` tie them together, `cli` names the concrete adapters. `docs/architecture.md` is the map.

#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod core;

pub mod bundle;
pub mod clock;
pub mod config;
pub mod executor;
pub mod forge;
pub mod git;
pub mod install;
pub mod publish;
pub mod recipes;
pub mod secrets;
pub mod store;

pub mod daemon;
pub mod demo;
pub mod web;

pub mod cli;
