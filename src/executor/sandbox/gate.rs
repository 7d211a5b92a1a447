//! The gate of a sandbox: a task of this process behind a socket file, which the sandbox sees in a network namespace that
//! holds nothing else. It needs no privilege, and nothing of it outlives docent.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tokio::net::UnixListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::executor::gate::bundle::Bundle;
use crate::executor::gate::inside::{PROGRAM, SOCKET};
use crate::executor::gate::{Gate, Policy, Told};

use super::bwrap::Places;
use super::tree::{self, Owner};

/// An open gate; dropped, it is closed, with every connection through it.
#[derive(Debug)]
pub struct Open {
    /// Docent's own program, as the sandbox shall see it.
    pub program: PathBuf,
    /// It needs a loader.
    pub is_dynamic: bool,
    /// What it refused.
    pub told: Told,
    _stop: DropGuard,
}

/// Opens a gate in the attempt's `/in`, which is there already. Within a runtime.
pub fn open(
    places: &Places,
    programs: &std::path::Path,
    bundle: &Bundle,
    policy: Policy,
) -> io::Result<Open> {
    let home = places.place("in").join("gate");
    tree::make(&home, Owner::Docent)?;
    tree::make(&home.join(PROGRAM), Owner::Docent)?;
    let program = bundle.place(programs)?;
    // The path of a socket is short, and that of a state directory may be long.
    let folder = fs::File::open(&home)?;
    let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))?;
    // Nobody else of this machine shall go out through it.
    fs::set_permissions(home.join(SOCKET), Permissions::from_mode(0o600))?;
    tree::give(&home.join(SOCKET))?;
    let (told, stop) = (Told::default(), CancellationToken::new());
    tokio::spawn(Gate::new(policy, told.clone()).serve(listener, stop.clone()));
    Ok(Open { program, is_dynamic: bundle.is_dynamic(), told, _stop: stop.drop_guard() })
}
