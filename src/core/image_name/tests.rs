//! Tables: what people write, and what it means.

use super::*;

fn home() -> Home {
    Home { registry: "reg.example".to_owned(), project: "astro/images".to_owned() }
}

fn tags(list: &[&str]) -> Vec<Tag> {
    list.iter().map(|tag| Tag::new(*tag).unwrap()).collect()
}

#[test]
fn the_artifact_name_is_the_originals() {
    let parts = |image_name| NameParts {
        image_name,
        is_development: true,
        valid_on: Some("2026-04-06"),
        expires_on: Some("2026-10-06"),
    };
    let name = |parts: NameParts<'_>| parts.spec_tag().map(|tag| tag.to_string());
    assert_eq!(name(parts("RomanNexus-2026.1")).unwrap(), "nbs_RomanNexus-2026.1_dev_20260406-20261006");
    assert_eq!(name(parts("Two Words")).unwrap(), "nbs_Two-Words_dev_20260406-20261006");
    let without = NameParts { is_development: false, valid_on: None, expires_on: Some(""), ..parts("ab") };
    assert_eq!(name(without).unwrap(), "nbs_ab_prod_undef-undef");
    for none in ["", "a", ".ab", " ", "a b", "/x", "é2"] {
        let fails = !matches!(none, "a b");
        assert_eq!(name(parts(none)).is_err(), fails, "{none:?}");
    }
    assert!(matches!(name(parts("ab/c")), Err(NameError::Tag { .. })));
    assert!(matches!(name(NameParts { valid_on: Some("1 May"), ..parts("ab") }), Err(NameError::Tag { .. })));
}

#[test]
fn a_name_that_leaves_no_room_for_a_run_number_is_refused_at_once() {
    let of = |length: usize| {
        let image_name = "m".repeat(length);
        let parts = NameParts {
            image_name: &image_name,
            is_development: false,
            valid_on: Some("2026-04-06"),
            expires_on: Some("2026-10-06"),
        };
        parts.spec_tag()
    };
    // nbs_ + moniker + _prod_ + 17 + _1 = 128
    assert_eq!(of(99).unwrap().as_str().len(), 126);
    let error = of(100).unwrap_err().to_string();
    assert!(error.contains("129 characters") && error.contains("shorten image_name"), "{error}");
}

#[test]
fn tags_are_what_registries_take() {
    for good in ["a", "_", "A.b-c_9", &"x".repeat(128)] {
        assert!(Tag::new(good).is_ok(), "{good}");
    }
    for bad in ["", ".a", "-a", "a/b", "a:b", "a b", "é", "a\n", &"x".repeat(129)] {
        assert!(Tag::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn numbers_are_compared_as_numbers() {
    let ordered = [
        "nbs_a_9",
        "nbs_a_10",
        "nbs_a_99999999999999999999999",
        "nbs_a_100000000000000000000000",
        "nbs_b",
        "nbs_b_1",
        "nbs_b_dev_20260406-20261006_9",
        "nbs_b_dev_20260406-20261006_10",
        "nbs_b_prod_20260406-20261006_1",
        "nbs_m-2026.2_1",
        "nbs_m-2026.10_1",
    ];
    let mut shuffled = tags(&ordered);
    shuffled.reverse();
    shuffled.sort();
    assert_eq!(shuffled, tags(&ordered));
    assert_eq!(Tag::new("a_9").unwrap().cmp(&Tag::new("a_09").unwrap()), Ordering::Greater);
    assert_ne!(Tag::new("a_9").unwrap(), Tag::new("a_09").unwrap());
}

#[test]
fn the_next_number_is_one_more_than_the_greatest() {
    let name = Tag::new("nbs_a").unwrap();
    let next = |taken: &[&str]| next_number(&name, taken.iter().copied());
    assert_eq!(next(&[]).unwrap(), 1);
    assert_eq!(next(&["nbs_a", "nbs_a_", "nbs_a_x", "nbs_ab_7", "nbs_a_1_7", "nbs_a_+3"]).unwrap(), 1);
    assert_eq!(next(&["nbs_a_9", "nbs_a_10", "nbs_a_2"]).unwrap(), 11);
    assert_eq!(next(&["nbs_a_007"]).unwrap(), 8);
    assert_eq!(next(&["nbs_a_3", "nbs_a_99999999999999999999999"]).unwrap(), 4, "no run has such a number");
    assert!(matches!(next(&["nbs_a_18446744073709551615"]), Err(NameError::Full { .. })));
}

#[test]
fn short_names_are_filled_in() {
    let tag = |tag: &str| Which::Tag(Tag::new(tag).unwrap());
    let fitting = |pattern: &str| Which::Fitting(pattern.to_owned());
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (text, registry, repository, which) in [
        ("_40", "reg.example", "astro/images", fitting("_40")),
        ("Roman*_40", "reg.example", "astro/images", fitting("Roman*_40")),
        ("nbs_x", "reg.example", "astro/images", fitting("nbs_x")),
        ("proj:tag", "reg.example", "astro/proj", tag("tag")),
        ("org/proj:tag", "reg.example", "org/proj", tag("tag")),
        ("org/proj:_4", "reg.example", "org/proj", fitting("_4")),
        ("other.example/proj:tag", "other.example", "proj", tag("tag")),
        ("other.example/a/b:tag", "other.example", "a/b", tag("tag")),
        ("other.example/a/b:_40", "other.example", "a/b", tag("_40")),
        ("other.example/a/b:*_40", "other.example", "a/b", fitting("*_40")),
        ("127.0.0.1:5000/a:tag", "127.0.0.1:5000", "a", tag("tag")),
        ("localhost:5000/a/b:tag", "localhost:5000", "a/b", tag("tag")),
        ("localhost/a:tag", "localhost", "a", tag("tag")),
        ("a/b/c:tag", "reg.example", "a/b/c", tag("tag")),
        (&format!("org/proj@{digest}"), "reg.example", "org/proj", Which::Digest(digest.clone())),
        (&format!("127.0.0.1:5000/p:t@{digest}"), "127.0.0.1:5000", "p", Which::Digest(digest.clone())),
    ] {
        let wanted = Wanted::read(text, &home()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((wanted.registry.as_str(), wanted.repository.as_str()), (registry, repository), "{text}");
        assert_eq!(wanted.which, which, "{text}");
    }
}

#[test]
fn what_names_nothing_is_said() {
    for (text, about) in [
        ("https://reg.example/a/b:c", "without https://"),
        ("", "empty"),
        ("a b", "blanks"),
        ("org/proj", "add `:TAG`"),
        ("127.0.0.1:5000/proj", "add `:TAG`"),
        ("proj:", "after the colon"),
        ("Proj:tag", "lower-case"),
        ("reg.example/../x:tag", "lower-case"),
        ("reg.example//x:tag", "lower-case"),
        ("reg.example?x/a:tag", "no address of a registry"),
        ("u@reg.example/a:tag", "digest"),
        ("proj@sha256:12", "64 hexadecimal"),
        ("proj:-x", "begins with"),
        ("[a", "unclosed character class"),
    ] {
        let error = Wanted::read(text, &home()).unwrap_err().to_string();
        assert!(error.contains(about), "{text}: {error}");
    }
}

#[test]
fn the_last_that_fits_is_chosen() {
    let there = tags(&[
        "latest",
        "nbs_Roman_dev_20260406-20261006_9",
        "nbs_Roman_dev_20260406-20261006_10",
        "nbs_TIKE_prod_20260406-20261006_3",
        "nbw_Roman_dev_20260406-20261006_11",
    ]);
    let choose = |text: &str| Wanted::read(text, &home()).unwrap().choose(&there);
    for (text, chosen) in [
        ("_9", "nbs_Roman_dev_20260406-20261006_9"),
        ("Roman*", "nbs_Roman_dev_20260406-20261006_10"),
        ("nbs_Roman*", "nbs_Roman_dev_20260406-20261006_10"),
        ("*", "nbs_TIKE_prod_20260406-20261006_3"),
        ("TIKE_prod_20260406-20261006_3", "nbs_TIKE_prod_20260406-20261006_3"),
        ("images:Roman*_?", "nbs_Roman_dev_20260406-20261006_9"),
        // Nothing of a spec fits: another image may.
        ("_11", "nbw_Roman_dev_20260406-20261006_11"),
        ("latest", "latest"),
        ("images:anything", "anything"),
    ] {
        assert_eq!(choose(text).unwrap(), Which::Tag(Tag::new(chosen).unwrap()), "{text}");
    }
    let error = choose("latst").unwrap_err().to_string();
    assert!(
        error.contains("did you mean \"latest\"") && error.contains("reg.example/astro/images"),
        "{error}"
    );
    // In another tool braces are alternatives; in a tag they are nothing.
    assert!(choose("{latest,_9}").is_err());
}

#[test]
fn a_list_is_of_specs_only() {
    let there = tags(&["latest", "nbs_a_10", "nbs_a_9", "nbs_b_1", "nbw_a_11"]);
    let list = |text: &str| {
        let wanted = Wanted::read(text, &home()).unwrap();
        wanted.all(&there).unwrap().into_iter().map(Tag::as_str).collect::<Vec<_>>()
    };
    assert_eq!(list("*"), ["nbs_a_9", "nbs_a_10", "nbs_b_1"]);
    assert_eq!(list("a"), ["nbs_a_9", "nbs_a_10"], "a plain word is a beginning");
    assert_eq!(list("images:a_9"), ["nbs_a_9"]);
    assert_eq!(list("_1"), ["nbs_b_1"]);
    assert_eq!(list("nbs_b*"), ["nbs_b_1"]);
    assert_eq!(list("latest"), Vec::<&str>::new());
    let digest = format!("images@sha256:{}", "0".repeat(64));
    assert!(Wanted::read(&digest, &home()).unwrap().all(&there).is_err());
}
