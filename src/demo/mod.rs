//! An embedded forge and a sample repository, for `docent demo` and for the scenario tests.

pub mod forge;
pub mod sample;
