//! The environment of a curated spec on a user's machine, with its kernel: built beside what is there, swapped in at once.
//!
//! - `environment` makes the environment with the programs that are there: uv, or Python's own, or micromamba;
//! - `kernel` is the file by which Jupyter finds it, and the swap.
//!
//! An environment lies in a folder called by the digest of its packages and counts only once a mark of its own is in it. Until
//! the kernel's file is put in place, in one step, the old kernel runs from the old folder. One install at a time has a name:
//! the lock is handed to every program that it starts, so it is held until the last of them has ended, even if docent is killed.

mod environment;
mod kernel;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::core::installation::Installation;
use crate::core::neutral;

pub use environment::{Means, Tools};

/// Where things go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Environments, each in a folder called like its kernel.
    pub environments: PathBuf,
    /// Where Jupyter looks for kernels.
    pub kernels: PathBuf,
}

/// What installing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The environment.
    pub environment: PathBuf,
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The environment was there already.
    pub was_there: bool,
}

/// Why a spec could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Another install of this name is at work.
    #[error("{name} is being installed already, by {holder}; wait for it, or give another name with --name")]
    Held { name: String, holder: String },
    /// A kernel of this name is somebody else's.
    #[error("there is a kernel {} that this place did not make; give another name with --name, or remove it", .0.display())]
    Foreign(PathBuf),
    /// A program is missing.
    #[error("{0}")]
    Missing(String),
    /// A program did not do what it should.
    #[error("{doing}: {program} ended with {code}{hint}\n{said}")]
    Program { doing: String, program: String, code: String, hint: &'static str, said: String },
    /// What was built is no environment with a kernel.
    #[error("{} has no kernel in it after all was installed: ipykernel is not whole", .0.display())]
    NoKernel(PathBuf),
    /// The machine.
    #[error("{}: {source}", file.display())]
    Io { file: PathBuf, source: std::io::Error },
}

fn io(file: &Path) -> impl FnOnce(std::io::Error) -> InstallError + '_ {
    |source| InstallError::Io { file: file.to_owned(), source }
}

/// Installs. When it returns, the kernel runs from the environment of this plan; when it fails, from what it ran before.
pub fn install(
    plan: &Installation,
    place: &Place,
    tools: &Tools,
    say: &dyn Fn(&str),
) -> Result<Installed, InstallError> {
    let home = place.environments.join(&plan.name);
    fs::create_dir_all(&home).map_err(io(&home))?;
    // Kernels are found by absolute paths, wherever Jupyter is started.
    let home = fs::canonicalize(&home).map_err(io(&home))?;
    let lock = hold(&home, &plan.name)?;
    let current = kernel::environment_of(&place.kernels, &plan.name, &home)?;
    let environment = home.join(format!("{}-{}", plan.digest(), tools.means.word()));
    let was_there = environment::is_whole(&environment);
    sweep(&home, &[Some(environment.clone()).filter(|_| was_there), current])?;
    if !was_there {
        environment::make(plan, &environment, tools, &lock, say)?;
    }
    let kernel = kernel::register(plan, &place.kernels, &environment)?;
    Ok(Installed { environment, kernel, was_there })
}

/// Holds the name, and writes down who does.
fn hold(home: &Path, name: &str) -> Result<Flock<File>, InstallError> {
    let file = home.join("lock");
    let open = File::options().create(true).truncate(false).read(true).write(true).open(&file);
    let mut lock = match Flock::lock(open.map_err(io(&file))?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((held, _)) => {
            let mut holder = String::new();
            let _ = held.take(1000).read_to_string(&mut holder);
            let holder = neutral::plain(&holder, 200);
            return Err(InstallError::Held { name: name.to_owned(), holder });
        }
    };
    let me = format!("process {}", std::process::id());
    let written = lock.rewind().and_then(|()| lock.set_len(0)).and_then(|()| lock.write_all(me.as_bytes()));
    written.map_err(io(&file))?;
    Ok(lock)
}

/// Removes what an install that was killed left half made, and what nobody has used since the last one. The environment that
/// the kernel runs from stays, for kernels that still run from it.
fn sweep(home: &Path, kept: &[Option<PathBuf>]) -> Result<(), InstallError> {
    for entry in fs::read_dir(home).map_err(io(home))?.flatten() {
        let path = entry.path();
        let is_kept = kept.iter().flatten().any(|kept| *kept == path);
        if !is_kept && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
    }
    Ok(())
}
