//! `docent spec install`: the environment and the kernel of a curated spec, for whoever wants to work with it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::super::Trouble;
use super::image::{There, read};
use crate::core::installation::{Allowed, Installation, Uninstallable};
use crate::core::mistake::lines;
use crate::core::spec::{Mode, Spec};
use crate::install::{InstallError, Means, Place, Tools, install};

/// What to install, and where.
#[derive(Debug, Args)]
pub struct Install {
    /// A curated spec: a file, or an image as for `cat`.
    spec: String,
    /// The kernel's name; the spec's own if not given.
    #[arg(long)]
    name: Option<String>,
    /// Everything goes below this folder (`share/jupyter/kernels`, `share/docent/environments`), not to the user's own places.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// The folder of kernels, where it is not the usual one.
    #[arg(long, value_name = "DIR")]
    kernel_dir: Option<PathBuf>,
    /// The Python to take. It has to be of the spec's version.
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Build packages that have no wheel. Building runs code of the package.
    #[arg(long)]
    allow_builds: bool,
    /// Take packages from addresses that the spec names.
    #[arg(long)]
    allow_addresses: bool,
    /// Take a spec that has no checksum. One whose checksum does not fit is never taken.
    #[arg(long)]
    unverified: bool,
    #[command(flatten)]
    there: There,
}

/// Carries it out.
pub async fn carry_out(config: Option<&Path>, arguments: &Install) -> Result<ExitCode, Trouble> {
    let (name, bytes) = arguments.text(config).await?;
    let wrong = |why: &dyn std::fmt::Display| Trouble::Usage(format!("{name}: {why}"));
    let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
    let reading = Spec::read(&text, &name, &Mode { dev: Some(false), ..Mode::default() });
    let Some(spec) = reading.spec else { return Err(Trouble::Usage(lines(&reading.mistakes))) };
    let allowed = Allowed { addresses: arguments.allow_addresses, unverified: arguments.unverified };
    let plan = Installation::of(&spec, arguments.name.as_deref(), allowed).map_err(|error| match error {
        Uninstallable::Refused(_) => Trouble::Refused(format!("{name}: {error}")),
        _ => wrong(&error),
    })?;

    let kernel = plan.name.clone();
    let say = move |line: &str| eprintln!("{kernel}: {line}");
    say(&format!("{} of {name}", plan.display_name));
    plan.notes.iter().for_each(|note| say(note));
    let place = arguments.place()?;
    let python = arguments.python.as_deref().map(std::path::absolute).transpose()?;
    let path = std::env::var_os("PATH");
    let tools =
        Tools::find(&plan, path.as_deref(), python.as_deref(), arguments.allow_builds).map_err(trouble)?;
    if matches!(tools.means, Means::Micromamba { .. }) {
        say("conda packages by micromamba, a way that docent's own tests have not gone");
    }
    let installed = tokio::task::block_in_place(|| install(&plan, &place, &tools, &say)).map_err(trouble)?;
    if installed.was_there {
        say("the environment was there already");
    }
    println!("{} ({})", installed.kernel.display(), installed.environment.display());
    Ok(ExitCode::SUCCESS)
}

impl Install {
    /// What people call the spec, and its bytes. A name that can be that of a file is one.
    async fn text(&self, config: Option<&Path>) -> Result<(String, Vec<u8>), Trouble> {
        let file = Path::new(&self.spec);
        let is_path =
            self.spec.starts_with(['.', '/']) || [".yaml", ".yml"].iter().any(|end| self.spec.ends_with(end));
        if is_path || file.is_file() {
            return Ok((self.spec.clone(), read(file)?));
        }
        let (place, tag, found) = self.there.find(config, &self.spec).await?;
        Ok((format!("{place}:{tag}"), found.spec))
    }

    fn place(&self) -> Result<Place, Trouble> {
        let variable =
            |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = match (&self.prefix, variable("XDG_DATA_HOME"), variable("HOME")) {
            (Some(prefix), _, _) => std::path::absolute(prefix)?.join("share"),
            (None, Some(data), _) if data.is_absolute() => data,
            (None, _, Some(home)) => home.join(".local/share"),
            (None, _, None) => {
                return Err(Trouble::Usage(
                    "there is no HOME to install into: name a folder with --prefix".into(),
                ));
            }
        };
        let jupyter = match (&self.prefix, variable("JUPYTER_DATA_DIR"), variable("HOME")) {
            (None, Some(jupyter), _) => jupyter,
            (None, None, Some(home)) if cfg!(target_os = "macos") => home.join("Library/Jupyter"),
            _ => data.join("jupyter"),
        };
        let kernels = match &self.kernel_dir {
            Some(folder) => std::path::absolute(folder)?,
            None => jupyter.join("kernels"),
        };
        Ok(Place { environments: data.join("docent/environments"), kernels })
    }
}

fn trouble(error: InstallError) -> Trouble {
    match error {
        InstallError::Held { .. } | InstallError::Foreign(_) => Trouble::Refused(error.to_string()),
        InstallError::Missing(_) => Trouble::Usage(error.to_string()),
        _ => Trouble::Machinery(error.into()),
    }
}
