//! Pure values, rules and words: no I/O, no clock, no async. Modules stand in the order in which the data travels.

pub mod id;
pub mod time;

pub mod pull;
pub mod recipe;

pub mod outcome;
pub mod verdict;
