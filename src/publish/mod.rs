//! Spec images in any OCI registry: published, listed, read. No container engine is needed for any of it.
//!
//! - [`Registry`] is one registry as one account sees it: tags, an image's spec, publishing;
//! - `protocol` is the part of the distribution protocol that this takes;
//! - `line` keeps what a registry can make docent do within bounds;
//! - `image` makes the bytes, the same on every machine; `layers` reads those that others made.
//!
//! The names and their order are the core's (`core::image_name`). Why no library speaks the protocol is told in
//! `docs/decisions/0007-own-registry-client.md`.

mod image;
mod layers;
mod line;
mod protocol;
mod registry;
mod trouble;

pub use image::{MAX_SPEC, SPEC_PATH, SpecImage, build, title};
pub use line::Bounds;
pub use protocol::Credential;
pub use registry::{Access, Found, Place, Published, Registry};
pub use trouble::{PublishError, PublishErrorKind};
