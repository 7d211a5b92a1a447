//! When to try again. Retrying is a rule, so it exists once, here.

use super::action::Action;
use super::event::Fault;
use super::time::Duration;

/// What to do about an action that could not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Try again after this much time.
    After(Duration),
    /// Give up.
    Never,
}

/// Tries of a report that the forge refuses, one an hour.
const REFUSED_REPORTS: u32 = 24;

/// The rule: doubling from 2 s up to 5 min, never before the other side's own time. What tears down is tried for ever, because
/// nothing may be left behind; what reports, publishes or
/// looks at a push is tried for about a day; what a person waits for, for about ten minutes.
pub fn after(action: &Action, tries: u32, fault: &Fault) -> Retry {
    let most = match action {
        Action::Release { .. } | Action::Stop { .. } | Action::DropEnvironment { .. } => u32::MAX,
        Action::Report { .. }
        | Action::SetStatus { .. }
        | Action::Compare { .. }
        | Action::Publish { .. } => 300,
        Action::Examine { .. } | Action::Prepare { .. } | Action::LookUpBase { .. } => 9,
        Action::Deploy { .. } | Action::Execute { .. } => 5,
    };
    // A report that was refused is taken as soon as somebody gives docent a better token, or unlocks the pull request.
    if matches!(action, Action::Report { .. } | Action::SetStatus { .. }) && !fault.is_passing {
        return if tries < REFUSED_REPORTS { Retry::After(Duration::hours(1)) } else { Retry::Never };
    }
    let is_hopeless = !fault.is_passing && most != u32::MAX;
    if is_hopeless || tries >= most {
        return Retry::Never;
    }
    let doubled = 2_i64.saturating_mul(1 << tries.min(8)).min(300);
    let asked = fault.retry_after.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0).min(86_400);
    Retry::After(Duration::seconds(doubled.max(asked)))
}

/// How many polls pass before a repository is read whole again, after it could not be read so often in a row: at once, then
/// after one, three, seven, fifteen. One pull request that a forge cannot tell of must not cost its whole repository at each
/// poll, and one that was mended must not stay unseen for long.
pub fn polls_to_skip(times: u32) -> u32 {
    (1 << times.saturating_sub(1).min(4)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::RunId;

    fn fault(is_passing: bool, retry_after: Option<u64>) -> Fault {
        Fault { is_passing, is_the_authors: false, retry_after, text: String::new() }
    }

    #[test]
    fn waits_longer_each_time_and_at_least_as_long_as_asked() {
        let prepare = Action::Prepare { run: RunId(1) };
        assert_eq!(after(&prepare, 0, &fault(true, None)), Retry::After(Duration::seconds(2)));
        assert_eq!(after(&prepare, 3, &fault(true, None)), Retry::After(Duration::seconds(16)));
        assert_eq!(after(&prepare, 0, &fault(true, Some(90))), Retry::After(Duration::seconds(90)));
        assert_eq!(after(&prepare, 9, &fault(true, None)), Retry::Never);
        assert_eq!(after(&prepare, 0, &fault(false, None)), Retry::Never);
    }

    #[test]
    fn a_report_that_is_refused_is_tried_every_hour_for_a_day() {
        let status = Action::SetStatus { run: RunId(1) };
        assert_eq!(after(&status, 0, &fault(false, None)), Retry::After(Duration::hours(1)));
        assert_eq!(after(&status, 23, &fault(false, None)), Retry::After(Duration::hours(1)));
        assert_eq!(after(&status, 24, &fault(false, None)), Retry::Never);
        assert_eq!(after(&status, 0, &fault(true, None)), Retry::After(Duration::seconds(2)));
    }

    #[test]
    fn what_cannot_be_read_is_asked_for_ever_more_seldom() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, u32::MAX].map(polls_to_skip), [0, 0, 1, 3, 7, 15, 15, 15]);
    }

    #[test]
    fn never_gives_up_on_tearing_down() {
        let release = Action::Release { run: RunId(1) };
        assert_eq!(after(&release, 4_000_000, &fault(false, None)), Retry::After(Duration::seconds(300)));
    }
}
