//! Environment variables of a spec, and references to variables in its values.

use std::collections::BTreeMap;

use super::Written;
use super::section::{Section, quoted};
use super::yaml::Node;

/// The longest name of a variable, in bytes.
const LONGEST_NAME: usize = 64;
/// The longest value of a variable, in characters.
const LONGEST_VALUE: usize = 131_072;

/// A variable with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: Written,
    /// Its value, with references to other variables as they are written.
    pub value: Written,
}

/// The map of variables under `key`.
pub fn read(top: &Section<'_>, key: &'static str) -> Vec<Variable> {
    top.section_or_nothing(key).map(|section| all(&section)).unwrap_or_default()
}

/// All entries of a section, which are variables.
pub fn all(section: &Section<'_>) -> Vec<Variable> {
    let entries = section.entries().iter();
    let variables = entries.filter_map(|entry| {
        let name = Written { text: entry.key.clone(), span: entry.span };
        check_name(section, &name);
        let value = value(section, &name, &entry.value)?;
        Some(Variable { name, value })
    });
    variables.collect()
}

/// Notes a name that cannot be one of a variable.
pub fn check_name(section: &Section<'_>, name: &Written) {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.text.is_empty() || name.text.len() > LONGEST_NAME || !name.text.bytes().all(fits) {
        let name_shown = quoted(&name.text);
        section.mistake(
            name.span,
            format!("{name_shown} cannot be the name of a variable: take 1 to {LONGEST_NAME} letters, digits and `_`"),
        );
    }
}

fn value(section: &Section<'_>, name: &Written, node: &Node) -> Option<Written> {
    let shown = quoted(&name.text);
    if node.is_null() {
        section.mistake(name.span, format!("{shown} has no value; write '' for an empty one"));
        return None;
    }
    let value = section.written(&shown, node)?;
    if value.text.contains(['\n', '\r', '\0']) {
        section.mistake(value.span, format!("the value of {shown} holds a line break; write it in one line"));
    } else if value.text.chars().count() > LONGEST_VALUE {
        section.mistake(value.span, format!("the value of {shown} has more than {LONGEST_VALUE} characters"));
    }
    Some(value)
}

/// Puts values in place of `$X`, `${X}`, `${X:-default}` and `{X}`, as nb-wrangler does: an empty value is none, and what
/// has neither value nor default stays as it is. The second part names those.
pub fn resolve(text: &str, values: &BTreeMap<String, String>) -> (String, Vec<String>) {
    let mut resolved = String::new();
    let mut unknown = Vec::new();
    let mut rest = text;
    // Looking for an end that is not there, from every begin, would take long.
    let last_end = text.rfind('}');
    while let Some(at) = rest.find(['$', '{']) {
        resolved.push_str(&rest[..at]);
        rest = &rest[at..];
        let has_end = last_end.is_some_and(|end| end >= text.len() - rest.len());
        let Some(found) = reference(rest, has_end) else {
            let sign = if rest.starts_with('$') { '$' } else { '{' };
            resolved.push(sign);
            rest = &rest[1..];
            continue;
        };
        match (values.get(found.name).filter(|value| !value.is_empty()), found.default) {
            (Some(value), _) => resolved.push_str(value),
            (None, Some(default)) => resolved.push_str(default),
            (None, None) => {
                unknown.push(found.name.to_owned());
                resolved.push_str(&rest[..found.length]);
            }
        }
        rest = &rest[found.length..];
    }
    resolved.push_str(rest);
    (resolved, unknown)
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    length: usize,
}

/// The reference with which `text` begins.
fn reference(text: &str, has_end: bool) -> Option<Reference<'_>> {
    let is_part = |sign: char| sign.is_alphanumeric() || sign == '_';
    let word = |text: &str| text.find(|sign| !is_part(sign)).unwrap_or(text.len());
    if let Some(inner) = text.strip_prefix("${").filter(|_| has_end) {
        let (name, after) = inner.split_at(word(inner));
        let (default, after) = match after.strip_prefix(":-") {
            Some(after) => {
                let (default, after) = after.split_at(after.find('}')?);
                (Some(default), after)
            }
            None => (None, after),
        };
        let after = after.strip_prefix('}').filter(|_| !name.is_empty())?;
        return Some(Reference { name, default, length: text.len() - after.len() });
    }
    if let Some(inner) = text.strip_prefix('$') {
        let name = &inner[..word(inner)];
        return (!name.is_empty()).then_some(Reference { name, default: None, length: name.len() + 1 });
    }
    let inner = text.strip_prefix('{')?;
    let (name, after) = inner.split_at(word(inner));
    let after = after.strip_prefix('}').filter(|_| !name.is_empty())?;
    Some(Reference { name, default: None, length: text.len() - after.len() })
}
