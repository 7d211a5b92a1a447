//! What an attempt sees, the same wherever it runs.

use std::collections::BTreeMap;

use super::{Job, Limits};

/// The user (and group) of everything that runs: `nobody`.
pub const USER: u32 = 65534;

/// Where programs are found.
pub const PATH: &str = "/opt/tools/bin:/usr/local/bin:/usr/bin:/bin";

/// Open files of one process.
pub const OPEN_FILES: u32 = 4096;

/// The variables of an attempt: its own, those that come with a network, and on top of both the contract's.
pub fn variables(job: &Job, access: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fixed = [("PATH", PATH), ("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("DOCENT_OUT", "/out")];
    let mut variables = job.variables.clone();
    variables.extend(access.clone());
    variables.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

/// Size of `/tmp` in bytes. It counts as memory, so it gets half of that at most.
pub fn tmp_bytes(limits: &Limits) -> u64 {
    limits.disk_bytes.min(limits.memory_bytes / 2)
}
