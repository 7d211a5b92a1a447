//! Links. Inside docent they are relative, so that the pages work at any address behind any proxy; to the outside
//! they lead only where a forge's page can be.

use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::core::id::{AttemptId, PullId, RunId, Sha};

/// An address of a page on a forge, if a person may be sent there: `http` or `https`, no name or password in it.
pub fn outside(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let is_fit = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && address.len() <= 2000;
    is_fit.then(|| url.to_string())
}

/// The page of a commit, given the page of its repository. The forges that docent knows agree on it.
pub fn commit(repository_page: &str, sha: &Sha) -> Option<String> {
    outside(&format!("{}/commit/{sha}", repository_page.trim_end_matches('/')))
}

/// How to get from the page at `path` to the top.
pub fn root(path: &str) -> String {
    match path.matches('/').count() {
        0 | 1 => "./".to_owned(),
        depth => "../".repeat((depth - 1).min(20)),
    }
}

/// From the top to a run.
pub fn run(id: RunId) -> String {
    format!("runs/{id}")
}

/// From the top to the log of an attempt.
pub fn log(attempt: &AttemptId) -> String {
    format!("runs/{}/log/{}", attempt.run, segment(&attempt.to_string()))
}

/// From the top to an artifact of a run.
pub fn artifact(run: RunId, digest: &str) -> String {
    format!("runs/{run}/artifacts/{}", segment(digest))
}

/// From the top to a pull request.
pub fn pull(id: &PullId) -> String {
    format!("pulls/{}/{}/{}", segment(&id.repository.forge), id.repository.number, id.number)
}

fn segment(text: &str) -> String {
    let encoded: String = byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_where_something_would_run() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//x/y",
            "/x",
            "",
            "http://",
            "https://user:pw@x/",
            "file:///etc",
            "java\nscript:alert(1)",
        ] {
            assert_eq!(outside(bad), None, "{bad}");
        }
        let quoted = outside("https://x/\"><script>").unwrap();
        assert_eq!(quoted, "https://x/%22%3E%3Cscript%3E");
    }

    #[test]
    fn every_depth_finds_the_top() {
        for (path, root_is) in [("/", "./"), ("/runs", "./"), ("/runs/1", "../"), ("/a/b/c", "../../")] {
            assert_eq!(root(path), root_is);
        }
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("a/b c?d#é+"), "a%2Fb%20c%3Fd%23%C3%A9%2B");
    }
}
