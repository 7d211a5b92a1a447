//! Broken and hostile specs.
use super::{GOOD, changed, read};
