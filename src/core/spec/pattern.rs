//! Regular expressions of Python's `re` in the words of Rust's.
//!
//! Most are the same in both. What is written the same and means something else is rewritten; what cannot be said is
//! refused with its place, because a pattern that is silently skipped selects other notebooks.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const LONGEST: usize = 4096;
/// The memory of one pattern, in bytes.
const LARGEST: usize = 512 << 10;

/// A pattern that can be looked for.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The character at which that shows, counted from 1; 0 for the whole.
    pub at: usize,
    /// What it is and what to do.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            0 => f.write_str(&self.text),
            at => write!(f, "at character {at}: {}", self.text),
        }
    }
}

impl Pattern {
    /// Reads a pattern as Python does.
    pub fn new(text: &str) -> Result<Self, Fault> {
        if text.len() > LONGEST {
            return Err(Fault { at: 0, text: format!("a pattern has at most {LONGEST} bytes") });
        }
        let translated = Translation::new(text).run()?;
        let regex =
            RegexBuilder::new(&translated).size_limit(LARGEST).dfa_size_limit(LARGEST).nest_limit(50).build();
        match regex {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex }),
            Err(regex::Error::CompiledTooBig(_)) => {
                Err(Fault { at: 0, text: "the pattern needs too much memory; repeat less".into() })
            }
            Err(error) => {
                let said = error.to_string();
                let why =
                    said.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                Err(Fault { at: 0, text: format!("this is no regular expression: {why}") })
            }
        }
    }

    /// As it is written in the spec.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// It is found somewhere in `path`.
    pub fn is_in(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }
}

struct Translation {
    signs: Vec<char>,
    at: usize,
    out: String,
    /// What stands before can be repeated.
    is_repeatable: bool,
    /// What stands before is a repetition already.
    is_repeated: bool,
}

type Step = Result<(), Fault>;

impl Translation {
    fn new(text: &str) -> Self {
        let signs = text.chars().collect();
        Self { signs, at: 0, out: String::new(), is_repeatable: false, is_repeated: false }
    }

    fn run(mut self) -> Result<String, Fault> {
        while let Some(sign) = self.next() {
            match sign {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                '*' | '+' | '?' => self.repetition(&sign.to_string())?,
                '{' => self.braces()?,
                '^' | '$' => {
                    self.out.push(sign);
                    self.after(false);
                }
                '|' => {
                    self.out.push(sign);
                    self.after(false);
                }
                ')' => {
                    self.out.push(sign);
                    self.after(true);
                }
                '.' => {
                    self.out.push(sign);
                    self.after(true);
                }
                _ => self.literal(sign),
            }
        }
        Ok(self.out)
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek();
        self.at += usize::from(sign.is_some());
        sign
    }

    fn peek(&self) -> Option<char> {
        self.signs.get(self.at).copied()
    }

    fn rest_begins(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, sign)| self.signs.get(self.at + n) == Some(&sign))
    }

    fn after(&mut self, is_repeatable: bool) {
        self.is_repeatable = is_repeatable;
        self.is_repeated = false;
    }

    /// The fault of what begins `back` signs before the next one.
    fn fault<T>(&self, back: usize, text: impl Into<String>) -> Result<T, Fault> {
        Err(Fault { at: (self.at + 1).saturating_sub(back), text: text.into() })
    }

    fn literal(&mut self, sign: char) {
        self.out.push_str(&regex::escape(&sign.to_string()));
        self.after(true);
    }

    fn repetition(&mut self, written: &str) -> Step {
        let length = written.chars().count();
        if self.is_repeated {
            return self
                .fault(length, "what is repeated already is repeated again; take one of the two away");
        }
        if !self.is_repeatable {
            return self.fault(
                length,
                "there is nothing to repeat; write a backslash before it if the sign is meant",
            );
        }
        self.out.push_str(written);
        match self.peek() {
            Some('?') => {
                self.at += 1;
                self.out.push('?');
            }
            Some('+') => {
                return self
                    .fault(0, "repetitions that give nothing back (`*+`) cannot be used; leave out the `+`");
            }
            _ => {}
        }
        self.is_repeatable = false;
        self.is_repeated = true;
        Ok(())
    }

    /// `{2,3}`; braces around anything else stand for themselves.
    fn braces(&mut self) -> Step {
        let inner: String =
            self.signs.iter().skip(self.at).take_while(|sign| **sign != '}').take(12).collect();
        let is_closed = self.signs.get(self.at + inner.chars().count()) == Some(&'}');
        let (least, most) = match inner.split_once(',') {
            Some((least, most)) => (least, Some(most)),
            None => (inner.as_str(), None),
        };
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_count =
            is_number(least) && most.is_none_or(is_number) && !(least.is_empty() && most.is_none());
        if !is_closed || !is_count {
            self.literal('{');
            return Ok(());
        }
        self.at += inner.chars().count() + 1;
        let least = if least.is_empty() { "0" } else { least };
        let written = match most {
            None => format!("{{{least}}}"),
            Some(most) => format!("{{{least},{most}}}"),
        };
        let length = inner.chars().count() + 2;
        let before = self.at;
        self.repetition(&written).map_err(|mut fault| {
            if self.at == before && fault.at != before + 1 {
                fault.at = before + 1 - length;
            }
            fault
        })
    }

    fn group(&mut self) -> Step {
        self.after(false);
        if self.peek() != Some('?') {
            self.out.push('(');
            return Ok(());
        }
        self.at += 1;
        const AROUND: &str =
            "looking around, `(?=`, `(?!`, `(?<=` and `(?<!`, cannot be used; use exclude_subdirs";
        if self.rest_begins(":") || self.rest_begins("P<") {
            self.out.push_str("(?");
            Ok(())
        } else if self.rest_begins("=")
            || self.rest_begins("!")
            || self.rest_begins("<=")
            || self.rest_begins("<!")
        {
            self.fault(2, AROUND)
        } else if self.rest_begins("P=") {
            self.fault(2, "references back to a group cannot be used; write the alternatives out")
        } else if self.rest_begins(">") {
            self.fault(2, "groups that give nothing back, `(?>`, cannot be used; write `(?:`")
        } else if self.rest_begins("(") {
            self.fault(2, "conditions, `(?(1)`, cannot be used; write the alternatives out")
        } else if self.rest_begins("#") {
            let end = self.signs.iter().skip(self.at).position(|sign| *sign == ')');
            match end {
                Some(end) => {
                    self.at += end + 1;
                    Ok(())
                }
                None => self.fault(2, "this comment does not end; write `)` behind it"),
            }
        } else {
            self.flags()
        }
    }

    /// `(?i)` at the begin, `(?i:` anywhere.
    fn flags(&mut self) -> Step {
        let begin = self.at;
        let flags: String = self
            .signs
            .iter()
            .skip(self.at)
            .take_while(|sign| sign.is_ascii_alphabetic() || **sign == '-')
            .collect();
        self.at += flags.len();
        let end = self.next();
        let is_known = !flags.is_empty() && flags.chars().all(|flag| matches!(flag, 'i' | 'm' | 's' | '-'));
        match end {
            Some(')') if is_known && begin == 2 && !flags.contains('-') => {
                self.out.push_str(&format!("(?{flags})"));
                Ok(())
            }
            Some(':') if is_known => {
                self.out.push_str(&format!("(?{flags}:"));
                Ok(())
            }
            _ => {
                self.at = begin;
                self.fault(2, "of groups that begin with `(?`, only `(?:`, `(?P<name>`, and the flags i, m and s can be used; flags for all stand at the begin")
            }
        }
    }

    fn escape(&mut self) -> Step {
        let Some(sign) = self.next() else {
            return self.fault(1, "a single backslash ends the pattern; write two");
        };
        match sign {
            'A' | 'b' | 'B' => {
                self.out.push('\\');
                self.out.push(sign);
                self.after(false);
            }
            'Z' => {
                self.out.push_str("\\z");
                self.after(false);
            }
            '1'..='9' => {
                return self
                    .fault(2, "references back to a group cannot be used; write the alternatives out");
            }
            _ => {
                let text = self.escaped(sign)?;
                self.out.push_str(&text);
                self.after(true);
            }
        }
        Ok(())
    }

    /// What is the same inside and outside of `[…]`.
    fn escaped(&mut self, sign: char) -> Result<String, Fault> {
        let digits = match sign {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 't' | 'r' | 'f' | 'v' | 'a' => {
                return Ok(format!("\\{sign}"));
            }
            '0' => {
                let digits: String =
                    self.signs.iter().skip(self.at).take(2).take_while(|sign| sign.is_digit(8)).collect();
                self.at += digits.len();
                let value = u32::from_str_radix(&format!("0{digits}"), 8).unwrap_or_default();
                return Ok(format!("\\x{{{value:x}}}"));
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ if sign.is_ascii_alphanumeric() => {
                return self.fault(2, format!("`\\{sign}` means nothing to Python; leave out the backslash"));
            }
            _ => return Ok(regex::escape(&sign.to_string())),
        };
        let code: String = self
            .signs
            .iter()
            .skip(self.at)
            .take(digits)
            .take_while(|sign| sign.is_ascii_hexdigit())
            .collect();
        if code.len() < digits {
            return self.fault(2, format!("`\\{sign}` needs {digits} hexadecimal digits"));
        }
        self.at += digits;
        Ok(format!("\\x{{{code}}}"))
    }

    fn class(&mut self) -> Step {
        let begin = self.at;
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let first = self.at;
        loop {
            let Some(sign) = self.next() else {
                self.at = begin;
                return self.fault(1, "this `[` is not closed; write `]` behind the signs, or `\\[`");
            };
            match sign {
                ']' if self.at > first + 1 => break,
                '\\' => {
                    let Some(sign) = self.next() else { continue };
                    match sign {
                        'b' => self.out.push_str("\\x08"),
                        '1'..='9' => return self.fault(2, "write signs by number as `\\x41`"),
                        _ => {
                            let text = self.escaped(sign)?;
                            self.out.push_str(&text);
                        }
                    }
                }
                '-' => {
                    // At one of the ends it stands for itself; two in a row take signs away in Rust.
                    let is_end = self.at == first + 1 || self.peek() == Some(']');
                    self.out.push_str(if is_end || self.peek() == Some('-') { "\\-" } else { "-" });
                }
                // These mean something to Rust and nothing to Python.
                ']' | '[' | '&' | '~' | '^' => {
                    self.out.push('\\');
                    self.out.push(sign);
                }
                _ => self.out.push(sign),
            }
        }
        self.out.push(']');
        self.after(true);
        Ok(())
    }
}
