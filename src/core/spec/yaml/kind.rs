//! What a plain scalar is: text, or something that YAML guesses.

use super::Kind;

/// What a plain scalar is, by the rules of YAML 1.2 as nb-wrangler's reader keeps them.
pub fn plain_kind(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Boolean(true),
        "false" | "False" | "FALSE" => Kind::Boolean(false),
        _ if is_whole(text) || is_fraction(text) => Kind::Number,
        _ if is_date(text) => Kind::Date,
        _ => Kind::Text,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn all(text: &str, fits: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(fits)
}

fn is_digit(sign: char) -> bool {
    sign.is_ascii_digit() || sign == '_'
}

fn is_whole(text: &str) -> bool {
    let text = unsigned(text);
    let of_base = |prefix, base| {
        text.strip_prefix(prefix).is_some_and(|rest| all(rest, |sign| sign.is_digit(base) || sign == '_'))
    };
    all(text, is_digit) && text != "_" || of_base("0b", 2) || of_base("0o", 8) || of_base("0x", 16)
}

fn is_fraction(text: &str) -> bool {
    let text = unsigned(text);
    if matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(unsigned(exponent))),
        None => (text, None),
    };
    if exponent.is_some_and(|exponent| !all(exponent, |sign| sign.is_ascii_digit())) {
        return false;
    }
    let begins = |text: &str| text.starts_with(|sign: char| sign.is_ascii_digit()) && all(text, is_digit);
    match number.split_once('.') {
        Some(("", after)) => all(after, is_digit),
        Some((before, after)) => begins(before) && (after.is_empty() || all(after, is_digit)),
        None => exponent.is_some() && begins(number),
    }
}

/// `2026-04-13`, alone or followed by a time.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', 't', ' ', '\t']) {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return false };
    let digits = |text: &str| all(text, |sign| sign.is_ascii_digit());
    if year.len() != 4 || !digits(year) || !digits(month) || !digits(day) {
        return false;
    }
    match time {
        None => month.len() == 2 && day.len() == 2,
        Some(time) => {
            let is_of_time =
                |sign: char| sign.is_ascii_digit() || matches!(sign, ':' | '.' | '+' | '-' | 'Z' | ' ');
            month.len() <= 2 && day.len() <= 2 && time.matches(':').count() >= 2 && all(time, is_of_time)
        }
    }
}
