//! The slow lane: repositories are read whole now and then, for what the feeds do not show. It stays slow however many are watched,
//! so that watching costs what changes: a whole read is a handful of requests, and there is one in [`GAP`] at most.

use super::time::{Duration, Time};

/// How often a repository is read whole, where there are few.
pub const INTERVAL: Duration = Duration::hours(1);
/// Between two whole reads on one forge. At the usual interval of polls that is one in four of them.
pub const GAP: Duration = Duration::minutes(2);

/// The repository whose turn it is, if it is anybody's: each with its number and when it was last read whole.
pub fn due(seen: &[(u64, Option<Time>)], now: Time) -> Option<u64> {
    if seen.iter().any(|(_, last)| last.is_some_and(|last| now - last < GAP)) {
        return None;
    }
    let longest_ago = seen.iter().min_by_key(|(number, last)| (*last, *number))?;
    longest_ago.1.is_none_or(|last| now - last >= INTERVAL).then_some(longest_ago.0)
}

/// What is asked of a forge before a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enrolling {
    /// What its watch credential can do, and which repositories are not known yet.
    All,
    /// Only the latter.
    LookUp,
    /// Neither.
    Nothing,
}

/// How long a judgement of a credential holds: an account may be made an administrator any day.
const JUDGED: Duration = Duration::hours(24);
/// Between two looks for a repository that is not there, which may be a slip in the configuration for ever.
const LOOK_UP: Duration = Duration::minutes(1);

/// `judged` and `looked` are how long ago that was; none: not yet. `is_whole`: every configured repository is known.
pub fn enrolling(judged: Option<Duration>, looked: Option<Duration>, is_whole: bool) -> Enrolling {
    if judged.is_none_or(|ago| ago >= JUDGED) {
        Enrolling::All
    } else if !is_whole && looked.is_none_or(|ago| ago >= LOOK_UP) {
        Enrolling::LookUp
    } else {
        Enrolling::Nothing
    }
}

/// The interval while something goes on, where a poll costs so many requests: short, and of GitHub's 5,000 an hour a half is left.
pub fn lively(requests: u64) -> std::time::Duration {
    const LEAST: u64 = 5_000;
    const REQUEST: u64 = 1_440;
    std::time::Duration::from_millis(requests.saturating_mul(REQUEST).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_judged_daily_and_what_is_missing_looked_for_every_minute() {
        let (now, minute, day) =
            (Some(Duration::zero()), Some(Duration::minutes(1)), Some(Duration::hours(24)));
        for (judged, looked, is_whole, expected) in [
            (None, None, true, Enrolling::All),
            (None, now, true, Enrolling::All),
            (now, now, true, Enrolling::Nothing),
            (now, now, false, Enrolling::Nothing),
            (minute, minute, true, Enrolling::Nothing),
            (minute, minute, false, Enrolling::LookUp),
            (day, now, true, Enrolling::All),
        ] {
            assert_eq!(enrolling(judged, looked, is_whole), expected, "{judged:?} {looked:?} {is_whole}");
        }
    }

    #[test]
    fn a_poll_of_many_requests_is_no_more_often_than_the_forge_allows() {
        assert_eq!(lively(1).as_millis(), 5_000);
        assert_eq!(lively(10).as_millis(), 14_400);
    }

    fn at(minute: i64) -> Time {
        Time::UNIX_EPOCH + Duration::minutes(minute)
    }

    #[test]
    fn one_at_a_time_the_longest_ago_first() {
        for (what, seen, expected) in [
            ("none is watched", vec![], None),
            ("never read", vec![(7, Some(at(0))), (9, None), (8, None)], Some(8)),
            ("all within the hour", vec![(7, Some(at(50))), (8, Some(at(70)))], None),
            ("two are due", vec![(7, Some(at(30))), (8, Some(at(20))), (9, Some(at(90)))], Some(8)),
            ("another was read a minute ago", vec![(7, None), (8, Some(at(99)))], None),
            ("another was read two minutes ago", vec![(7, None), (8, Some(at(98)))], Some(7)),
        ] {
            assert_eq!(due(&seen, at(100)), expected, "{what}");
        }
    }
}
