//! Pure values, rules and words: no I/O, no clock, no async. Modules stand in the order in which the data travels.

pub mod id;
pub mod index;
pub mod mistake;
pub mod reader;
pub mod reconcile;
pub mod time;

pub mod pull;
pub mod recipe;
pub mod service;

pub mod event;

pub mod command;
pub mod ledger;

pub mod authorise;
pub mod extra;
pub mod policy;

pub mod baseline;
pub mod bundle;
pub mod credential;
pub mod curated;
pub mod curation;
pub mod environment;
pub mod image_name;
pub mod installation;
pub mod lock;
pub mod meaning;

pub mod deferred;
pub mod notebook;
pub mod plan;
pub mod publishing;
pub mod reuse;
pub mod run;
pub mod select;
pub mod spec;

pub mod action;
pub mod backoff;
pub mod decide;
pub mod world;

pub mod outcome;
pub mod verdict;

pub mod result;

pub mod neutral;
pub mod report;
