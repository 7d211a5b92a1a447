//! Images made here: from a Containerfile where its base image can be had, else by importing a root filesystem.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bollard::body_try_stream;
use bollard::query_parameters::{BuildImageOptionsBuilder, CreateImageOptions};
use futures_util::StreamExt;
use tokio_util::io::{ReaderStream, SyncIoBridge};
use walkdir::WalkDir;

use crate::executor::contract::{PATH, USER};
use crate::executor::rootfs::{self, Description};
use crate::executor::{ExecutorError, io_error};

use super::Container;
use super::connect::{chain, failed};

const PIPE: usize = 256 << 10;

/// Makes the image of this description in the engine, and says what it is doing.
pub async fn build(
    executor: &Container,
    description: &Description,
    state: &Path,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), ExecutorError> {
    if let Some(containerfile) = &description.containerfile
        && has_base(executor, containerfile, say).await?
    {
        return from_containerfile(executor, containerfile, &description.image, say).await;
    }
    let (description, state) = (description.clone(), state.to_owned());
    let access = executor.settings.access.clone();
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel::<String>();
    let image = description.image.clone();
    let making = tokio::task::spawn_blocking(move || {
        rootfs::make(&description, &state, &access, &mut |line| drop(sender.send(line.to_owned())))
    });
    while let Some(line) = lines.recv().await {
        say(&line);
    }
    let root = making.await.map_err(|error| ExecutorError::Broken(format!("making {image}: {error}")))??;
    say(&format!("importing {image}"));
    import(executor, &root, &image).await
}

/// Imports a root filesystem under this name. Everything in it belongs to root, but for what an attempt writes to.
pub async fn import(executor: &Container, root: &Path, image: &str) -> Result<(), ExecutorError> {
    let changes = vec![
        "WORKDIR /repo".to_owned(),
        "CMD [\"/bin/sh\"]".to_owned(),
        format!("ENV PATH={PATH} LANG=C.UTF-8"),
    ];
    let from = root.to_owned();
    import_written(executor, image, changes, move |writer| write_root(&from, writer)).await
}

/// Imports what this writes as an archive.
pub async fn import_written(
    executor: &Container,
    image: &str,
    changes: Vec<String>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<(), ExecutorError> {
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        // With its tag: Podman overlooks one that is given apart.
        repo: Some(image.to_owned()),
        changes,
        ..Default::default()
    };
    let (body, writing) = stream(write);
    let mut answers = executor.engine.docker.create_image(Some(options), Some(body_try_stream(body)), None);
    let mut refused = None;
    while let Some(answer) = answers.next().await {
        if let Err(error) = answer {
            refused = Some(error);
        }
    }
    let written =
        writing.await.map_err(|error| ExecutorError::Broken(format!("importing {image}: {error}")))?;
    match (refused, written) {
        (Some(error), _) => Err(failed(format!("importing {image}"))(error)),
        (None, Err(error)) => Err(io_error(format!("reading what {image} is made of"), error)),
        (None, Ok(())) if executor.image_exists(image).await? => Ok(()),
        (None, Ok(())) => Err(ExecutorError::Broken(format!("the engine took {image} and does not know it"))),
    }
}

/// `repo:tag`; a colon before the last slash is a registry's port.
fn split(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => (repo, tag),
        _ => (image, "latest"),
    }
}

type Writing = tokio::task::JoinHandle<io::Result<()>>;

/// A request's body, written by a thread while it is sent.
fn stream(
    write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> (ReaderStream<tokio::io::DuplexStream>, Writing) {
    let (writer, reader) = tokio::io::duplex(PIPE);
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = SyncIoBridge::new(writer);
        let written = write(&mut writer);
        writer.shutdown().and(written)
    });
    (ReaderStream::with_capacity(reader, PIPE), writing)
}

fn write_root(root: &Path, writer: &mut dyn Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(PIPE, writer));
    for entry in WalkDir::new(root).min_depth(1).follow_links(false).sort_by_file_name() {
        let entry = entry?;
        let path = entry.path().strip_prefix(root).map_err(io::Error::other)?;
        let metadata = entry.metadata()?;
        let mut header = tar::Header::new_gnu();
        let is_ours = ["repo", "out", "env"].iter().any(|it| path == Path::new(it));
        let owner = u64::from(if is_ours { USER } else { 0 });
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(0);
        header.set_size(0);
        header.set_mode(metadata.permissions().mode() & 0o1777);
        if metadata.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, path, io::empty())?;
        } else if metadata.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, path, fs::read_link(entry.path())?)?;
        } else if metadata.is_file() {
            header.set_size(metadata.len());
            tar.append_data(&mut header, path, File::open(entry.path())?)?;
        }
    }
    tar.into_inner()?.flush()
}

/// Whether all that the Containerfile begins with is here or can be pulled.
async fn has_base(
    executor: &Container,
    containerfile: &Path,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<bool, ExecutorError> {
    let text = fs::read_to_string(containerfile)
        .map_err(|error| io_error(format!("reading {}", containerfile.display()), error))?;
    for base in bases(&text) {
        if executor.image_exists(base).await? {
            continue;
        }
        say(&format!("pulling {base}"));
        let (repo, tag) = split(base);
        let options = CreateImageOptions {
            from_image: Some(repo.to_owned()),
            tag: Some(tag.to_owned()),
            ..Default::default()
        };
        let mut answers = executor.engine.docker.create_image(Some(options), None, None);
        while let Some(answer) = answers.next().await {
            if let Err(error) = answer {
                say(&format!(
                    "{base} cannot be pulled ({}); making the image from packages instead",
                    chain(&error)
                ));
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The images that a Containerfile starts from, but for its own stages.
fn bases(text: &str) -> Vec<&str> {
    let mut stages = vec!["scratch"];
    let mut bases = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().filter(|word| !word.starts_with("--"));
        if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("from")) {
            continue;
        }
        let Some(base) = words.next() else { continue };
        if !stages.contains(&base) {
            bases.push(base);
        }
        if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as")) {
            stages.extend(words.next());
        }
    }
    bases
}

async fn from_containerfile(
    executor: &Container,
    containerfile: &Path,
    image: &str,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), ExecutorError> {
    let context = containerfile.parent().unwrap_or(Path::new(".")).to_owned();
    let name = containerfile.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let options = BuildImageOptionsBuilder::new().dockerfile(&name).t(image).rm(true).forcerm(true).build();
    let (body, writing) = stream(move |writer| write_root(&context, writer));
    let mut answers = executor.engine.docker.build_image(options, None, Some(body_try_stream(body)));
    while let Some(answer) = answers.next().await {
        let line = answer.map_err(failed(format!("building {image}")))?.stream.unwrap_or_default();
        if !line.trim().is_empty() {
            say(line.trim_end());
        }
    }
    writing
        .await
        .map_err(|error| ExecutorError::Broken(format!("building {image}: {error}")))?
        .map_err(|error| io_error(format!("reading {}", containerfile.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bases_are_read_as_the_engine_reads_them() {
        assert_eq!(split("docent/notebook:1"), ("docent/notebook", "1"));
        assert_eq!(split("localhost:5000/notebook"), ("localhost:5000/notebook", "latest"));
        let text = "FROM --platform=linux/amd64 python:3.12 AS base\nfrom base\nRUN true\nFROM scratch\n";
        assert_eq!(bases(text), ["python:3.12"]);
    }
}
