//! Which runs publish their curated spec, and what became of it.
//!
//! Publishing comes after the verdict and never moves it: what cannot be published errored, and is docent's, not the author's.

use serde::{Deserialize, Serialize};

use super::image_name::{NameError, SPEC_PREFIX, Tag};
use super::run::{Phase, Run};
use super::verdict::Verdict;

/// Stands in an alias for the name of the spec's image.
pub const NAME: &str = "{name}";

/// Where the curated specs of a repository go. Where its credential is, only the edge knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishPolicy {
    /// `registry.example.org/astro/images`.
    pub to: String,
    /// Branches whose runs publish.
    pub branches: Vec<String>,
    /// Tags that follow the last image, [`NAME`] in them standing for its own.
    pub aliases: Vec<String>,
}

impl PublishPolicy {
    /// The tags that are moved to an image of this name.
    pub fn aliases_of(&self, name: &str) -> Result<Vec<Tag>, NameError> {
        self.aliases.iter().map(|alias| Tag::new(alias.replace(NAME, name))).collect()
    }

    /// What brings the last spec of a name, whichever number it will have. A name that can be no tag has none.
    pub fn pull_command(&self, artifact_name: &str) -> Option<String> {
        let name = Tag::new(format!("{SPEC_PREFIX}{artifact_name}")).ok()?;
        Some(format!("docent spec pull '{}:{name}_*'", self.to))
    }
}

/// The publishing of a run's curated spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publishing {
    /// Registry and repository.
    pub to: String,
    /// What became of it; none while it is tried.
    pub end: Option<PublishingEnd>,
}

/// What became of a publishing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PublishingEnd {
    /// It is there.
    Published(Image),
    /// It is not, and docent has given up.
    Errored {
        /// What was wrong, where, what to do.
        why: String,
    },
}

/// A spec image that is in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `registry.example.org/astro/images:nbs_alpha_prod_20260101-undef_3`.
    pub reference: String,
    /// `sha256:…`.
    pub digest: String,
    /// The last image of that name was this very one already: nothing was sent.
    pub was_there: bool,
    /// Tags that name it now as well.
    pub aliases: Vec<String>,
}

impl Image {
    /// Its tag alone.
    pub fn tag(&self) -> &str {
        self.reference.rsplit(':').next().unwrap_or_default()
    }

    /// What brings the spec to whoever wants it. Nothing in a reference needs quotes.
    pub fn pull_command(&self) -> String {
        format!("docent spec pull {}", self.reference)
    }
}

impl Publishing {
    /// It is still tried.
    pub fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// How it stands, in a few words without anything that a registry wrote.
    pub fn words(&self) -> &'static str {
        match &self.end {
            None => "being published",
            Some(PublishingEnd::Published(image)) if image.was_there => "already published",
            Some(PublishingEnd::Published(_)) => "published",
            Some(PublishingEnd::Errored { .. }) => "publishing errored",
        }
    }

    /// How it stands, for people. Why it errored may hold a registry's own words.
    pub fn line(&self) -> String {
        match &self.end {
            None => format!("being published to {}", self.to),
            Some(PublishingEnd::Published(image)) => format!("{} as {}", self.words(), image.reference),
            Some(PublishingEnd::Errored { why }) => {
                format!("publishing to {} errored, which is docent's, not the author's: {why}", self.to)
            }
        }
    }

    /// The image, once it is there.
    pub fn image(&self) -> Option<&Image> {
        match &self.end {
            Some(PublishingEnd::Published(image)) => Some(image),
            _ => None,
        }
    }
}

/// Where a run publishes its curated spec, or why it does not.
pub fn destination<'a>(
    run: &Run,
    publish: Option<&'a PublishPolicy>,
) -> Result<&'a PublishPolicy, &'static str> {
    let publish = publish.ok_or("its repository publishes nothing")?;
    let request = &run.request;
    let branch = request.branch().ok_or("it is no run of a branch")?;
    let options = &request.options;
    let is_part = !options.tiers.is_empty() || options.notebooks.is_some() || !request.only.is_empty();
    let is_proven = run
        .tiers
        .iter()
        .filter(|tier| !tier.tier.is_opt_in)
        .all(|tier| matches!(tier.verdict, Some(Verdict::Pass | Verdict::Skip)));
    let refusals = [
        (request.is_untrusted || request.pull.is_some(), "its code is untrusted"),
        (!publish.branches.contains(&branch.name), "this branch publishes nothing"),
        (run.cancel.is_some(), "it was cancelled"),
        (run.phase != Phase::Completed, "it did not complete"),
        (is_part, "only a part was asked for"),
        (run.verdict != Some(Verdict::Pass) || !is_proven, "not all of it passed"),
        (run.curated.is_none(), "it left no curated spec"),
    ];
    match refusals.iter().find(|(is_so, _)| *is_so) {
        Some((_, why)) => Err(why),
        None => Ok(publish),
    }
}

#[cfg(test)]
mod tests;
