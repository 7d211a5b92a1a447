//! The rules for any text of the tree.

use regex::Regex;

/// Everything in a text that ties the tree to one machine or one registry. The patterns are put together from pieces,
/// so that this file does not find itself.
pub fn complaints_about_text(path: &str, text: &str) -> Vec<String> {
    // Cargo writes the name of its registry into the lock file by itself.
    if path == "Cargo.lock" {
        return Vec::new();
    }
    let places = [
        (concat!(r"(^|[^\w/.-])/wo", r"rk/"), "a path of one machine"),
        (concat!(r"(^|[^\w/.-])/ro", r"ot/"), "a path of one machine"),
        (concat!(r"(^|[^\w-])sha", r"red/\w"), "a path of one machine"),
        (
            concat!(r"(py", r"pi|crates|deb\.deb", r"ian|pythonho", r"sted)\.(org|io)\b"),
            "a package registry's host",
        ),
        (
            concat!(r"(proxy\.gol", r"ang|registry\.npm", r"js|registry\.yarn", r"pkg)\.\w+"),
            "a package registry's host",
        ),
    ];
    let mut complaints = Vec::new();
    for (pattern, what) in places {
        // Hostile code looks for secrets where anybody's are.
        if path.starts_with("tests/hostile/") && what == "a path of one machine" {
            continue;
        }
        let pattern = Regex::new(pattern).expect("the pattern is well formed");
        for (index, line) in text.lines().enumerate() {
            if let Some(found) = pattern.find(line) {
                let found = found.as_str().trim();
                complaints.push(format!("{path}:{}: names {what}: `{found}`", index + 1));
            }
        }
    }
    complaints
}

/// Every link of a document to a file that is not there. `exists` takes a path from the root of the tree.
pub fn complaints_about_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)").expect("the pattern is well formed");
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut complaints = Vec::new();
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        for target in link.captures_iter(line).filter(|_| !is_code).map(|found| found[1].to_owned()) {
            let file = target.split('#').next().unwrap_or_default();
            if target.contains("://") || target.starts_with("mailto:") || file.is_empty() {
                continue;
            }
            let from_root = if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") };
            if !exists(&from_root) {
                complaints.push(format!("{path}:{}: the link `{target}` leads nowhere", index + 1));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::{complaints_about_links, complaints_about_text};
    use crate::assert_caught;

    #[test]
    fn a_path_of_this_machine_or_a_registry_is_caught() {
        for text in [
            concat!("see /wo", "rk/x"),
            concat!("HOME=/ro", "ot/x"),
            concat!("https://py", "pi.org/simple"),
            concat!("registry.npm", "js.org"),
            concat!("sha", "red/DESIGN.md"),
        ] {
            assert_caught(complaints_about_text("docs/x.md", text), "docs/x.md:1:", "names");
        }
        for text in [
            "https://git.example.org/work/x",
            "apt-get install docker.io",
            "a shared / common place",
            "my-crates.toml",
        ] {
            assert_eq!(complaints_about_text("docs/x.md", text), Vec::<String>::new());
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_caught() {
        let exists = |path: &str| path == "docs/a.md";
        let text = "[a](a.md#part) [b](b.md) [c](https://example.org/c.md) [d](#here)\n```\n[e](e.md)\n```";
        assert_caught(complaints_about_links("docs/x.md", text, exists), "docs/x.md:1:", "`b.md`");
        assert_caught(complaints_about_links("README.md", "[a](a.md)", exists), "README.md:1:", "`a.md`");
    }
}
