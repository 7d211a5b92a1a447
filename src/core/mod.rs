//! Pure values, rules and words: no I/O, no clock, no async.

pub mod command;
pub mod neutral;
