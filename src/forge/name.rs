//! `owner/name`.

use super::{ForgeError, ForgeErrorKind};

/// `owner/name` in its two parts.
pub fn split<'a>(forge: &str, name: &'a str) -> Result<(&'a str, &'a str), ForgeError> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('/');
    name.split_once('/').filter(|(owner, name)| is_plain(owner) && is_plain(name)).ok_or_else(|| ForgeError {
        forge: forge.to_owned(),
        kind: ForgeErrorKind::Refused,
        what: format!("looking up {name:?}"),
        detail: "a repository is named owner/name".to_owned(),
        retry_after: None,
    })
}
