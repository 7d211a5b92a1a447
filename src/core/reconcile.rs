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

#[cfg(test)]
mod tests {
    use super::*;

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
