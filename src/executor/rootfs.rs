//! Root filesystems without a registry: the files of Debian packages and of Python wheels, unpacked side by side. No
//! maintainer script, no `setup.py` runs. The same directory is imported as an image, and is the root of a sandbox.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::contract::USER;
use super::{Access, ExecutorError, io_error};

/// What an image is made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// Its name: `docent/notebook:1`.
    pub image: String,
    /// Debian packages; what they depend on comes along.
    pub packages: Vec<String>,
    /// Python packages for `/opt/tools`, as pip reads them (`uv`, `pytest==8.4.2`); wheels only.
    pub python: Vec<String>,
    /// A Containerfile that makes the same, used where its base image can be had.
    pub containerfile: Option<PathBuf>,
}

/// In the root filesystem: what tells it from all others.
const IDENTITY: &str = ".docent-image";

/// Where the root filesystem of this image is kept.
pub fn directory(state: &Path, image: &str) -> PathBuf {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let name: String = image.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    // A leading dot would lead out of here, or hide it.
    let name = if name.is_empty() || name.starts_with('.') { format!("_{name}") } else { name };
    state.join("images").join(name).join("rootfs")
}

/// Which root filesystem of this image is kept: each time it is made it is another one. None: there is none, or it is of a
/// time when nobody noted it.
pub fn identity(state: &Path, image: &str) -> Option<String> {
    let noted = fs::read_to_string(directory(state, image).join(IDENTITY)).ok()?;
    Some(format!("rootfs:{}", noted.trim()))
}

/// Makes the root filesystem anew at its place; the old one stays until the new one is whole. Blocks for seconds to
/// minutes, and says what it is doing.
pub fn make(
    description: &Description,
    state: &Path,
    access: &Access,
    say: &mut dyn FnMut(&str),
) -> Result<PathBuf, ExecutorError> {
    let place = directory(state, &description.image);
    let home = place.parent().unwrap_or(state);
    fs::create_dir_all(home).map_err(|error| io_error(format!("making {}", home.display()), error))?;
    let making = tempfile::Builder::new()
        .prefix(".making-")
        .tempdir_in(home)
        .map_err(|error| io_error(format!("making a directory in {}", home.display()), error))?;
    let root = making.path().join("rootfs");
    let scratch = making.path().join("scratch");
    fs::create_dir_all(&scratch)
        .and_then(|()| skeleton(&root))
        .map_err(|error| io_error("laying out", error))?;

    unpack_packages(&description.packages, &root, &scratch, say)?;
    if !description.python.is_empty() {
        install_python(&description.python, &root, &scratch, access, say)?;
    }
    fs::write(root.join(IDENTITY), format!("{:032x}\n", rand::random::<u128>()))
        .map_err(|error| io_error("noting which root filesystem it is", error))?;
    finish(&root).map_err(|error| io_error("finishing the root filesystem", error))?;
    put_in_place(&root, &place, making.path())
        .map_err(|error| io_error(format!("replacing {}", place.display()), error))?;
    say(&format!("root filesystem of {} is ready", description.image));
    Ok(place)
}

fn put_in_place(root: &Path, place: &Path, making: &Path) -> io::Result<()> {
    if place.exists() {
        fs::rename(place, making.join("old"))?;
    }
    fs::rename(root, place)
}

fn skeleton(root: &Path) -> io::Result<()> {
    for directory in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(directory))?;
        symlink(Path::new("usr").join(directory), root.join(directory))?;
    }
    fs::set_permissions(root, Permissions::from_mode(0o755))
}

/// The closure of these packages, downloaded without touching this machine's own, and their files without those
/// that nobody reads in a container.
fn unpack_packages(
    packages: &[String],
    root: &Path,
    scratch: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<(), ExecutorError> {
    if packages.is_empty() {
        return Ok(());
    }
    say(&format!("downloading {} Debian packages and what they need", packages.len()));
    let debs = download(packages, scratch)?;
    say(&format!("unpacking {} packages", debs.len()));
    for deb in &debs {
        unpack(deb, root)?;
    }
    Ok(())
}

fn download(packages: &[String], scratch: &Path) -> Result<Vec<PathBuf>, ExecutorError> {
    let cache = scratch.join("debs");
    let state = scratch.join("dpkg");
    fs::create_dir_all(cache.join("partial"))
        .and_then(|()| fs::create_dir_all(&state))
        .and_then(|()| fs::write(state.join("status"), ""))
        .map_err(|error| io_error("making a place for packages", error))?;
    for old in list(&cache, "deb").map_err(|error| io_error("listing packages", error))? {
        fs::remove_file(&old).map_err(|error| io_error("removing a package", error))?;
    }
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-y", "--no-install-recommends", "--download-only"]);
    apt.arg("-o").arg(format!("Dir::State::status={}", state.join("status").display()));
    apt.arg("-o").arg(format!("Dir::Cache::archives={}", cache.display()));
    apt.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", "install", "--"]).args(packages);
    run(&mut apt, "downloading packages (`apt-get update` may help)")?;
    list(&cache, "deb").map_err(|error| io_error("listing packages", error))
}

fn unpack(deb: &Path, root: &Path) -> Result<(), ExecutorError> {
    let what = format!("unpacking {}", deb.display());
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(deb)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| absent_program("dpkg-deb", error))?;
    let Some(stream) = reader.stdout.take() else {
        return Err(ExecutorError::Broken(format!("{what}: no output of dpkg-deb")));
    };
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--keep-directory-symlink", "-C"]).arg(root);
    tar.args(["man", "doc", "locale", "info", "lintian"].map(|it| format!("--exclude=./usr/share/{it}/*")));
    let unpacked = run(tar.stdin(stream), &what);
    let read = reader.wait().map_err(|error| io_error(what.clone(), error))?;
    unpacked?;
    if read.success() {
        Ok(())
    } else {
        Err(ExecutorError::Broken(format!("{what}: dpkg-deb failed ({read})")))
    }
}

/// Wheels of these requirements into `/opt/tools`, by pip in the root filesystem's own Python, so that they fit it.
fn install_python(
    requirements: &[String],
    root: &Path,
    scratch: &Path,
    access: &Access,
    say: &mut dyn FnMut(&str),
) -> Result<(), ExecutorError> {
    say(&format!("installing {}", requirements.join(", ")));
    let pip = pip_wheel(scratch)?;
    let tools = root.join("opt/tools");
    let library = tools.join("lib");
    let mut install = python(root)?;
    install
        .env("PYTHONPATH", pip)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore");
    install.envs(access.addresses.iter());
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--no-cache-dir",
        "--only-binary=:all:",
    ]);
    install.arg("--target").arg(&library).arg("--").args(requirements);
    run(&mut install, "installing Python packages")?;

    move_programs(&library.join("bin"), &tools.join("bin"))
        .map_err(|error| io_error("placing programs", error))?;
    let mut compile = python(root)?;
    compile.args(["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s"]).arg(root);
    compile.args(["-p", "/"]).arg(&library);
    // Files for other versions of Python do not compile; nothing depends on it.
    let _ = compile.stdout(Stdio::null()).stderr(Stdio::null()).status();
    // Where every Python 3 of Debian looks, whatever its version.
    let site = root.join("usr/lib/python3/dist-packages");
    fs::create_dir_all(&site)
        .and_then(|()| fs::write(site.join("docent-tools.pth"), "/opt/tools/lib\n"))
        .map_err(|error| io_error("telling Python of the tools", error))?;
    Ok(())
}

/// Debian's wheel of pip: whatever pip this machine has, or has not, does not matter.
fn pip_wheel(scratch: &Path) -> Result<PathBuf, ExecutorError> {
    let root = scratch.join("pip");
    fs::create_dir_all(&root).map_err(|error| io_error("making a place for pip", error))?;
    // Only this package of all that it depends on: the wheel needs nothing but Python.
    for deb in download(&["python3-pip-whl".to_owned()], scratch)? {
        if deb.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3-pip-whl")) {
            unpack(&deb, &root)?;
        }
    }
    list(&root.join("usr/share/python-wheels"), "whl")
        .ok()
        .and_then(|wheels| wheels.into_iter().next())
        .ok_or_else(|| ExecutorError::Broken("the Debian package python3-pip-whl holds no wheel".to_owned()))
}

/// Python of the root filesystem, run with the libraries from there.
fn python(root: &Path) -> Result<Command, ExecutorError> {
    let program = list(&root.join("usr/bin"), "")
        .unwrap_or_default()
        .into_iter()
        .rfind(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3.")));
    let loader = list(&root.join("usr/lib64"), "2").unwrap_or_default().into_iter().next();
    let loader = loader.or_else(|| {
        let name =
            |path: &PathBuf| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("ld-linux"));
        list(&root.join("usr/lib"), "1").unwrap_or_default().into_iter().find(name)
    });
    let (Some(program), Some(loader)) = (program, loader) else {
        return Err(ExecutorError::Broken(
            "Python packages need Python: add `python3` to the Debian packages of the image".to_owned(),
        ));
    };
    let libraries: Vec<PathBuf> = fs::read_dir(root.join("usr/lib"))
        .map_err(|error| io_error("looking for libraries", error))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-linux-gnu")))
        .chain([root.join("usr/lib")])
        .collect();
    // Links of the root filesystem are relative or lead to its own /lib; either is found through these.
    let mut command = Command::new(loader);
    command.arg("--library-path").arg(std::env::join_paths(libraries).unwrap_or_default()).arg(program);
    command.env("PYTHONHOME", root.join("usr")).env_remove("PYTHONPATH").env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// Programs get the root filesystem's own Python as their interpreter, not the path at which it stood while installing.
fn move_programs(from: &Path, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for program in list(from, "").or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Vec::new()),
        _ => Err(error),
    })? {
        let Some(name) = program.file_name() else { continue };
        let content = fs::read(&program)?;
        let place = into.join(name);
        match content.strip_prefix(b"#!").and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            Some(end) if content[..end + 2].windows(6).any(|it| it == b"python") => {
                fs::write(&place, [b"#!/usr/bin/python3\n".as_slice(), &content[end + 3..]].concat())?;
            }
            _ => fs::write(&place, content)?,
        }
        fs::set_permissions(&place, Permissions::from_mode(0o755))?;
    }
    if from.exists() { fs::remove_dir_all(from) } else { Ok(()) }
}

/// What an attempt expects to find, and what it must not.
fn finish(root: &Path) -> io::Result<()> {
    for directory in
        ["etc", "opt/tools/bin", "tmp", "proc", "sys", "dev", "run", "repo", "recipe", "in", "out", "env"]
    {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::set_permissions(root.join("tmp"), Permissions::from_mode(0o1777))?;
    fs::write(
        root.join("etc/passwd"),
        format!("root:x:0:0:root:/root:/bin/sh\nnobody:x:{USER}:{USER}:nobody:/tmp:/bin/sh\n"),
    )?;
    fs::write(root.join("etc/group"), format!("root:x:0:\nnogroup:x:{USER}:\n"))?;
    fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n::1 localhost\n")?;
    // Mounted over at run time; a sandbox's root is read-only by then.
    fs::write(root.join("etc/resolv.conf"), "")?;
    let python = root.join("usr/bin/python3");
    if !python.exists()
        && let Some(real) =
            list(&root.join("usr/bin"), "")?.into_iter().rfind(|path| name_starts(path, "python3."))
        && let Some(name) = real.file_name()
    {
        symlink(name, python)?;
    }
    strip_set_ids(root)
}

/// No program becomes somebody else; where privileges cannot be gained, the bits only mislead.
fn strip_set_ids(root: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(root).follow_links(false) {
        let entry = entry?;
        if entry.file_type().is_symlink() {
            continue;
        }
        let mode = entry.metadata()?.permissions().mode();
        if mode & 0o6000 != 0 {
            fs::set_permissions(entry.path(), Permissions::from_mode(mode & 0o1777))?;
        }
    }
    Ok(())
}

fn name_starts(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// What stands in this directory, sorted; with this extension, unless that is empty.
fn list(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|it| it.map(|it| it.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| extension.is_empty() || path.extension() == Some(OsStr::new(extension)));
    paths.sort();
    Ok(paths)
}

fn run(command: &mut Command, what: &str) -> Result<(), ExecutorError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let output =
        output.and_then(|child| child.wait_with_output()).map_err(|error| absent_program(&program, error))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    Err(ExecutorError::Broken(format!("{what}: {program} failed ({}):\n{last}", output.status)))
}

fn absent_program(program: &str, error: io::Error) -> ExecutorError {
    if error.kind() == io::ErrorKind::NotFound {
        ExecutorError::Broken(format!(
            "`{program}` is missing: without an image registry, images are made from Debian packages, which needs \
             apt-get, dpkg-deb and tar"
        ))
    } else {
        io_error(format!("running {program}"), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_a_directory_of_its_own_below_the_state() {
        let at = |image: &str| directory(Path::new("/s"), image).display().to_string();
        assert_eq!(at("docent/notebook:1"), "/s/images/docent_notebook_1/rootfs");
        assert_eq!(at("../../etc"), "/s/images/_.._.._etc/rootfs");
        assert!(!at("..").contains("/../"));
        assert!(!at("").contains("//"));
    }

    #[test]
    fn programs_find_the_interpreter_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let (from, into) = (dir.path().join("from"), dir.path().join("into"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("tool"), "#!/build/usr/bin/python3.11\nprint()\n").unwrap();
        fs::write(from.join("binary"), b"\x7fELF\0").unwrap();
        move_programs(&from, &into).unwrap();
        assert_eq!(fs::read_to_string(into.join("tool")).unwrap(), "#!/usr/bin/python3\nprint()\n");
        assert_eq!(fs::read(into.join("binary")).unwrap(), b"\x7fELF\0");
        assert!(!from.exists());
    }
}
