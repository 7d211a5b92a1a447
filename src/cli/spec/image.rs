//! `docent spec cat | list | pull | publish`: spec images in registries, without a container engine.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::json;

use super::Trouble;
use crate::config;
use crate::core::curated::spec_tag;
use crate::core::image_name::{Home, NameError, Tag, Wanted, Which};
use crate::publish::{
    Access, Credential, Found, MAX_SPEC, Place, PublishError, PublishErrorKind, Registry, SPEC_PATH, build,
    title,
};
use crate::secrets::Secrets;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Print the spec of an image, byte for byte.
    Cat {
        /// REGISTRY/PROJECT:TAG, or what is left of it: PROJECT:TAG, a pattern, `_40` for run 40.
        name: String,
        #[command(flatten)]
        there: There,
    },
    /// Tags of spec images, first to last.
    List {
        /// Of which; all if not given. Patterns have `*`, `?` and `[…]`.
        #[arg(default_value = "*")]
        pattern: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        there: There,
    },
    /// Put the spec of an image into a folder.
    Pull {
        /// As for `cat`.
        name: String,
        /// Where to; made if it is not there.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        there: There,
    },
    /// Publish a spec as an image.
    Publish {
        /// The spec.
        file: PathBuf,
        /// REGISTRY/PROJECT, or REGISTRY/PROJECT:NAME to give it another name than its own; the next free run number is
        /// added to it.
        #[arg(long, value_name = "NAME")]
        to: String,
        /// It was curated in development mode: its own name says so if it has overrides for that.
        #[arg(long)]
        dev: bool,
        /// Take the name as it is, without a run number. One that names another image is left alone.
        #[arg(long)]
        exact: bool,
        /// Another tag for the same image; what it named before, it names no more. Can be repeated.
        #[arg(long, value_name = "TAG")]
        alias: Vec<String>,
        /// An annotation of the image: `org.opencontainers.image.revision=…`. Can be repeated.
        #[arg(long, value_name = "NAME=VALUE")]
        annotation: Vec<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        there: There,
    },
}

/// Which registry, and as whom.
#[derive(Debug, Args)]
pub struct There {
    /// A file with LOGIN:TOKEN (or a token alone), or the name of a credential.
    #[arg(long, value_name = "FILE")]
    credential: Option<String>,
    /// Speak HTTP without TLS to a registry that is not on this machine.
    #[arg(long)]
    plain_http: bool,
    /// The registry of names that have none.
    #[arg(long, env = "NBW_IMAGE_REGISTRY", default_value = "ghcr.io")]
    registry: String,
    /// The project of names that have none.
    #[arg(long, env = "NBW_IMAGE_PROJECT", default_value = "spacetelescope/nb-wrangler-images")]
    project: String,
}

/// Carries it out.
pub async fn image(config: Option<&Path>, command: &ImageCommand) -> Result<ExitCode, Trouble> {
    match command {
        ImageCommand::Cat { name, there } => {
            let (_, _, found) = there.find(config, name).await?;
            print(&found.spec)?;
        }
        ImageCommand::List { pattern, json, there } => {
            let wanted = there.wanted(pattern)?;
            let tags = there.registry(config, &wanted)?.tags().await.map_err(trouble)?;
            let names = wanted.all(&tags).map_err(usage)?;
            if *json {
                let names: Vec<&str> = names.iter().map(|tag| tag.as_str()).collect();
                println!(
                    "{}",
                    serde_json::to_string_pretty(&json!({ "place": wanted.place(), "tags": names }))?
                );
            } else {
                names.iter().for_each(|tag| println!("{tag}"));
            }
        }
        ImageCommand::Pull { name, folder, json, there } => {
            let (place, tag, found) = there.find(config, name).await?;
            let file = save(folder, &found.spec)?;
            if *json {
                let about =
                    json!({ "image": format!("{place}:{tag}"), "digest": found.digest, "file": file });
                println!("{}", serde_json::to_string_pretty(&about)?);
            } else {
                println!("{} from {place}:{tag} ({})", file.display(), found.digest);
            }
        }
        ImageCommand::Publish { file, to, dev, exact, alias, annotation, json, there } => {
            let spec = read(file)?;
            let to = &with_name(to, file, &spec, *dev)?;
            let wanted = there.wanted(to)?;
            let Which::Tag(name) = &wanted.which else {
                let why = format!("--to {to}: write the whole name, as REGISTRY/PROJECT:NAME");
                return Err(Trouble::Usage(why));
            };
            let aliases: Vec<Tag> = alias.iter().map(Tag::new).collect::<Result<_, _>>().map_err(usage)?;
            let image = build(&spec, &annotations(annotation)?).map_err(trouble)?;
            let registry = there.registry(config, &wanted)?;
            let published = match exact {
                true => registry.publish_as(&image, name.clone()).await,
                false => registry.publish(&image, name).await,
            };
            let published = published.map_err(trouble)?;
            for alias in &aliases {
                registry.alias(&image, alias).await.map_err(trouble)?;
            }
            let name = format!("{}:{}", wanted.place(), published.tag);
            if *json {
                let about = json!({
                    "image": name, "digest": published.digest, "new": !published.is_known,
                    "aliases": aliases.iter().map(Tag::as_str).collect::<Vec<_>>(),
                });
                println!("{}", serde_json::to_string_pretty(&about)?);
            } else {
                let known = if published.is_known { ", there already" } else { "" };
                println!("{name} ({}{known})", published.digest);
                aliases.iter().for_each(|alias| println!("{}:{alias}", wanted.place()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl There {
    fn wanted(&self, name: &str) -> Result<Wanted, Trouble> {
        let home = Home { registry: self.registry.clone(), project: self.project.clone() };
        Wanted::read(name, &home).map_err(usage)
    }

    fn registry(&self, config: Option<&Path>, wanted: &Wanted) -> Result<Registry, Trouble> {
        let credential = self.credential.as_deref().map(|name| credential(config, name)).transpose()?;
        let access = Access { credential, plain_http: self.plain_http, ..Access::default() };
        let place = Place { registry: wanted.registry.clone(), repository: wanted.repository.clone() };
        Registry::new(place, &access).map_err(trouble)
    }

    /// The spec of the image that a name means, with where it is and what it is called there.
    pub(super) async fn find(
        &self,
        config: Option<&Path>,
        name: &str,
    ) -> Result<(String, String, Found), Trouble> {
        let wanted = self.wanted(name)?;
        let registry = self.registry(config, &wanted)?;
        let which = match &wanted.which {
            Which::Fitting(_) => {
                let tags = registry.tags().await.map_err(trouble)?;
                wanted.choose(&tags).map_err(usage)?
            }
            exact => exact.clone(),
        };
        let found = registry.spec(&which).await.map_err(trouble)?;
        let tag = match which {
            Which::Tag(tag) => tag.to_string(),
            Which::Digest(name) | Which::Fitting(name) => name,
        };
        Ok((wanted.place(), tag, found))
    }
}

/// A credential by its name, as everywhere, or from a file of its own.
fn credential(named: Option<&Path>, text: &str) -> Result<Credential, Trouble> {
    let path = Path::new(text);
    let secret: Result<SecretString, _> =
        match (path.parent(), path.file_name().and_then(|name| name.to_str())) {
            (Some(folder), Some(name)) if text.contains('/') => {
                Secrets::new(None, Some(folder.to_owned())).read(name)
            }
            _ => {
                let configured = match named {
                    Some(_) => super::super::assemble::load(named)?.credentials_dir,
                    None => {
                        config::find(None).ok().and_then(|file| config::load(&file).ok()?.credentials_dir)
                    }
                };
                Secrets::new(std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from), configured)
                    .read(text)
            }
        };
    match secret {
        Ok(secret) => Ok(Credential::read(&secret)),
        Err(error) => Err(Trouble::Usage(format!("{error}; a file is written with a slash, as ./token"))),
    }
}

/// Adds the spec's own name where none was given.
fn with_name(to: &str, file: &Path, spec: &[u8], dev: bool) -> Result<String, Trouble> {
    let has_tag = to.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag || !to.contains('/') {
        return Ok(to.to_owned());
    }
    let wrong = |why: String| Trouble::Usage(format!("{}: {why}", file.display()));
    let text = std::str::from_utf8(spec).map_err(|error| wrong(error.to_string()))?;
    let tag = spec_tag(text, dev).map_err(|fault| wrong(fault.to_string()))?;
    Ok(format!("{to}:{tag}"))
}

fn annotations(texts: &[String]) -> Result<BTreeMap<String, String>, Trouble> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Trouble::Usage(format!("--annotation {text}: write NAME=VALUE"))),
    };
    let mut all = BTreeMap::from([title()]);
    for text in texts {
        let (name, value) = pair(text)?;
        all.insert(name, value);
    }
    Ok(all)
}

/// A spec's bytes, and not more than a spec has.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Trouble> {
    use std::io::Read as _;
    let trouble = |error: std::io::Error| Trouble::Usage(format!("{}: {error}", file.display()));
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(trouble)?;
    open.take(MAX_SPEC as u64 + 1).read_to_end(&mut bytes).map_err(trouble)?;
    Ok(bytes)
}

fn save(folder: &Path, spec: &[u8]) -> Result<PathBuf, Trouble> {
    let file = folder.join(SPEC_PATH);
    let trouble = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Trouble::Usage(format!("{} exists already: name another folder", file.display()))
        }
        _ => Trouble::Usage(format!("{}: {error}", file.display())),
    };
    std::fs::create_dir_all(folder).map_err(trouble)?;
    let mut open = std::fs::File::create_new(&file).map_err(trouble)?;
    open.write_all(spec).map_err(trouble)?;
    Ok(file)
}

/// A terminal obeys control characters, and the spec is somebody else's; whatever else reads gets every byte.
fn print(spec: &[u8]) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        let is_shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
        let text: String = String::from_utf8_lossy(spec).chars().filter(is_shown).collect();
        out.write_all(text.as_bytes())?;
    } else {
        out.write_all(spec)?;
    }
    Ok(out.flush()?)
}

fn usage(error: NameError) -> Trouble {
    Trouble::Usage(error.to_string())
}

fn trouble(error: PublishError) -> Trouble {
    match error.kind {
        PublishErrorKind::Unfit | PublishErrorKind::NotFound | PublishErrorKind::NoSpec => {
            Trouble::Usage(error.to_string())
        }
        PublishErrorKind::Taken => Trouble::Refused(error.to_string()),
        _ => Trouble::Machinery(error.into()),
    }
}
