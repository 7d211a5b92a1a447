//! `kernel.json`, by which Jupyter finds a kernel; and by which docent knows which environment it made for it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::environment::python_of;
use super::{InstallError, io};
use crate::core::installation::Installation;

/// Whose environments a kernel's file names.
const OURS: &str = "docent";
/// No kernel's file is as large.
const MAX_BYTES: u64 = 1 << 20;

/// The environment from which the kernel runs now, below `home`. One of another place, or of somebody else, is left alone.
pub fn environment_of(kernels: &Path, name: &str, home: &Path) -> Result<Option<PathBuf>, InstallError> {
    let folder = kernels.join(name);
    let file = folder.join("kernel.json");
    let foreign = || InstallError::Foreign(folder.clone());
    match fs::symlink_metadata(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&folder)(error)),
        Ok(meta) if !meta.is_dir() => return Err(foreign()),
        Ok(_) => {}
    }
    let size = match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&file)(error)),
        Ok(meta) => meta.len(),
    };
    let text = if size <= MAX_BYTES { fs::read(&file).map_err(io(&file))? } else { Vec::new() };
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    let environment = value["metadata"][OURS]["environment"].as_str().map(PathBuf::from);
    environment.filter(|environment| environment.parent() == Some(home)).map(Some).ok_or_else(foreign)
}

/// Lets the kernel run from this environment, from one moment to the next. Gives its file.
pub fn register(plan: &Installation, kernels: &Path, environment: &Path) -> Result<PathBuf, InstallError> {
    let folder = kernels.join(&plan.name);
    let file = folder.join("kernel.json");
    fs::create_dir_all(&folder).map_err(io(&folder))?;
    let text = json!({
        "argv": [python_of(environment), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": plan.display_name,
        "language": "python",
        "env": plan.variables,
        "metadata": { "debugger": true, OURS: { "environment": environment } },
    });
    let text = format!("{text:#}\n");
    if fs::read_to_string(&file).is_ok_and(|there| there == text) {
        return Ok(file);
    }
    // A folder without its file is no kernel, so what a death leaves here is none either.
    let mut new = tempfile::NamedTempFile::new_in(&folder).map_err(io(&folder))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.write_all(text.as_bytes()).and_then(|()| new.as_file().set_permissions(mode)).map_err(io(&file))?;
    new.as_file().sync_all().map_err(io(&file))?;
    new.persist(&file).map_err(|error| io(&file)(error.error))?;
    Ok(file)
}
