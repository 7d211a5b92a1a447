//! One line of the result: what was measured, against which target, and the numbers it was made of.

use std::fmt;
use std::time::Duration;

/// One measured value.
#[derive(Debug)]
pub struct Figure {
    what: String,
    value: Option<f64>,
    unit: &'static str,
    target: Option<f64>,
    /// Over its target, or absent, it is a defect.
    is_strict: bool,
    numbers: String,
}

impl Figure {
    /// A value that depends on the machine and on what else it does; `numbers` are what it was made of.
    pub fn noisy(what: &str, value: f64, unit: &'static str, target: Option<f64>, numbers: String) -> Self {
        Self { what: what.to_owned(), value: Some(value), unit, target, is_strict: false, numbers }
    }

    /// A value that is the same on every machine: over its target, it is a defect.
    pub fn count(what: &str, value: f64, target: f64, numbers: String) -> Self {
        let (what, value, target) = (what.to_owned(), Some(value), Some(target));
        Self { what, value, unit: "", target, is_strict: true, numbers }
    }

    /// Nothing was measured, for want of something outside.
    pub fn not_run(what: &str, why: &str) -> Self {
        let numbers = format!("not run: {why}");
        Self { what: what.to_owned(), value: None, unit: "", target: None, is_strict: false, numbers }
    }

    /// Nothing was measured, though everything for it was there.
    pub fn failed(what: &str, why: &str) -> Self {
        Self { is_strict: true, ..Self::not_run(what, why) }
    }

    fn is_defect(&self) -> bool {
        self.is_strict && (self.value.is_none() || self.is_over())
    }

    fn is_over(&self) -> bool {
        matches!((self.value, self.target), (Some(value), Some(target)) if value > target)
    }
}

/// Those measured so far. Each is shown at once: a run that is cut short has said what it knew.
#[derive(Debug, Default)]
pub struct Figures {
    has_defect: bool,
}

impl Figures {
    /// Shows it.
    pub fn add(&mut self, figure: Figure) {
        println!("{figure}");
        self.has_defect |= figure.is_defect();
    }

    /// One of them is to be mended before anything else.
    pub fn has_defect(&self) -> bool {
        self.has_defect
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = self.value else { return write!(f, "{:<58} {}", self.what, self.numbers) };
        let value = format!("{value:.2} {}", self.unit);
        let target = self.target.map_or_else(String::new, |target| format!("target {target} {}", self.unit));
        let standing = match (self.target, self.is_over()) {
            (None, _) => "",
            (Some(_), true) => "over",
            (Some(_), false) => "within",
        };
        write!(f, "{:<58} {value:>12}   {target:<14} {standing:<6}   {}", self.what, self.numbers)
    }
}

/// The middle, the least and the greatest, in milliseconds.
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(values: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().map(|value| value.as_secs_f64() * 1e3).collect();
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        Some(Self { median, least: *values.first()?, greatest: *values.last()? })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} ms ({:.0}–{:.0})", self.median, self.least, self.greatest)
    }
}
