//! The rules as tables.

use chrono::TimeZone;

use super::*;
use crate::core::command::{self, Command, ShaPrefix};
use crate::core::id::{PullId, RepositoryId};

#[test]
fn stages_are_a_list_of_known_names() {
    let table: &[(&str, Result<bool, &str>)] = &[
        ("", Ok(false)),
        ("default", Ok(false)),
        ("extra", Ok(true)),
        ("default,extra", Ok(true)),
        ("  extra\n default, ", Ok(true)),
        ("Extra", Err("there is no stage \"Extra\": there are default, extra")),
        ("extra;default", Err("there is no stage \"extra;default\": there are default, extra")),
        ("extra,notebooks", Err("there is no stage \"notebooks\": there are default, extra")),
    ];
    for (list, expected) in table {
        assert_eq!(stages(list), expected.map_err(str::to_owned), "{list:?}");
    }
}

fn at(hour: i64) -> Time {
    chrono::Utc.timestamp_opt(1_700_000_000 + hour * 3600, 0).unwrap()
}

#[test]
fn the_quota_is_of_the_last_24_hours_and_makes_offers_of_what_is_beyond() {
    /// Quota, hours at which runs were asked for, hour of the question, hour at which the next is free.
    type Row = (Option<usize>, &'static [i64], i64, Option<i64>);
    let table: &[Row] = &[
        (None, &[1, 2, 3, 4], 5, None),
        (Some(2), &[], 5, None),
        (Some(2), &[4], 5, None),
        (Some(2), &[1, 4], 5, Some(25)),
        (Some(2), &[4, 1], 5, Some(25)),
        (Some(2), &[1, 2, 3], 5, Some(26)),
        (Some(2), &[1, 2, 3], 25, Some(26)),
        (Some(2), &[1, 2, 3], 26, None),
        (Some(1), &[1], 24, Some(25)),
        (Some(1), &[1], 25, None),
    ];
    for (per_day, used, now, free) in table {
        let policy = ExtraPolicy { rule: ExtraRule::Run, per_day: *per_day };
        let used: Vec<Time> = used.iter().map(|hour| at(*hour)).collect();
        let judged = judge(&policy, &used, at(*now)).unwrap();
        assert_eq!(judged.is_some(), free.is_some(), "{per_day:?} {used:?} {now}");
        if let (Some(why), Some(free)) = (judged, free) {
            assert!(why.ends_with(&format!("is free at {}", for_people(at(*free)))), "{why}");
        }
    }
    let judged = |rule| judge(&ExtraPolicy { rule, per_day: Some(5) }, &[], at(0));
    assert!(judged(ExtraRule::Offer).unwrap().is_some());
    assert_eq!(judged(ExtraRule::Never).unwrap_err().code, "no-extra-tests");
}

fn pull(head_repository: Option<&str>, is_from_fork: bool) -> PullRequest {
    PullRequest {
        id: PullId { repository: RepositoryId { forge: "f".into(), number: 1 }, number: 1 },
        title: String::new(),
        author: None,
        is_open: true,
        head: "abcdef0123456789abcdef0123456789abcdef01".parse().unwrap(),
        head_branch: "flat".into(),
        head_repository: head_repository.map(str::to_owned),
        is_from_fork,
        base: "0".repeat(40).parse().unwrap(),
        base_branch: "main".into(),
        merge_base: None,
        page_url: String::new(),
        updated_at: at(0),
    }
}

#[test]
fn extra_tests_of_code_from_outside_need_the_commit() {
    let (own, fork, gone) = (pull(Some("a/b"), false), pull(Some("guest/b"), true), pull(None, false));
    let grammar = Grammar::default();
    let asked = |extra_tests, sha: Option<&str>| TestOptions {
        extra_tests,
        sha: sha.map(|sha| ShaPrefix::parse(sha).unwrap()),
        ..TestOptions::default()
    };
    for pull in [&own, &fork, &gone] {
        assert!(bind(&asked(false, None), pull, &grammar).is_ok());
        assert!(bind(&asked(true, Some("abcdef0")), pull, &grammar).is_ok());
    }
    assert!(bind(&asked(true, None), &own, &grammar).is_ok());
    for pull in [&fork, &gone] {
        assert_eq!(bind(&asked(true, None), pull, &grammar).unwrap_err().code, "extra-needs-sha");
    }
    // The command that the refusal asks for is understood, and asks for the same.
    for text in [
        "!testme --extra-tests",
        "!testme --extra-tests --full --tier a --tier b",
        "!testme --notebooks \"a b/**\" --extra-tests --spec 'say \"x\".yaml'",
    ] {
        let read = |text: &str| match &command::read(text, &grammar).found[0].command {
            Ok(Command::Test(options)) => options.clone(),
            other => panic!("{text}: {other:?}"),
        };
        let refusal = bind(&read(text), &fork, &grammar).unwrap_err();
        let (_, written) = refusal.text.split_once(": write ").unwrap();
        let again = read(written);
        assert_eq!(again.sha.as_ref().map(ShaPrefix::as_str), Some("abcdef012345"));
        assert_eq!(TestOptions { sha: None, ..again }, read(text));
    }
}

#[test]
fn one_of_several_slots_is_left_for_others() {
    for (slots, most) in [(1, 1), (2, 1), (3, 2), (8, 7)] {
        assert_eq!(most_slots(slots), most);
    }
}
