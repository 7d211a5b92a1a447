//! What a spec means, apart from how it is written: its digest, and what changed between two of them.
//!
//! The order of keys, comments, quotes, and what tools wrote (`out`, checksum, date) do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};

use super::Spec;
use super::section::{quoted, shown};
use super::selections::switch;
use super::yaml::{Content, Node};

/// A value without place and spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing.
    Null,
    /// One value.
    Text(String),
    /// Several, in order.
    List(Vec<Meaning>),
    /// Values under keys.
    Map(BTreeMap<String, Meaning>),
}

/// What changed at one place of a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Keys, with dots between.
    pub path: String,
    /// How it was; nothing if it was not there.
    pub old: Option<String>,
    /// How it is; nothing if it is gone.
    pub new: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{}: was {old}, is {new}", self.path),
            (Some(old), None) => write!(f, "{}: {old} is gone", self.path),
            (None, Some(new)) => write!(f, "{}: {new} is new", self.path),
            (None, None) => f.write_str(&self.path),
        }
    }
}

impl Spec {
    /// The identity of its meaning: 64 hexadecimal digits. `dev_overrides` belong to it whether they apply or not;
    /// deactivated ones do not.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update("docent spec 1\n");
        feed(&meaning(self), &mut digest);
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is different in `new`, by path.
    pub fn differences(&self, new: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare("", &meaning(self), &meaning(new), &mut found);
        found
    }
}

/// What a spec means.
pub fn meaning(spec: &Spec) -> Meaning {
    let mut top = match spec.documents.first().map(of) {
        Some(Meaning::Map(map)) => map,
        _ => BTreeMap::new(),
    };
    for key in ["out", "deactivated_dev_overrides", "commands"] {
        top.remove(key);
    }
    if let Some(Meaning::Map(system)) = top.get_mut("system") {
        system.remove("spec_sha256");
        system.remove("date_updated");
    }
    if let Some(Meaning::Map(selections)) = top.get_mut("selected_notebooks") {
        for selection in selections.values_mut() {
            let Meaning::Map(selection) = selection else { continue };
            let Some(Meaning::Map(tests)) = selection.get_mut("tests") else { continue };
            if let Some(Meaning::Text(papermill)) = tests.get_mut("papermill")
                && let Some(is_on) = switch(papermill)
            {
                *papermill = is_on.to_string();
            }
        }
    }
    // A section with nothing in it is none.
    top.retain(|_, value| match value {
        Meaning::Null => false,
        Meaning::Text(_) => true,
        Meaning::List(items) => !items.is_empty(),
        Meaning::Map(map) => !map.is_empty(),
    });
    if let Some(inline) = spec.documents.get(1) {
        top.insert("the second document".to_owned(), of(inline));
    }
    Meaning::Map(top)
}

fn of(node: &Node) -> Meaning {
    match &node.content {
        Content::Scalar(_) if node.is_null() => Meaning::Null,
        Content::Scalar(scalar) => Meaning::Text(scalar.meaning().to_owned()),
        Content::List(items) => Meaning::List(items.iter().map(of).collect()),
        Content::Map(entries) => {
            Meaning::Map(entries.iter().map(|entry| (entry.key.clone(), of(&entry.value))).collect())
        }
    }
}

/// Every text is fed with its length, so that nothing can pretend to be something else.
fn feed(meaning: &Meaning, digest: &mut Sha256) {
    let text = |text: &str, digest: &mut Sha256| {
        digest.update(text.len().to_string());
        digest.update(":");
        digest.update(text);
    };
    match meaning {
        Meaning::Null => digest.update("n"),
        Meaning::Text(value) => {
            digest.update("t");
            text(value, digest);
        }
        Meaning::List(items) => {
            digest.update(format!("l{}:", items.len()));
            items.iter().for_each(|item| feed(item, digest));
        }
        Meaning::Map(map) => {
            digest.update(format!("m{}:", map.len()));
            for (key, value) in map {
                text(key, digest);
                feed(value, digest);
            }
        }
    }
}

fn compare(path: &str, old: &Meaning, new: &Meaning, found: &mut Vec<Difference>) {
    let changed = |old: Option<&Meaning>, new: Option<&Meaning>| Difference {
        path: path.to_owned(),
        old: old.map(said),
        new: new.map(said),
    };
    match (old, new) {
        _ if old == new => {}
        (Meaning::Map(old), Meaning::Map(new)) => {
            let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for key in keys {
                let path = if path.is_empty() { shown(key) } else { format!("{path}.{}", shown(key)) };
                match (old.get(key), new.get(key)) {
                    (Some(old), Some(new)) => compare(&path, old, new, found),
                    (old, new) => found.push(Difference { path, old: old.map(said), new: new.map(said) }),
                }
            }
        }
        (Meaning::List(old), Meaning::List(new)) => {
            let before = found.len();
            let (gone, added) = (left(old, new), left(new, old));
            found.extend(gone.into_iter().map(|item| changed(Some(item), None)));
            found.extend(added.into_iter().map(|item| changed(None, Some(item))));
            if found.len() == before {
                found.push(Difference {
                    path: path.to_owned(),
                    old: Some("in another order".to_owned()),
                    new: Some("in this one".to_owned()),
                });
            }
        }
        _ => found.push(changed(Some(old), Some(new))),
    }
}

/// The items of `some` that `others` does not hold, each as often as it does not.
fn left<'a>(some: &'a [Meaning], others: &[Meaning]) -> Vec<&'a Meaning> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for other in others {
        *counts.entry(whole(other)).or_default() += 1;
    }
    let mut left = Vec::new();
    for item in some {
        match counts.get_mut(&whole(item)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => left.push(item),
        }
    }
    left
}

/// A meaning as text that no other meaning has.
fn whole(meaning: &Meaning) -> String {
    format!("{meaning:?}")
}

/// A meaning as people read it in one line.
fn said(meaning: &Meaning) -> String {
    match meaning {
        Meaning::Null => "nothing".to_owned(),
        Meaning::Text(text) => quoted(text),
        Meaning::List(items) if items.len() == 1 => items.iter().map(said).collect(),
        Meaning::List(items) => format!("a list of {}", items.len()),
        Meaning::Map(map) => {
            let keys = map.keys().take(5).map(|key| shown(key)).collect::<Vec<_>>().join(", ");
            format!("{{{keys}{}}}", if map.len() > 5 { ", …" } else { "" })
        }
    }
}
