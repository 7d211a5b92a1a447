//! What a report credential needs, and what it holds beyond that.

/// Rights that reporting takes: comments, and statuses where they are wanted. Gitea and Forgejo name a status' right by the
/// repository's; GitHub names rights of an App, and scopes of a classic token, which has no narrower one for comments.
const OF_REPORTING: [&str; 8] = [
    "write:issue",
    "write:repository",
    "issues: write",
    "pull_requests: write",
    "statuses: write",
    "repo:status",
    "public_repo",
    "repo",
];

/// Those of `rights`, as a forge driver names them, that reporting does not need.
pub fn beyond_reporting(rights: &[String]) -> Vec<&str> {
    // Whose right it is stands behind it: `issues: write (App)`.
    let name = |right: &String| right.split_once(" (").map_or(right.as_str(), |(name, _)| name).to_owned();
    let is_beyond = |right: &&String| !OF_REPORTING.contains(&name(right).as_str());
    rights.iter().filter(is_beyond).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reporting_does_not_need_is_named() {
        let beyond = |rights: &[&str]| {
            let rights: Vec<String> = rights.iter().map(ToString::to_string).collect();
            beyond_reporting(&rights).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(beyond(&["write:issue", "write:repository"]).is_empty());
        assert!(beyond(&["issues: write (App)", "statuses: write (token)", "public_repo"]).is_empty());
        assert_eq!(beyond(&["write:issue", "write:organization"]), ["write:organization"]);
        for all in ["all", "administrator", "all (or read:admin)", "contents: write (App)", "delete_repo"] {
            assert_eq!(beyond(&["write:issue", all]), [all]);
        }
    }
}
