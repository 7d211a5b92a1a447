//! Pushes: which of them start runs, and by whose word.

use super::*;
use crate::core::id::{BranchId, Line};

fn main() -> BranchId {
    BranchId { repository: repository(), name: "main".into() }
}

pub(super) fn bench(branches: &[&str], paths: &[&str]) -> Bench {
    let mut bench = Bench::new();
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let watched = bench.policy.repositories.get_mut(&repository()).unwrap();
    (watched.branches, watched.paths) = (texts(branches), texts(paths));
    bench
}

impl Bench {
    pub(super) fn push(&mut self, head: Option<char>) {
        let event = Event::BranchSeen { branch: main(), head: head.map(sha), observed_at: at(self.now) };
        self.event(&event);
        self.now += 10;
    }

    /// Says what the open comparison found. Gives what was compared.
    pub(super) fn compare(&mut self, changed: &[&str]) -> Option<(Line, char, char)> {
        let due = self.outbox.values().find(|due| matches!(due.action, Action::Compare { .. }))?.clone();
        self.outbox.remove(&due.action.key());
        let Action::Compare { line, before, after } = due.action else { return None };
        let letter = |sha: &Sha| sha.as_str().chars().next().unwrap();
        let compared = (line.clone(), letter(&before), letter(&after));
        let changed = changed.iter().map(ToString::to_string).collect();
        let event = Event::Compared { line, before, after, changed };
        self.event(&event);
        let (world, runs) = (self.world.clone(), self.world.runs.len());
        self.event(&event);
        assert_eq!((&world, runs), (&self.world, self.world.runs.len()), "delivered twice");
        Some(compared)
    }

    fn finish(&mut self, id: i64) {
        self.prepare(id, &["a.ipynb"]);
        self.end(id, exited(0), vec![]);
        self.end(id, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
        self.release(id);
    }

    fn see_from(&mut self, number: u64, head: char, change: impl Fn(&mut PullRequest)) {
        let mut seen = pull(number, head, true);
        seen.head_repository = Some("astro/notebooks".into());
        change(&mut seen);
        self.event(&Event::PullSeen { pull: seen, observed_at: at(self.now), is_first: self.is_first });
        self.now += 10;
    }
}

#[test]
fn a_push_that_changes_what_is_watched_starts_a_trusted_run_by_docents_own_rule() {
    let mut bench = bench(&["main"], &["notebooks/**"]);
    bench.push(Some('a'));
    assert_eq!(bench.compare(&[]), None, "where watching begins nothing is new");
    bench.push(Some('b'));
    assert_eq!(bench.compare(&["README.md"]), Some((Line::Branch(main()), 'a', 'b')));
    assert!(bench.world.runs.is_empty());
    bench.push(Some('c'));
    assert_eq!(bench.compare(&["notebooks/x/a.ipynb", "README.md"]), Some((Line::Branch(main()), 'b', 'c')));
    let run = bench.run(1);
    assert_eq!((run.phase, &run.accepted_by), (Phase::Preparing, &Some(Party::Docent)));
    assert!(!run.request.is_untrusted && run.request.sha == Some(sha('c')) && run.request.pull.is_none());
    let Trigger::Push { branch, changed, rule } = &run.request.trigger else { panic!() };
    assert_eq!((branch, changed.as_slice()), (&main(), &["notebooks/x/a.ipynb".to_owned()][..]));
    assert!(rule.contains("a push to main changed notebooks/x/a.ipynb"), "{rule}");
    assert!(bench.outbox.contains_key(&Action::SetStatus { run: RunId(1) }.key()), "a commit status");
    bench.finish(1);
    assert_eq!(bench.run(1).phase, Phase::Completed);
    bench.push(Some('c'));
    assert_eq!(bench.compare(&["notebooks/x/a.ipynb"]), None, "the same again");
}

#[test]
fn without_paths_every_change_of_a_watched_branch_counts_and_no_other_branch() {
    let mut bench = bench(&["main"], &[]);
    bench.push(Some('a'));
    bench.push(Some('b'));
    bench.compare(&["README.md"]);
    assert_eq!(bench.world.runs.len(), 1);
    let other = BranchId { name: "other".into(), ..main() };
    for letter in ['a', 'b'] {
        let head = Some(sha(letter));
        bench.event(&Event::BranchSeen { branch: other.clone(), head, observed_at: at(bench.now) });
    }
    assert!(!bench.world.branches.contains_key(&other));
}

#[test]
fn a_later_push_covers_an_earlier_one_that_was_not_judged_yet() {
    let mut bench = bench(&["main"], &["notebooks/**"]);
    for head in ['a', 'b', 'c'] {
        bench.push(Some(head));
    }
    assert_eq!(bench.compare(&["notebooks/a.ipynb"]), Some((Line::Branch(main()), 'a', 'b')));
    assert!(bench.world.runs.is_empty(), "b is not the head any more");
    assert_eq!(bench.compare(&["notebooks/a.ipynb"]), Some((Line::Branch(main()), 'a', 'c')));
    assert_eq!(bench.run(1).request.sha, Some(sha('c')));
}

#[test]
fn one_live_run_for_each_branch_and_none_twice_for_one_commit() {
    let mut bench = bench(&["main"], &[]);
    bench.policy.slots = 5;
    for head in ['a', 'b'] {
        bench.push(Some(head));
    }
    bench.compare(&["x"]);
    bench.push(Some('c'));
    bench.compare(&["x"]);
    assert!(bench.run(1).cancel.is_some(), "superseded");
    assert_eq!(bench.run(2).phase, Phase::Waiting, "until the first one is gone");
    bench.prepare(1, &[]);
    bench.release(1);
    assert_eq!((bench.run(1).phase, bench.run(2).phase), (Phase::Cancelled, Phase::Preparing));
    bench.prepare(2, &["a.ipynb"]);
    bench.end(2, exited(0), vec![]);
    bench.end(2, exited(0), vec![test("a.ipynb", Outcome::Passed)]);
    bench.push(Some('d'));
    bench.compare(&["x"]);
    assert_eq!(
        (bench.run(2).phase, &bench.run(2).cancel),
        (Phase::Releasing, &None),
        "its results are there"
    );
    bench.release(2);
    // A force push back to what had its run.
    bench.push(Some('c'));
    bench.compare(&["x"]);
    assert_eq!(bench.world.runs.len(), 3);
    assert_eq!(bench.world.branches[&main()].why, "this commit had a run before");
}

#[test]
fn a_branch_that_goes_takes_its_runs_along_and_comes_back_where_it_was() {
    let mut bench = bench(&["main"], &[]);
    for head in ['a', 'b'] {
        bench.push(Some(head));
    }
    bench.compare(&["x"]);
    bench.push(None);
    assert_eq!(bench.run(1).cancel.as_ref().unwrap().why, "the branch was deleted");
    bench.push(Some('b'));
    assert_eq!(bench.compare(&["x"]), None, "nothing new");
    bench.push(Some('c'));
    assert_eq!(bench.compare(&["x"]), Some((Line::Branch(main()), 'b', 'c')));
}

#[test]
fn a_branch_that_comes_into_being_starts_nothing() {
    let mut bench = bench(&["main"], &[]);
    bench.push(None);
    bench.push(Some('a'));
    assert_eq!(bench.compare(&["x"]), None);
    bench.push(Some('b'));
    assert!(bench.compare(&["x"]).is_some());
}

#[test]
fn an_older_answer_says_nothing_new() {
    let mut bench = bench(&["main"], &[]);
    bench.push(Some('a'));
    bench.push(Some('b'));
    bench.compare(&[]);
    let late = Event::BranchSeen { branch: main(), head: Some(sha('a')), observed_at: at(0) };
    assert_eq!(bench.event(&late).changes, []);
}

#[test]
fn a_comparison_that_fails_is_tried_again_unless_the_next_push_is_there() {
    let mut bench = bench(&["main"], &[]);
    bench.push(Some('a'));
    bench.push(Some('b'));
    let action = Action::Compare { line: Line::Branch(main()), before: sha('a'), after: sha('b') };
    let fault =
        |is_passing| Fault { is_passing, is_the_authors: false, retry_after: None, text: "no way".into() };
    let decision = bench.event(&Event::ActionFailed { action: action.clone(), tries: 0, fault: fault(true) });
    assert_eq!(decision.actions.len(), 1);
    bench.event(&Event::ActionFailed { action: action.clone(), tries: 1, fault: fault(false) });
    assert!(bench.world.branches[&main()].why.contains("no way"));
    bench.push(Some('c'));
    let decision = bench.event(&Event::ActionFailed { action, tries: 1, fault: fault(true) });
    assert_eq!(decision.actions, [], "c is compared with a as well");
}

#[test]
fn a_new_head_of_the_repositorys_own_is_run_and_a_strangers_is_offered() {
    let mut bench = bench(&[], &["notebooks/**"]);
    bench.see_from(1, 'a', |_| {});
    assert_eq!(bench.compare(&["notebooks/a.ipynb"]), Some((Line::Pull(pull_id(1)), '0', 'a')));
    let run = bench.run(1);
    assert_eq!((run.phase, &run.accepted_by), (Phase::Preparing, &Some(Party::Docent)));
    assert!(run.request.is_untrusted, "as all code of pull requests");
    let strangers: [fn(&mut PullRequest); 4] = [
        |pull| pull.is_from_fork = true,
        |pull| pull.head_repository = None,
        |pull| pull.head_branch = "refs/pull/7/head".into(),
        |pull| pull.head_branch = String::new(),
    ];
    for (index, change) in strangers.into_iter().enumerate() {
        let number = index as u64 + 2;
        bench.see_from(number, 'a', change);
        bench.compare(&["notebooks/a.ipynb"]);
        let run = bench.run(index as i64 + 2);
        assert_eq!((run.phase, &run.accepted_by), (Phase::Offered, &None), "{index}");
    }
    assert_eq!(bench.say(1, 2, MIRA, "!accept aaaaaaa"), [Fate::Accepted { run: RunId(2) }]);
}

#[test]
fn a_head_counts_once_and_not_where_watching_begins() {
    let mut bench = bench(&["main"], &["notebooks/**"]);
    bench.is_first = true;
    bench.see_from(1, 'a', |_| {});
    bench.is_first = false;
    assert_eq!(bench.compare(&["notebooks/a.ipynb"]), None, "it was there before docent");
    bench.see_from(1, 'b', |pull| pull.merge_base = Some(sha('9')));
    assert_eq!(bench.say(1, 1, MIRA, "!testme"), [Fate::Accepted { run: RunId(1) }]);
    let compared = bench.compare(&["notebooks/a.ipynb"]);
    assert_eq!(compared, Some((Line::Pull(pull_id(1)), '9', 'b')), "from where it left the branch");
    assert_eq!(bench.world.runs.len(), 1, "somebody was quicker");
    bench.see_from(1, 'c', |_| {});
    bench.compare(&["README.md"]);
    bench.see_from(1, 'b', |_| {});
    assert_eq!(bench.compare(&["notebooks/a.ipynb"]), None, "b was a head before");
    assert_eq!(bench.world.runs.len(), 1);
}

#[test]
fn pull_requests_start_nothing_without_paths_or_when_closed() {
    let mut bench = bench(&["main"], &[]);
    bench.see_from(1, 'a', |_| {});
    assert_eq!(bench.compare(&["x"]), None);
    let mut bench = self::bench(&[], &["**"]);
    bench.see_from(1, 'a', |_| {});
    bench.see_from(1, 'a', |pull| pull.is_open = false);
    assert!(bench.compare(&["x"]).is_some());
    assert!(bench.world.runs.is_empty());
}

#[test]
fn the_last_pattern_that_fits_decides() {
    let takes = |paths: &[&str], path: &str| {
        let bench = bench(&[], paths);
        Interest::of(&bench.policy.repositories[&repository()]).takes(path)
    };
    assert!(takes(&[], "anything"));
    assert!(
        takes(&["notebooks/**"], "notebooks/a/b.ipynb") && !takes(&["notebooks/*"], "notebooks/a/b.ipynb")
    );
    let without_drafts = ["notebooks/**", "!notebooks/drafts/**"];
    assert!(
        !takes(&without_drafts, "notebooks/drafts/a.ipynb") && takes(&without_drafts, "notebooks/a.ipynb")
    );
    assert!(takes(&["!docs/**"], "a.py") && !takes(&["!docs/**"], "docs/a.md"));
    assert!(takes(&["!docs/**", "docs/run.ipynb"], "docs/run.ipynb"));
}
