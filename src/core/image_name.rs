//! Names of spec images: what a spec is called in a registry, what people may shorten, and which one is the last.
//!
//! The names are those of the original tool. Two things differ on purpose: numbers are compared as numbers, so that run 10
//! comes after run 9, and an address with a port is understood.

use std::cmp::Ordering;
use std::fmt;

use globset::{GlobBuilder, GlobMatcher};

use super::mistake::did_you_mean;

/// The longest tag that registries take.
pub const LONGEST_TAG: usize = 128;
/// Begins the tag of every spec image.
pub const SPEC_PREFIX: &str = "nbs_";

/// Why a name is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Registries would refuse this tag.
    #[error("{tag:?} cannot be a tag: {why}")]
    Tag { tag: String, why: String },
    /// The name of the image in the spec cannot be the beginning of a tag.
    #[error(
        "image_name {name:?} must begin with two or more of the letters A-Z a-z, digits, `_`, `-` and `.`, and not with a dot"
    )]
    Moniker { name: String },
    /// What was asked for cannot be a name.
    #[error("{wanted:?} names no image: {why}")]
    Wanted { wanted: String, why: String },
    /// Nothing there has this name.
    #[error("nothing in {place} fits {pattern:?}{hint}; `docent spec list '{place}:*'` shows what there is")]
    Nothing { place: String, pattern: String, hint: String },
    /// The greatest number is taken.
    #[error("{name} has no free run number: {name}_{last} is the greatest that there can be", last = u64::MAX)]
    Full { name: String },
}

/// A tag that every registry takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks it.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let wrong = |why: String| Err(NameError::Tag { tag: text.chars().take(160).collect(), why });
        if text.is_empty() {
            return wrong("it is empty".to_owned());
        }
        if let Some(other) = text.chars().find(|c| !is_tag_character(*c)) {
            return wrong(format!("{other:?} is not one of A-Z a-z 0-9 `_` `.` `-`"));
        }
        if text.starts_with(['.', '-']) {
            return wrong("it begins with a dot or a hyphen".to_owned());
        }
        if text.len() > LONGEST_TAG {
            return wrong(format!(
                "it has {} characters and may have {LONGEST_TAG}: shorten image_name",
                text.len()
            ));
        }
        Ok(Self(text))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By name, with every number in it compared as a number. Names that differ only in padding stand in text order.
impl Ord for Tag {
    fn cmp(&self, other: &Self) -> Ordering {
        natural(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_tag_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    while let (Some(a), Some(b)) = (left.chars().next(), right.chars().next()) {
        let order = if a.is_ascii_digit() && b.is_ascii_digit() {
            let (x, y) = (leading_digits(left), leading_digits(right));
            (left, right) = (left.get(x.len()..).unwrap_or(""), right.get(y.len()..).unwrap_or(""));
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            // Of two numbers without leading zeros the longer is the greater: no number is too large to compare.
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            (left, right) = (left.get(a.len_utf8()..).unwrap_or(""), right.get(b.len_utf8()..).unwrap_or(""));
            a.cmp(&b)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

fn leading_digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// What the parts of a spec say about its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameParts<'a> {
    /// `image_spec_header.image_name`.
    pub image_name: &'a str,
    /// Whether it was curated in development mode and has overrides for that.
    pub is_development: bool,
    /// `valid_on`, if it has one.
    pub valid_on: Option<&'a str>,
    /// `expires_on`, if it has one.
    pub expires_on: Option<&'a str>,
}

impl NameParts<'_> {
    /// The tag of the spec's image without a run number: `nbs_<moniker>_<dev|prod>_<valid_on>-<expires_on>`.
    pub fn spec_tag(&self) -> Result<Tag, NameError> {
        let moniker = self.image_name.replace(' ', "-");
        let begins = moniker.chars().take_while(|c| is_tag_character(*c)).count();
        if begins < 2 || moniker.starts_with('.') {
            return Err(NameError::Moniker { name: self.image_name.to_owned() });
        }
        let mode = if self.is_development { "dev" } else { "prod" };
        let date = |date: Option<&str>| match date {
            None | Some("") => "undef".to_owned(),
            Some(date) => date.replace('-', ""),
        };
        let (valid, expires) = (date(self.valid_on), date(self.expires_on));
        let tag = Tag::new(format!("{SPEC_PREFIX}{moniker}_{mode}_{valid}-{expires}"))?;
        // The first run's number must fit too, or the name would be refused only once everything else was done.
        numbered(&tag, 1)?;
        Ok(tag)
    }
}

/// The name with a run number.
pub fn numbered(name: &Tag, number: u64) -> Result<Tag, NameError> {
    Tag::new(format!("{name}_{number}"))
}

/// The run number that a tag of this name has. Zeros before it do not count.
pub fn run_number(name: &Tag, tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix(name.as_str())?.strip_prefix('_')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

/// The number of the next run of this name: one more than the greatest that is taken.
pub fn next_number<'a>(name: &Tag, taken: impl IntoIterator<Item = &'a str>) -> Result<u64, NameError> {
    match taken.into_iter().filter_map(|tag| run_number(name, tag)).max() {
        None => Ok(1),
        Some(last) => last.checked_add(1).ok_or_else(|| NameError::Full { name: name.to_string() }),
    }
}

/// Where names without a registry are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// `registry.example.org` or `127.0.0.1:5000`.
    pub registry: String,
    /// `owner/project`.
    pub project: String,
}

/// What is wanted of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// This tag and no other.
    Tag(Tag),
    /// The image with this digest.
    Digest(String),
    /// The last that fits.
    Fitting(String),
}

/// A name as a person wrote it, with everything that was left out filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The registry.
    pub registry: String,
    /// The repository in it.
    pub repository: String,
    /// Which image of the repository.
    pub which: Which,
}

impl Wanted {
    /// Understands a name. In full it is `REGISTRY/PROJECT:TAG` or `REGISTRY/PROJECT@sha256:…`; the registry or all before
    /// the tag may be left out, a tag may have `*`, `?` and `[…]`, and one that begins with `_` is the end of a tag.
    pub fn read(text: &str, home: &Home) -> Result<Self, NameError> {
        let wrong = |why: &str| NameError::Wanted { wanted: text.to_owned(), why: why.to_owned() };
        if text.contains("://") {
            return Err(wrong("write it without https://, as REGISTRY/PROJECT:TAG"));
        }
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong("it is empty or has blanks"));
        }
        if let Some((place, digest)) = text.split_once('@') {
            let place =
                place.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(place, |(p, _)| p);
            let (registry, repository) = place_of(place, home);
            if !is_digest(digest) {
                return Err(wrong("a digest is sha256: and 64 hexadecimal digits"));
            }
            return Self::checked(registry, repository, Which::Digest(digest.to_owned()))
                .map_err(|why| wrong(&why));
        }
        let (place, tag) = match text.rsplit_once(':') {
            // A colon before a slash belongs to a port.
            Some((place, tag)) if !tag.contains('/') => (Some(place), tag),
            _ if text.contains('/') => return Err(wrong("it has no tag; add `:TAG`, or `:*` for the last")),
            _ => (None, text),
        };
        if tag.is_empty() {
            return Err(wrong("nothing stands after the colon"));
        }
        let is_literal = text.matches('/').count() >= 2;
        let is_pattern = tag.contains(['*', '?', '[']) || (tag.starts_with('_') && !is_literal);
        let which = match is_pattern || place.is_none() {
            true => {
                glob(tag).map_err(|error| wrong(&error.kind().to_string()))?;
                Which::Fitting(tag.to_owned())
            }
            false => Which::Tag(Tag::new(tag)?),
        };
        let (registry, repository) =
            place.map_or((home.registry.clone(), home.project.clone()), |place| place_of(place, home));
        Self::checked(registry, repository, which).map_err(|why| wrong(&why))
    }

    fn checked(registry: String, repository: String, which: Which) -> Result<Self, String> {
        let is_part = |part: &str| {
            let mut characters = part.chars();
            let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
            characters.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && characters.all(is_inner)
        };
        if !repository.split('/').all(is_part) || repository.len() > 255 {
            return Err(format!(
                "the repository {repository:?} must be made of lower-case letters, digits, `.`, `_`, `-` and `/`"
            ));
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        if registry.is_empty() || !registry.chars().all(is_host) {
            return Err(format!("{registry:?} is no address of a registry"));
        }
        Ok(Self { registry, repository, which })
    }

    /// `registry/repository`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The last of `tags` that is wanted. Tags of specs come first; only if none of them fits, others may.
    pub fn choose(&self, tags: &[Tag]) -> Result<Which, NameError> {
        let Which::Fitting(pattern) = &self.which else { return Ok(self.which.clone()) };
        let fitting = fitting(pattern, tags, &format!("{SPEC_PREFIX}{}", widened(pattern)))?;
        if let Some(last) = fitting.into_iter().max() {
            return Ok(Which::Tag(last.clone()));
        }
        let hint = did_you_mean(pattern, tags.iter().map(Tag::as_str));
        Err(NameError::Nothing { place: self.place(), pattern: pattern.clone(), hint })
    }

    /// All spec tags that fit, first to last. A name without any sign of a pattern is the beginning of what is listed.
    pub fn all<'a>(&self, tags: &'a [Tag]) -> Result<Vec<&'a Tag>, NameError> {
        let pattern = match &self.which {
            Which::Digest(digest) => {
                let why = "a digest is one image; `docent spec cat` shows it".to_owned();
                return Err(NameError::Wanted { wanted: digest.clone(), why });
            }
            Which::Tag(tag) => tag.as_str(),
            Which::Fitting(pattern) => pattern,
        };
        let mut with_prefix = format!("{SPEC_PREFIX}{}", widened(pattern));
        if !with_prefix.contains(['*', '?', '[']) {
            with_prefix.push('*');
        }
        let mut fitting = fitting(pattern, tags, &with_prefix)?;
        fitting.retain(|tag| tag.as_str().starts_with(SPEC_PREFIX));
        fitting.sort();
        Ok(fitting)
    }
}

/// The tags that fit the pattern with the prefix of specs; if there is none, those that fit it as it is.
fn fitting<'a>(pattern: &str, tags: &'a [Tag], with_prefix: &str) -> Result<Vec<&'a Tag>, NameError> {
    let those = |pattern: &str| {
        let glob = glob(pattern).map_err(|error| NameError::Wanted {
            wanted: pattern.to_owned(),
            why: error.kind().to_string(),
        })?;
        Ok(tags.iter().filter(|tag| glob.is_match(tag.as_str())).collect::<Vec<_>>())
    };
    if !pattern.starts_with(SPEC_PREFIX) {
        let found = those(with_prefix)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    those(&widened(pattern))
}

/// `_40` is the end of a tag.
fn widened(pattern: &str) -> String {
    if pattern.starts_with('_') { format!("*{pattern}") } else { pattern.to_owned() }
}

fn glob(pattern: &str) -> Result<GlobMatcher, globset::Error> {
    // Braces mean alternatives to globset and nothing to the original; no tag has one.
    let pattern = pattern.replace(['{', '}', '\\'], "?");
    Ok(GlobBuilder::new(&pattern).literal_separator(false).build()?.compile_matcher())
}

/// Registry and repository of what stands before the tag.
fn place_of(place: &str, home: &Home) -> (String, String) {
    match place.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            (first.to_owned(), rest.to_owned())
        }
        Some(_) => (home.registry.clone(), place.to_owned()),
        // One word is a project of the owner at home.
        None => {
            let project = home.project.split_once('/').map(|(owner, _)| format!("{owner}/{place}"));
            (home.registry.clone(), project.unwrap_or_else(|| place.to_owned()))
        }
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests;
