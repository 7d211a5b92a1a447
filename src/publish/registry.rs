//! One registry as one account sees it.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::image::{SPEC_PATH, SpecImage, digest};
use super::layers::{self, LayerFault};
use super::line::{Bounds, Line};
use super::protocol::{Credential, Repository};
use super::trouble::{PublishError, PublishErrorKind as Kind};
use crate::core::image_name::{Tag, Which, is_digest, next_number, numbered, run_number};

/// Where readers look for the spec, the older name first.
const PATHS: [&str; 2] = ["spec.yaml", SPEC_PATH];
/// No engine makes an image of more.
const MAX_LAYERS: usize = 128;
/// Tags asked for at a time, and pages read.
const PAGE: usize = 1000;
const MAX_PAGES: usize = 100;

/// How to go to a registry.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// As whom; `None`: as anybody.
    pub credential: Option<Credential>,
    /// Whether HTTP without TLS will do beyond this machine.
    pub plain_http: bool,
    /// How long and how much it may answer.
    pub bounds: Bounds,
}

/// A repository of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// `host` or `host:port`.
    pub registry: String,
    /// `owner/project`.
    pub repository: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

/// A spec that was found in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The spec, byte for byte.
    pub spec: Vec<u8>,
    /// Where it stood in the image, without the slash.
    pub path: String,
    /// The image's digest.
    pub digest: String,
}

/// What publishing did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The tag that now names the image.
    pub tag: Tag,
    /// The image's digest.
    pub digest: String,
    /// It was there already, under this tag: nothing was sent.
    pub is_known: bool,
}

/// What docent reads of a manifest, or of an index of several.
#[derive(Deserialize)]
struct Manifest {
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
}

/// One repository of a registry, as one account sees it.
pub struct Registry {
    place: Place,
    bounds: Bounds,
    repository: Repository,
}

impl Registry {
    /// Prepares to go there. Nothing is sent yet.
    pub fn new(place: Place, access: &Access) -> Result<Self, PublishError> {
        // The one registry that answers at another address than it is called by.
        let address = if place.registry == "docker.io" { "registry-1.docker.io" } else { &place.registry };
        let line = Line::new(address, access.plain_http, access.credential.is_some(), access.bounds)?;
        let repository = Repository::new(line, place.repository.clone(), access.credential.clone());
        Ok(Self { place, bounds: access.bounds, repository })
    }

    /// All tags of the repository, in no order. A repository that is not there has none.
    pub async fn tags(&self) -> Result<Vec<Tag>, PublishError> {
        let mut tags = BTreeSet::new();
        let mut last: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = match self.repository.tags(PAGE, last.as_deref()).await {
                Err(error) if error.kind == Kind::NotFound && last.is_none() => return Ok(Vec::new()),
                page => page?,
            };
            let known = tags.len();
            // What can be no tag cannot be asked for either.
            tags.extend(page.iter().filter_map(|tag| Tag::new(tag.as_str()).ok()));
            // Some registries ignore where to go on, others say too little: only news count.
            if tags.len() == known {
                return Ok(tags.into_iter().collect());
            }
            last = page.last().cloned();
        }
        Err(self.trouble(Kind::TooLarge, format!("it has more than {MAX_PAGES} pages of tags")))
    }

    /// Reads the spec of an image.
    pub async fn spec(&self, which: &Which) -> Result<Found, PublishError> {
        let (described, digest) = self.layers(which).await?;
        if described.len() > MAX_LAYERS {
            let detail = format!("{}: it has {} layers", shown(which), described.len());
            return Err(self.trouble(Kind::TooLarge, detail));
        }
        let mut left = self.bounds.layers;
        let mut layers = Vec::new();
        for layer in &described {
            let bytes = self.layer(layer, left).await?;
            left = left.saturating_sub(bytes.len());
            layers.push(bytes);
        }
        let found = tokio::task::spawn_blocking(move || layers::find(&layers, &PATHS)).await;
        match found.map_err(|error| self.trouble(Kind::Malformed, error.to_string()))? {
            Ok(Some((path, spec))) => Ok(Found { spec, path: path.to_owned(), digest }),
            Ok(None) => {
                let detail = format!("{} holds neither /{} nor /{}", shown(which), PATHS[0], PATHS[1]);
                Err(self.trouble(Kind::NoSpec, detail))
            }
            Err(LayerFault::TooLarge(why)) => {
                Err(self.trouble(Kind::TooLarge, format!("{}: {why}", shown(which))))
            }
            Err(LayerFault::Malformed(why)) => {
                Err(self.trouble(Kind::Malformed, format!("{}: {why}", shown(which))))
            }
        }
    }

    /// Publishes an image under `name` and the next free run number. If the last run of that name is this very image,
    /// it keeps its number: what was interrupted can be done again.
    pub async fn publish(&self, image: &SpecImage, name: &Tag) -> Result<Published, PublishError> {
        let tags = self.tags().await?;
        let runs = tags.iter().filter_map(|tag| Some((run_number(name, tag.as_str())?, tag)));
        if let Some((_, last)) = runs.max()
            && self.digest_of(last).await? == Some(image.manifest.digest.clone())
        {
            let digest = image.manifest.digest.clone();
            return Ok(Published { tag: last.clone(), digest, is_known: true });
        }
        let number = next_number(name, tags.iter().map(Tag::as_str))?;
        self.publish_as(image, numbered(name, number)?).await
    }

    /// Publishes an image under exactly this tag. A tag that names another image is left alone.
    pub async fn publish_as(&self, image: &SpecImage, tag: Tag) -> Result<Published, PublishError> {
        let digest = image.manifest.digest.clone();
        match self.digest_of(&tag).await? {
            Some(there) if there == digest => return Ok(Published { tag, digest, is_known: true }),
            Some(there) => {
                let detail =
                    format!("{tag} names another image already ({there}); publish under another name");
                return Err(self.trouble(Kind::Taken, detail));
            }
            None => {}
        }
        for blob in [&image.config, &image.layer] {
            self.repository.store_blob(blob).await?;
        }
        self.name(image, &tag).await?;
        Ok(Published { tag, digest, is_known: false })
    }

    /// Makes `alias` name an image that is there already. Nothing but its manifest is sent; what the alias named before, it
    /// names no more.
    pub async fn alias(&self, image: &SpecImage, alias: &Tag) -> Result<(), PublishError> {
        self.name(image, alias).await
    }

    async fn name(&self, image: &SpecImage, tag: &Tag) -> Result<(), PublishError> {
        self.repository.store_manifest(tag.as_str(), &image.manifest).await?;
        // The registry must now say what was said to it.
        match self.digest_of(tag).await? {
            Some(there) if there == image.manifest.digest => Ok(()),
            there => {
                let there = there.unwrap_or_else(|| "nothing".to_owned());
                let detail = format!("{tag} was sent as {} and is {there} there", image.manifest.digest);
                Err(self.trouble(Kind::Malformed, detail))
            }
        }
    }

    /// What a tag names now, by the bytes of the manifest.
    async fn digest_of(&self, tag: &Tag) -> Result<Option<String>, PublishError> {
        match self.document(tag.as_str()).await {
            Ok((_, digest)) => Ok(Some(digest)),
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The layers of an image, lowest first, and the digest of what was asked for.
    async fn layers(&self, which: &Which) -> Result<(Vec<Descriptor>, String), PublishError> {
        let (bytes, digest) = self.document(self.wanted(which)?).await?;
        let mut manifest = self.parse(which, &bytes)?;
        // An image for several machines holds the same spec for each: the first will do. What is for no machine is a
        // statement about the others.
        if let Some(machines) = &manifest.manifests {
            let is_image = |one: &&Descriptor| one.platform.as_ref().is_none_or(|it| it.os != "unknown");
            let Some(one) = machines.iter().find(is_image) else {
                return Err(self.trouble(Kind::NoSpec, format!("{} is an index of nothing", shown(which))));
            };
            if !is_digest(&one.digest) {
                return Err(
                    self.trouble(Kind::Malformed, format!("{:?} is no digest of an image", one.digest))
                );
            }
            let (bytes, _) = self.document(&one.digest).await?;
            manifest = self.parse(which, &bytes)?;
        }
        match manifest.layers {
            Some(layers) => Ok((layers, digest)),
            None => {
                Err(self.trouble(Kind::Malformed, format!("{} is no image: it has no layers", shown(which))))
            }
        }
    }

    fn parse(&self, which: &Which, bytes: &[u8]) -> Result<Manifest, PublishError> {
        serde_json::from_slice(bytes).map_err(|error| {
            self.trouble(Kind::Malformed, format!("{}: its manifest is none: {error}", shown(which)))
        })
    }

    /// The bytes of a manifest and their digest, checked against what was asked for and what the registry says of them.
    async fn document(&self, reference: &str) -> Result<(Vec<u8>, String), PublishError> {
        let (bytes, said) = self.repository.manifest(reference).await?;
        let found = digest(&bytes);
        let asked = is_digest(reference).then(|| reference.to_owned());
        match asked.or(said.filter(|said| is_digest(said))) {
            Some(wanted) if wanted != found => {
                Err(self.trouble(Kind::Malformed, format!("a manifest of digest {found} came for {wanted}")))
            }
            _ => Ok((bytes, found)),
        }
    }

    async fn layer(&self, layer: &Descriptor, left: usize) -> Result<Vec<u8>, PublishError> {
        if !is_digest(&layer.digest) {
            return Err(self.trouble(Kind::Malformed, format!("{:?} is no digest of a layer", layer.digest)));
        }
        let too_large = || {
            let most = self.bounds.layers;
            self.trouble(Kind::TooLarge, format!("its layers are larger than {most} bytes: no spec image is"))
        };
        if layer.size > left as u64 {
            return Err(too_large());
        }
        let bytes = self.repository.blob(&layer.digest).await?;
        if digest(&bytes) != layer.digest {
            let detail = format!("a layer of digest {} came for {}", digest(&bytes), layer.digest);
            return Err(self.trouble(Kind::Malformed, detail));
        }
        if bytes.len() > left { Err(too_large()) } else { Ok(bytes) }
    }

    fn wanted<'a>(&self, which: &'a Which) -> Result<&'a str, PublishError> {
        match which {
            Which::Tag(tag) => Ok(tag.as_str()),
            Which::Digest(digest) => Ok(digest),
            Which::Fitting(pattern) => {
                Err(self.trouble(Kind::Unfit, format!("{pattern} is a pattern, and names no one image")))
            }
        }
    }

    fn trouble(&self, kind: Kind, detail: impl AsRef<str>) -> PublishError {
        PublishError::new(kind, self.place.to_string(), detail)
    }
}

fn shown(which: &Which) -> &str {
    match which {
        Which::Tag(tag) => tag.as_str(),
        Which::Digest(digest) => digest,
        Which::Fitting(pattern) => pattern,
    }
}
