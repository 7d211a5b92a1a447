//! Which commit a `ref` is.

use super::super::refs::{NoCommit, RemoteRef, resolve};
use crate::core::id::Sha;

fn sha(digit: char) -> Sha {
    digit.to_string().repeat(40).parse().unwrap()
}

fn refs() -> Vec<RemoteRef> {
    let plain = |name: &str, digit| RemoteRef { name: name.to_owned(), sha: sha(digit), peeled: None };
    vec![
        plain("refs/heads/main", '1'),
        plain("refs/heads/2026.2", '2'),
        plain("refs/tags/2026.1", '3'),
        plain("refs/tags/2026.1.9", '4'),
        RemoteRef { name: "refs/tags/2026.1.10".into(), sha: sha('5'), peeled: Some(sha('6')) },
        plain("refs/tags/2026.2.1", '7'),
        plain("refs/tags/2025.3.9", '8'),
        plain("refs/tags/2025.3.10", '9'),
        plain("refs/tags/2025.3.10-rc1", 'a'),
        plain("refs/tags/2025.3.99999999999999999999", 'b'),
        plain("refs/heads/cccccccccccccccccccccccccccccccccccccccc", 'd'),
        plain("refs/tags/main.1", 'e'),
        plain("refs/pull/1/head", 'f'),
    ]
}

#[test]
fn exact_names_come_first_and_numbers_are_numbers() {
    for (wanted, digit, name) in [
        ("main", '1', Some("main")),
        ("refs/heads/main", '1', Some("main")),
        ("2026.2", '2', Some("2026.2")),
        ("2026.1", '3', Some("2026.1")),
        ("2026.1.10", '6', Some("2026.1.10")),
        ("2025.3", 'b', Some("2025.3.99999999999999999999")),
        ("cccccccccccccccccccccccccccccccccccccccc", 'c', None),
    ] {
        let resolved = resolve(&refs(), wanted).unwrap();
        assert_eq!((resolved.sha, resolved.name.as_deref()), (sha(digit), name), "{wanted}");
    }
    let without: Vec<RemoteRef> = refs().into_iter().filter(|one| !one.name.ends_with("99999")).collect();
    assert_eq!(
        resolve(&without, "2025.3").unwrap().sha,
        sha('9'),
        ".10 is after .9, and a candidate is no release"
    );
}

#[test]
fn what_is_nothing_is_told_apart_from_the_begin_of_a_commit() {
    assert_eq!(resolve(&refs(), "gone"), Err(NoCommit::Unknown("gone".into())));
    assert_eq!(resolve(&refs(), "2025"), Err(NoCommit::Unknown("2025".into())), "only a number may follow");
    assert_eq!(resolve(&refs(), "1111111"), Err(NoCommit::Short("1111111".into())));
    assert_eq!(resolve(&refs(), "pull/1/head"), Err(NoCommit::Unknown("pull/1/head".into())));
    assert!(resolve(&refs(), "gone").unwrap_err().to_string().contains("\"gone\""));
}
