//! The spec image as bytes: nothing but one file, and the same bytes for the same file on every machine.
//!
//! It is what `FROM scratch` and one `COPY` would make, without any of the dates: one layer, one file, no command. The layer
//! is not compressed, because a compressor may change its output with its version and the digest with it.

use std::collections::BTreeMap;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::trouble::{PublishError, PublishErrorKind};

/// Where the spec stands in an image of ours.
pub const SPEC_PATH: &str = "nbw-wrangler-spec.yaml";
/// The type of our manifest.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
/// A spec is written by hand and filled in; what is larger is something else.
pub const MAX_SPEC: usize = 16 << 20;

/// Something that is stored under its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// `sha256:…`.
    pub digest: String,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let digest = digest(&bytes);
        Self { bytes, digest }
    }
}

/// A spec image, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecImage {
    /// The only layer.
    pub layer: Blob,
    /// The configuration, which says nothing but what the layer is.
    pub config: Blob,
    /// The manifest. Its digest is the image's.
    pub manifest: Blob,
}

/// The annotation that every spec image has.
pub fn title() -> (String, String) {
    ("org.opencontainers.image.title".to_owned(), SPEC_PATH.to_owned())
}

/// `sha256:` and the digest of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The image of a spec, annotated with these names and values.
pub fn build(spec: &[u8], annotations: &BTreeMap<String, String>) -> Result<SpecImage, PublishError> {
    let unfit = |detail: String| PublishError::new(PublishErrorKind::Unfit, "the spec", detail);
    if spec.is_empty() || spec.len() > MAX_SPEC {
        return Err(unfit(format!("it has {} bytes; a spec has 1 to {MAX_SPEC}", spec.len())));
    }
    if let Some(name) = annotations.keys().find(|name| name.is_empty() || name.contains(char::is_whitespace))
    {
        return Err(unfit(format!(
            "{name:?} is no name of an annotation; org.opencontainers.image.title is one"
        )));
    }
    let layer = Blob::new(tar_of(spec).map_err(|error| unfit(format!("it cannot be packed: {error}")))?);
    let config = json!({
        // Docker refuses an image without these two.
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        "history": [{ "created_by": "docent", "comment": SPEC_PATH }],
    });
    let config = Blob::new(config.to_string().into_bytes());
    let descriptor = |kind: &str, blob: &Blob| json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes.len() });
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config),
        "layers": [descriptor(LAYER_TYPE, &layer)],
    });
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    let manifest = Blob::new(manifest.to_string().into_bytes());
    Ok(SpecImage { layer, config, manifest })
}

fn tar_of(spec: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(SPEC_PATH)?;
    header.set_size(spec.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, spec)?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_spec_has_the_same_digest_everywhere() {
        let annotations =
            BTreeMap::from([("org.opencontainers.image.title".to_owned(), "a spec".to_owned())]);
        let image = build(b"image_spec_header: {}\n", &annotations).unwrap();
        // Written down, so that a library that packs otherwise one day is noticed.
        assert_eq!(
            image.layer.digest,
            "sha256:32a6a8f7b7d08a1aaf2375c598091ddc9f7e262fd806bee68c6ca1df7a7ad893"
        );
        assert_eq!(
            image.manifest.digest,
            "sha256:028bcecf7939ee74fff1c5e576015c3104574ae141c407acccd5edf2cb4683d3"
        );
        assert_eq!(image, build(b"image_spec_header: {}\n", &annotations).unwrap());
        assert_ne!(
            image.manifest.digest,
            build(b"image_spec_header: {}\n", &BTreeMap::new()).unwrap().manifest.digest
        );
        let config = String::from_utf8(image.config.bytes).unwrap();
        assert!(!config.contains("created\""), "a date would change the digest: {config}");
    }

    #[test]
    fn what_is_no_spec_is_not_packed() {
        assert!(build(b"", &BTreeMap::new()).is_err());
        assert!(build(&vec![b' '; MAX_SPEC + 1], &BTreeMap::new()).is_err());
        assert!(build(b"a: 1\n", &BTreeMap::from([("a b".to_owned(), String::new())])).is_err());
    }
}
