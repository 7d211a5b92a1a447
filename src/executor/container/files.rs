//! Files into and out of an attempt's volumes, as tar streams that are never whole in memory. A link of the repository
//! travels as a link: on this host nothing ever follows it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use bollard::{Docker, body_try_stream};
use futures_util::TryStreamExt;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};
use walkdir::WalkDir;

use crate::executor::contract::USER;
use crate::executor::{ExecutorError, Job, harvest, input_name, io_error};

use super::connect::failed;
use super::profile::Place;

const PIPE: usize = 256 << 10;

/// Puts the job's files into the volumes of this (never started) container.
///
/// Docker takes them all at `/`, and the owners of the volumes' roots with them. Podman would put them beside the
/// volumes then: there, each has an upload of its own, and the engine itself gives the roots to the container's user.
pub async fn upload(
    docker: &Docker,
    container: &str,
    job: &Job,
    inputs: BTreeMap<String, Vec<u8>>,
    is_podman: bool,
) -> Result<(), ExecutorError> {
    let places = Place::all(job.environment);
    if !is_podman {
        return send(docker, container, "/".to_owned(), job, places, inputs).await;
    }
    for place in places {
        if matches!(place, Place::Repo | Place::Recipe | Place::In) {
            send(docker, container, format!("/{}", place.name()), job, vec![place], inputs.clone()).await?;
        }
    }
    Ok(())
}

async fn send(
    docker: &Docker,
    container: &str,
    at: String,
    job: &Job,
    places: Vec<Place>,
    inputs: BTreeMap<String, Vec<u8>>,
) -> Result<(), ExecutorError> {
    let (writer, reader) = tokio::io::duplex(PIPE);
    let (repo, recipe) = (job.repo.clone(), job.recipe.clone());
    let is_root = at == "/";
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = SyncIoBridge::new(writer);
        let written = write_all(&mut writer, is_root, &places, &repo, &recipe, &inputs);
        // Without this the reader would wait for ever on a bridge dropped outside of the runtime.
        writer.shutdown().and(written)
    });
    let options = UploadToContainerOptionsBuilder::new().path(&at).build();
    let sent = docker
        .upload_to_container(
            container,
            Some(options),
            body_try_stream(ReaderStream::with_capacity(reader, PIPE)),
        )
        .await;
    // Docent's own failure to read says more than the engine's complaint about a stream that was cut short.
    match writing.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if sent.is_ok() || error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(io_error("reading the files of the job", error));
        }
        Ok(Err(_)) => {}
        Err(error) => return Err(ExecutorError::Broken(format!("reading the files of the job: {error}"))),
    }
    sent.map_err(failed("putting files into the volumes"))
}

fn write_all(
    writer: &mut impl Write,
    has_tops: bool,
    places: &[Place],
    repo: &Path,
    recipe: &Path,
    inputs: &BTreeMap<String, Vec<u8>>,
) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::with_capacity(PIPE, writer));
    for place in places {
        let owner = if place.is_writable() { USER } else { 0 };
        let top = PathBuf::from(if has_tops { place.name() } else { "" });
        match place {
            // Its content stays, and so does its owner: an attempt that may only read does not take it from one that wrote.
            Place::Env { .. } => append_directory(&mut tar, &top, USER)?,
            Place::Out => append_directory(&mut tar, &top, owner)?,
            Place::Repo => append_tree(&mut tar, repo, &top, owner)?,
            Place::Recipe => append_tree(&mut tar, recipe, &top, owner)?,
            Place::In => {
                append_directory(&mut tar, &top, owner)?;
                for (name, content) in inputs {
                    let mut header = header(tar::EntryType::Regular, 0o444, owner, 0);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, top.join(input_name(name)?), content.as_slice())?;
                }
            }
        }
    }
    tar.into_inner()?.flush()
}

fn append_tree(tar: &mut tar::Builder<impl Write>, from: &Path, top: &Path, owner: u32) -> io::Result<()> {
    append_directory(tar, top, owner)?;
    for entry in WalkDir::new(from).min_depth(1).follow_links(false).sort_by_file_name() {
        let entry = entry?;
        let below = entry.path().strip_prefix(from).map_err(io::Error::other)?;
        let path = top.join(below);
        let kind = entry.file_type();
        if kind.is_dir() {
            append_directory(tar, &path, owner)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path())?;
            tar.append_link(&mut header(tar::EntryType::Symlink, 0o777, owner, 0), &path, target)?;
        } else if kind.is_file() {
            let file = open_itself(entry.path())?;
            let metadata = file.metadata()?;
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            let mut header = header(tar::EntryType::Regular, mode, owner, metadata.mtime().max(0) as u64);
            header.set_size(metadata.len());
            // A file that shrinks while it is read must not shift everything behind it.
            let exactly = file.chain(io::repeat(0)).take(metadata.len());
            tar.append_data(&mut header, &path, exactly)?;
        }
    }
    Ok(())
}

/// The file, if it is still one: not what a link put in its place leads to.
fn open_itself(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits()).open(path)
}

fn append_directory(tar: &mut tar::Builder<impl Write>, path: &Path, owner: u32) -> io::Result<()> {
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    tar.append_data(&mut header(tar::EntryType::Directory, 0o755, owner, 0), path, io::empty())
}

fn header(kind: tar::EntryType, mode: u32, owner: u32, mtime: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(u64::from(owner));
    header.set_gid(u64::from(owner));
    header.set_mtime(mtime);
    header.set_size(0);
    header
}

/// Takes `/out` of this container over. Docker names what is in it `out/…`, Podman `/…`.
pub async fn collect(
    docker: &Docker,
    container: &str,
    into: &Path,
    max_bytes: u64,
    is_podman: bool,
) -> Result<(), ExecutorError> {
    let top = if is_podman { "/" } else { "out" };
    let options = DownloadFromContainerOptionsBuilder::new().path("/out").build();
    let stream = docker.download_from_container(container, Some(options)).map_err(io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(stream)));
    let to = into.to_owned();
    tokio::task::spawn_blocking(move || harvest::unpack(reader, top, &to, max_bytes))
        .await
        .map_err(|error| ExecutorError::Broken(format!("collecting /out: {error}")))?
        .map_err(|error| io_error(format!("collecting /out into {}", into.display()), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_links_and_special_files_stay_outside() {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        let long = "d".repeat(120);
        fs::create_dir_all(repo.join(&long)).unwrap();
        fs::write(repo.join(&long).join("notebook.ipynb"), "{}").unwrap();
        fs::write(repo.join("run.sh"), "true").unwrap();
        fs::set_permissions(repo.join("run.sh"), fs::Permissions::from_mode(0o4700)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", repo.join("link")).unwrap();
        nix::unistd::mkfifo(&repo.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        let mut bytes = Vec::new();
        let inputs = BTreeMap::from([("plan.json".to_owned(), b"{}".to_vec())]);
        write_all(&mut bytes, true, &Place::all(crate::executor::Environment::Read), &repo, &repo, &inputs)
            .unwrap();
        let mut seen = Vec::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            seen.push(format!(
                "{:?} {:o} {} {}",
                header.entry_type(),
                header.mode().unwrap(),
                header.uid().unwrap(),
                entry.path().unwrap().display().to_string().replace(&long, "LONG"),
            ));
        }
        insta::assert_snapshot!(seen.join("\n"), @r"
        Directory 755 65534 repo
        Directory 755 65534 repo/LONG
        Regular 644 65534 repo/LONG/notebook.ipynb
        Symlink 777 65534 repo/link
        Regular 755 65534 repo/run.sh
        Directory 755 0 recipe
        Directory 755 0 recipe/LONG
        Regular 644 0 recipe/LONG/notebook.ipynb
        Symlink 777 0 recipe/link
        Regular 755 0 recipe/run.sh
        Directory 755 0 in
        Regular 444 0 in/plan.json
        Directory 755 65534 out
        Directory 755 65534 env
        ");
        assert!(input_name("../x").is_err());
    }
}
