//! Time as data: it is passed in, never read, so that every rule can be tested with any time.

pub use chrono::Duration;

/// An instant, in UTC.
pub type Time = chrono::DateTime<chrono::Utc>;

/// `2026-03-01 10:02:11Z`: for people.
pub fn for_people(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `850 ms`, `12.3 s`, `4 min 5 s`, `2 h 3 min`: a length of time for people.
pub fn length_for_people(length: Duration) -> String {
    let seconds = length.num_seconds().max(0);
    match seconds {
        0 => format!("{} ms", length.num_milliseconds().max(0)),
        1..=59 => format!("{:.1} s", length.num_milliseconds() as f64 / 1000.0),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
