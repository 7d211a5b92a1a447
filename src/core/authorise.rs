//! Who may, and for which commit. The answer is a value that can be made nowhere else: without an
//! [`Authorised`] there is no accepted run.

use super::command::ShaPrefix;
use super::id::Sha;
use super::ledger::Refusal;
use super::policy::{Allow, RepositoryPolicy};
use super::pull::{Actor, Examination, ObservedHead, Order, Permission};
use super::run::Party;
use super::time::{Duration, Time};

/// A value that somebody who may has vouched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised<T> {
    value: T,
    by: Party,
}

impl<T> Authorised<T> {
    /// What was authorised, and by whom.
    pub fn into_parts(self) -> (T, Party) {
        (self.value, self.by)
    }
}

/// Somebody who may, here and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    by: Party,
    /// Which rule says so, for `docent explain`.
    pub rule: String,
}

impl Authority {
    /// Vouches for a value.
    pub fn authorise<T>(&self, value: T) -> Authorised<T> {
        Authorised { value, by: self.by.clone() }
    }

    /// Who it is.
    pub fn party(&self) -> &Party {
        &self.by
    }
}

/// The operator may: whoever can use the command line of this installation owns it.
pub fn operator() -> Authority {
    Authority { by: Party::Operator, rule: "the operator, at the command line".to_owned() }
}

/// docent itself may, where a rule of the operator's configuration says so: for code that only those can have pushed who may
/// push to the watched repository.
pub fn rule(rule: &str) -> Authority {
    Authority { by: Party::Docent, rule: rule.to_owned() }
}

/// Whether `actor` may start runs here. Identity is the account's number; names, e-mails and association words give nothing;
/// what the forge did not answer is a no.
pub fn may(
    forge: &str,
    actor: &Actor,
    examination: &Examination,
    policy: &RepositoryPolicy,
) -> Result<Authority, Refusal> {
    let rule = policy.allow.iter().find_map(|allow| match allow {
        Allow::Account { login, number } if *number == actor.number => {
            Some(format!("account {number} ({login}) is on the allow-list"))
        }
        Allow::Team(team) if examination.teams.contains(team) => {
            Some(format!("the forge says that account {} is in {team}", actor.number))
        }
        Allow::Permission(least)
            if *least > Permission::None && examination.permission.is_some_and(|has| has >= *least) =>
        {
            Some(format!("the forge says that account {} may {least:?}", actor.number).to_lowercase())
        }
        _ => None,
    });
    let by = Party::Account { forge: forge.to_owned(), actor: actor.clone() };
    match rule {
        Some(rule) => Ok(Authority { by, rule }),
        None => Err(Refusal::new(
            "not-allowed",
            format!("account {} is not allowed to start or stop runs in {}", actor.number, policy.name),
        )),
    }
}

/// Forges write a push down after they have taken it: up to two seconds later (`docs/reference/forges.md`, «Which head did
/// the commenter see?»), with room for one that is busy.
pub const RECORD_LAG: Duration = Duration::seconds(5);

/// So long after a comment, by whole seconds, a push may be on record that came before it: the most that speaks for «push, then
/// comment» rather than for «comment, then push».
const ONE_BREATH: Duration = Duration::seconds(1);

/// A command: who gave it, and when.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// The comment's author.
    pub by: &'a Actor,
    /// By the forge's clock.
    pub at: Time,
}

/// Which commit a command means: one that its author can have looked at, or none.
///
/// With a SHA: the one observed head of this pull request that it fits. Without: the current head, if the forge's record
/// proves that it is older than the comment, or docent had observed it before the comment was made and nothing has moved since,
/// or the author of the comment pushed it himself at that time. In every other case the answer is the question for the SHA.
pub fn bind(
    wanted: Option<&ShaPrefix>,
    heads: &[ObservedHead],
    current: &Sha,
    said: Said<'_>,
    examination: &Examination,
) -> Result<(Sha, String), Refusal> {
    if let Some(prefix) = wanted {
        let mut fitting: Vec<&Sha> =
            heads.iter().map(|head| &head.sha).filter(|sha| prefix.matches(sha.as_str())).collect();
        fitting.sort();
        fitting.dedup();
        return match fitting.as_slice() {
            [one] => Ok(((*one).clone(), format!("{prefix} is the observed head {}", one.short()))),
            [] => Err(Refusal::new(
                "unknown-sha",
                format!(
                    "{prefix} is not a head of this pull request that docent has seen; its head is {}",
                    current.short()
                ),
            )),
            _ => Err(Refusal::new("ambiguous-sha", format!("{prefix} fits several heads: give more digits"))),
        };
    }
    let ask = |why: &str| {
        Err(Refusal::new(
            "which-commit",
            format!(
                "{why}: write the command again with the commit that you looked at, for example with {}",
                current.short()
            ),
        ))
    };
    match examination.order {
        Order::HeadFirst => {
            Ok((current.clone(), format!("the forge's record shows {} before the comment", current.short())))
        }
        Order::CommentFirst | Order::Unproven if is_own_push(said, examination) => {
            Ok((current.clone(), format!("the comment's author pushed {} when writing it", current.short())))
        }
        Order::CommentFirst => ask("the head moved after the comment was written"),
        Order::Unproven => match heads.last() {
            Some(head) if head.sha == *current && head.observed_at < said.at => {
                Ok((current.clone(), format!("docent had seen {} before the comment", current.short())))
            }
            _ => ask("it is not certain which commit was the head when the comment was written"),
        },
    }
}

/// Whoever pushes and comments in one breath knows what he pushed, although the record, which is late, may show the comment
/// first.
fn is_own_push(said: Said<'_>, examination: &Examination) -> bool {
    let push = examination.push.as_ref();
    push.is_some_and(|push| push.by == said.by.number && push.recorded_at - said.at <= ONE_BREATH)
}

/// Whether the forge may not have written down yet what was pushed before the comment: then it is to be asked again.
pub fn may_be_recorded_yet(said: Said<'_>, examination: &Examination) -> bool {
    examination.order == Order::Unproven
        && examination.push.is_none()
        && examination.observed_at - said.at < RECORD_LAG
}

#[cfg(test)]
mod tests {
    use super::super::pull::PushRecord;
    use super::*;
    use chrono::TimeZone;

    fn sha(letter: char) -> Sha {
        letter.to_string().repeat(40).parse().unwrap()
    }

    fn at(second: i64) -> Time {
        chrono::Utc.timestamp_opt(second, 0).unwrap()
    }

    fn heads(list: &[(char, i64)]) -> Vec<ObservedHead> {
        list.iter()
            .map(|(letter, second)| ObservedHead { sha: sha(*letter), observed_at: at(*second) })
            .collect()
    }

    fn mira() -> Actor {
        Actor { number: 1042, login: "mira".into(), is_bot: false }
    }

    fn examined(order: Order, push: Option<PushRecord>) -> Examination {
        let (permission, teams) = (None, Vec::new());
        Examination { comment: None, pull: None, observed_at: at(100), order, push, permission, teams }
    }

    #[test]
    fn a_command_binds_only_to_what_its_author_can_have_seen() {
        let seen = heads(&[('a', 10), ('b', 20)]);
        let mira = mira();
        let bound = |order, commented, current| {
            let said = Said { by: &mira, at: at(commented) };
            bind(None, &seen, &sha(current), said, &examined(order, None)).map(|(sha, _)| sha)
        };
        assert_eq!(bound(Order::HeadFirst, 15, 'b'), Ok(sha('b')), "the record outweighs docent's own poll");
        assert_eq!(bound(Order::Unproven, 21, 'b'), Ok(sha('b')));
        for (order, commented) in [(Order::Unproven, 20), (Order::Unproven, 15), (Order::CommentFirst, 30)] {
            assert_eq!(
                bound(order, commented, 'b').unwrap_err().code,
                "which-commit",
                "{order:?} {commented}"
            );
        }
        let moved = bound(Order::Unproven, 30, 'c').unwrap_err();
        assert_eq!(moved.code, "which-commit", "a head that docent has not recorded");
    }

    #[test]
    fn whoever_pushes_and_comments_in_one_breath_means_what_he_pushed() {
        let (mira, seen) = (mira(), heads(&[('a', 10)]));
        let bound = |order, by, recorded| {
            let said = Said { by: &mira, at: at(50) };
            let push = PushRecord { by, recorded_at: at(recorded) };
            bind(None, &seen, &sha('b'), said, &examined(order, Some(push))).map(|(sha, _)| sha)
        };
        for order in [Order::CommentFirst, Order::Unproven] {
            assert_eq!(bound(order, 1042, 51), Ok(sha('b')), "her own push, which the record shows late");
            for (by, recorded, why) in
                [(7, 51, "somebody else pushed in that moment"), (1042, 52, "she pushed after the comment")]
            {
                assert_eq!(bound(order, by, recorded).unwrap_err().code, "which-commit", "{order:?}: {why}");
            }
        }
    }

    #[test]
    fn a_record_that_may_be_late_is_asked_again_for_a_moment() {
        let mira = mira();
        let late = |order, push, commented| {
            may_be_recorded_yet(Said { by: &mira, at: at(commented) }, &examined(order, push))
        };
        assert!(late(Order::Unproven, None, 96));
        assert!(!late(Order::Unproven, None, 95), "it would be there by now");
        assert!(!late(Order::CommentFirst, None, 99) && !late(Order::HeadFirst, None, 99));
        assert!(!late(Order::Unproven, Some(PushRecord { by: 7, recorded_at: at(99) }), 99));
    }

    #[test]
    fn a_sha_counts_only_if_it_was_a_head_here() {
        let seen = heads(&[('a', 10), ('b', 20)]);
        let mira = mira();
        let with = |text: &str| {
            let prefix = ShaPrefix::parse(text).unwrap();
            let said = Said { by: &mira, at: at(0) };
            let examination = examined(Order::CommentFirst, None);
            bind(Some(&prefix), &seen, &sha('b'), said, &examination).map(|(sha, _)| sha)
        };
        assert_eq!(with("aaaaaaa"), Ok(sha('a')));
        assert_eq!(with(&"b".repeat(40)), Ok(sha('b')));
        assert_eq!(with("ccccccc").unwrap_err().code, "unknown-sha");
    }

    #[test]
    fn numbers_decide_and_silence_is_a_no() {
        let policy = |allow| RepositoryPolicy {
            name: "astro/notebooks".into(),
            recipe: None,
            allow,
            branches: vec![],
            paths: vec![],
            extra: Default::default(),
            has_reports: true,
            publish: None,
        };
        let mira = mira();
        let asked = |permission, teams: &[&str]| Examination {
            permission,
            teams: teams.iter().map(ToString::to_string).collect(),
            ..examined(Order::Unproven, None)
        };
        let number = policy(vec![Allow::Account { login: "somebody".into(), number: 1042 }]);
        let name = policy(vec![Allow::Account { login: "mira".into(), number: 7 }]);
        let team = policy(vec![Allow::Team("astro/curators".into())]);
        let write = policy(vec![Allow::Permission(Permission::Write)]);
        let none = policy(vec![Allow::Permission(Permission::None)]);
        let can = |policy: &RepositoryPolicy, examination: &Examination| {
            may("f", &mira, examination, policy).is_ok()
        };
        assert!(can(&number, &asked(None, &[])));
        assert!(!can(&name, &asked(Some(Permission::Admin), &["astro/curators"])));
        assert!(!can(&policy(vec![]), &asked(Some(Permission::Admin), &["astro/curators"])));
        assert!(can(&team, &asked(None, &["astro/curators"])));
        assert!(!can(&team, &asked(Some(Permission::Admin), &["other/curators"])));
        assert!(
            can(&write, &asked(Some(Permission::Write), &[]))
                && can(&write, &asked(Some(Permission::Admin), &[]))
        );
        assert!(!can(&write, &asked(None, &[])) && !can(&write, &asked(Some(Permission::Read), &[])));
        assert!(!can(&none, &asked(Some(Permission::None), &[])), "no permission is no permission");
    }
}
