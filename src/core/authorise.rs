//! Who may, and for which commit. The answer is a value that can be made nowhere else: without an
//! [`Authorised`] there is no accepted run.

use super::command::ShaPrefix;
use super::id::Sha;
use super::ledger::Refusal;
use super::policy::{Allow, RepositoryPolicy};
use super::pull::{Actor, Examination, ObservedHead, Order, Permission};
use super::run::Party;
use super::time::Time;

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

/// Which commit a command means: one that its author can have looked at, or none.
///
/// With a SHA: the one observed head of this pull request that it fits. Without: the current head, if the forge's record
/// proves that it is older than the comment, or docent had observed it before the comment was made and nothing has moved since.
/// In every other case the answer is the question for the SHA.
pub fn bind(
    wanted: Option<&ShaPrefix>,
    heads: &[ObservedHead],
    current: &Sha,
    order: Order,
    commented_at: Time,
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
    match order {
        Order::CommentFirst => ask("the head moved after the comment was written"),
        Order::HeadFirst => {
            Ok((current.clone(), format!("the forge's record shows {} before the comment", current.short())))
        }
        Order::Unproven => match heads.last() {
            Some(head) if head.sha == *current && head.observed_at < commented_at => {
                Ok((current.clone(), format!("docent had seen {} before the comment", current.short())))
            }
            _ => ask("it is not certain which commit was the head when the comment was written"),
        },
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_command_binds_only_to_what_its_author_can_have_seen() {
        let seen = heads(&[('a', 10), ('b', 20)]);
        let bound = |order, commented| bind(None, &seen, &sha('b'), order, at(commented)).map(|(sha, _)| sha);
        assert_eq!(bound(Order::HeadFirst, 15), Ok(sha('b')), "the record outweighs docent's own poll");
        assert_eq!(bound(Order::Unproven, 21), Ok(sha('b')));
        for (order, commented) in [(Order::Unproven, 20), (Order::Unproven, 15), (Order::CommentFirst, 30)] {
            assert_eq!(bound(order, commented).unwrap_err().code, "which-commit", "{order:?} {commented}");
        }
        let moved = bind(None, &seen, &sha('c'), Order::Unproven, at(30)).unwrap_err();
        assert_eq!(moved.code, "which-commit", "a head that docent has not recorded");
    }

    #[test]
    fn a_sha_counts_only_if_it_was_a_head_here() {
        let seen = heads(&[('a', 10), ('b', 20)]);
        let with = |text: &str| {
            let prefix = ShaPrefix::parse(text).unwrap();
            bind(Some(&prefix), &seen, &sha('b'), Order::CommentFirst, at(0)).map(|(sha, _)| sha)
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
        let mira = Actor { number: 1042, login: "mira".into(), is_bot: false };
        let asked = |permission, teams: &[&str]| Examination {
            comment: None,
            pull: None,
            observed_at: at(0),
            order: Order::Unproven,
            permission,
            teams: teams.iter().map(ToString::to_string).collect(),
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
