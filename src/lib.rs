//! docent: a CI orchestrator that looks and never touches.
//!
//! Four floors, one direction: `core` decides, the edges (`forge`, `executor`, `store`, `git`, …) act,
//! `daemon` and `web` tie them together, `cli` names the concrete adapters. `docs/architecture.md` is the map.

pub mod core;

pub mod clock;
pub mod executor;
pub mod forge;
pub mod store;

pub mod web;

pub mod demo;
