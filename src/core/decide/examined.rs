//! A comment with a command, after its forge was asked about it once more: is it still what it was, may its author, and does the
//! record say enough to act now?

use sha2::{Digest, Sha256};

use super::Deciding;
use super::command::hex;
use crate::core::action::Action;
use crate::core::authorise::{self, Authority};
use crate::core::command::Command;
use crate::core::id::{CommentId, PullId};
use crate::core::ledger::{Asked, Entry, Fate, Refusal};
use crate::core::policy::RepositoryPolicy;
use crate::core::pull::{Actor, Examination, PullRequest};
use crate::core::time::{Duration, Time};
use crate::core::world::Change;

/// What a command is judged by: who asks, where, and what the forge says of both.
pub(super) struct Case<'a> {
    pub comment: &'a CommentId,
    pub page_url: &'a str,
    pub actor: &'a Actor,
    pub pull: &'a PullRequest,
    pub examination: &'a Examination,
    pub policy: &'a RepositoryPolicy,
    pub authority: Result<Authority, Refusal>,
    pub created_at: Time,
}

impl Case<'_> {
    pub fn said(&self) -> authorise::Said<'_> {
        authorise::Said { by: self.actor, at: self.created_at }
    }
}

/// How long to wait for a forge's record that may be late.
const RECORD_PAUSE: Duration = Duration::seconds(2);

impl Deciding<'_> {
    pub(super) fn comment_examined(&mut self, id: &CommentId, examination: &Examination) {
        let Some(entry) = self.world.comments.get(id).cloned() else { return };
        if let Some(pull) = &examination.pull {
            self.pull_seen(pull, examination.observed_at, false);
        }
        let refuse = |code: &str, text: &str| Some(Refusal::new(code, text));
        let objection = match (&examination.comment, &examination.pull) {
            (None, _) => refuse("deleted", "the comment was deleted before docent could act on it"),
            (Some(comment), _)
                if comment.is_edited || hex(&Sha256::digest(comment.body.as_bytes())) != entry.digest =>
            {
                refuse("edited", "the comment was edited: write a new one")
            }
            (_, None) => refuse("no-pull", "the pull request is gone"),
            (_, Some(pull)) if !pull.is_open => refuse("closed", "the pull request is closed"),
            _ => None,
        };
        if let Some(refusal) = objection {
            return self.refuse_all(id, &refusal);
        }
        let policy = self.policy;
        let (Some(pull), Some(actor), Some(repository)) =
            (&examination.pull, &entry.author, policy.repository(&id.repository))
        else {
            return self
                .refuse_all(id, &Refusal::new("not-watched", "the repository is not watched any more"));
        };
        let case = Case {
            comment: id,
            page_url: &entry.page_url,
            actor,
            pull,
            examination,
            policy: repository,
            authority: authorise::may(&id.repository.forge, actor, examination, repository),
            created_at: entry.created_at,
        };
        if self.is_too_early(&case, &entry) {
            let again = Action::Examine { comment: id.clone(), pull: entry.pull };
            return self.act_at(again, self.now + RECORD_PAUSE);
        }
        for (index, asked) in entry.commands.iter().enumerate() {
            let (Fate::Pending, Some(command)) = (&asked.fate, &asked.command) else { continue };
            let mut path = vec![match &case.authority {
                Ok(authority) => authority.rule.clone(),
                Err(refusal) => refusal.text.clone(),
            }];
            let fate =
                self.obey(&case, command, &mut path).unwrap_or_else(|refusal| Fate::Refused { refusal });
            self.change(Change::CommandDecided { comment: id.clone(), index, fate, path });
        }
        self.report(&pull.id);
    }

    /// Whether a command that would be asked back for its commit can be understood in a moment, when the forge has written
    /// down what was pushed. A forge whose clock stands still is not waited for.
    fn is_too_early(&self, case: &Case<'_>, entry: &Entry) -> bool {
        let names_no_commit = |asked: &Asked| {
            asked.fate == Fate::Pending
                && matches!(&asked.command, Some(Command::Test(options)) if options.sha.is_none())
        };
        let heads = self.heads_of(&case.pull.id);
        case.authority.is_ok()
            && entry.commands.iter().any(names_no_commit)
            && self.now - entry.seen_at < authorise::RECORD_LAG * 2
            && authorise::may_be_recorded_yet(case.said(), case.examination)
            && authorise::bind(None, &heads, &case.pull.head, case.said(), case.examination).is_err()
    }

    pub(super) fn refuse_all(&mut self, id: &CommentId, refusal: &Refusal) {
        let Some(entry) = self.world.comments.get(id).cloned() else { return };
        for (index, asked) in entry.commands.iter().enumerate() {
            if asked.fate == Fate::Pending {
                let fate = Fate::Refused { refusal: refusal.clone() };
                self.change(Change::CommandDecided { comment: id.clone(), index, fate, path: Vec::new() });
            }
        }
        self.report(&PullId { repository: id.repository.clone(), number: entry.pull });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decide::tests::{Bench, GUEST, MIRA, at, comment, pull};
    use crate::core::event::Event;
    use crate::core::id::RunId;
    use crate::core::pull::{Comment, Order, PushRecord};

    /// `a` is known; somebody pushes `b` and MIRA comments, both at 200; docent asks the forge at once.
    struct Breath {
        bench: Bench,
        said: Comment,
    }

    impl Breath {
        fn new() -> Self {
            let mut bench = Bench::new();
            bench.see(1, 'a');
            bench.now = 200;
            let said = comment(1, 1, MIRA, "!testme", 200);
            bench.event(&Event::CommentSeen { comment: said.clone() });
            Self { bench, said }
        }

        fn examine(&mut self, observed_at: i64, order: Order, push: Option<PushRecord>) {
            self.bench.outbox.clear();
            let examination = Examination {
                comment: Some(self.said.clone()),
                pull: Some(pull(1, 'b', true)),
                observed_at: at(observed_at),
                order,
                push,
                permission: None,
                teams: vec![],
            };
            let (comment, examination) = (self.said.id.clone(), Box::new(examination));
            self.bench.event(&Event::CommentExamined { comment, examination });
        }

        fn is_asked_again(&self) -> bool {
            let key = Action::Examine { comment: self.said.id.clone(), pull: 1 }.key();
            self.bench.outbox.get(&key).is_some_and(|due| due.at == at(self.bench.now) + RECORD_PAUSE)
        }
    }

    #[test]
    fn a_push_and_a_command_in_one_breath_wait_for_the_record_and_run() {
        let mut breath = Breath::new();
        breath.examine(200, Order::Unproven, None);
        assert_eq!(breath.bench.fates(1), [Fate::Pending]);
        assert!(breath.is_asked_again());
        breath.bench.now = 202;
        let push = PushRecord { by: MIRA, recorded_at: at(201) };
        breath.examine(202, Order::CommentFirst, Some(push));
        assert_eq!(breath.bench.fates(1), [Fate::Accepted { run: RunId(1) }]);
        assert_eq!(
            breath.bench.run(1).request.sha.as_ref().map(|sha| sha.short().to_owned()),
            Some("bbbbbbb".into())
        );
    }

    #[test]
    fn what_somebody_else_pushed_in_that_moment_is_asked_about() {
        let mut breath = Breath::new();
        breath.examine(202, Order::CommentFirst, Some(PushRecord { by: GUEST, recorded_at: at(201) }));
        assert!(
            matches!(&breath.bench.fates(1)[..], [Fate::Refused { refusal }] if refusal.code == "which-commit")
        );
        assert!(breath.bench.world.runs.is_empty() && !breath.is_asked_again());
    }

    #[test]
    fn a_record_without_the_push_and_a_clock_that_stands_still_are_not_waited_for_long() {
        for (observed_at, now) in [(205, 205), (200, 210)] {
            let mut breath = Breath::new();
            breath.bench.now = now;
            breath.examine(observed_at, Order::Unproven, None);
            assert!(
                matches!(&breath.bench.fates(1)[..], [Fate::Refused { refusal }] if refusal.code == "which-commit")
            );
            assert!(!breath.is_asked_again());
        }
    }
}
