//! `docent gate`: docent's own program as the gate of an attempt, and as what leads to it. Started by docent, not by people.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::Subcommand;
use tokio_util::sync::CancellationToken;

use crate::executor::gate::{self, Gate, PORT, Policy, Told, inside};

/// One part of a gate.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// The gate, between two networks.
    Serve {
        /// What may pass, as JSON.
        policy: String,
    },
    /// Begins an attempt in a sandbox.
    Enter {
        /// Its program and arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// Passes on what comes to the listener at the standard input.
    Relay {
        /// In a process of its own.
        #[arg(long)]
        leave: bool,
    },
    /// Waits until a service accepts connections.
    Reach {
        /// Its address and port.
        place: SocketAddr,
        /// How long.
        seconds: u64,
    },
    /// Tries from inside what can be reached.
    Try {
        /// A port that answers on this machine.
        port: u16,
        /// What should not be reached.
        places: Vec<SocketAddr>,
    },
}

/// Does this part.
pub fn gate(part: &Part) -> ExitCode {
    let done = match part {
        Part::Enter { command } => return ExitCode::from(inside::enter(command)),
        Part::Relay { leave: true } => inside::leave_relay(),
        Part::Relay { leave: false } => wait(inside::relay()),
        Part::Serve { policy } => wait(serve(policy)),
        Part::Reach { place, seconds } if inside::reach(place, *seconds) => Ok(()),
        Part::Reach { place, seconds } => {
            Err(std::io::Error::other(format!("{place} accepts nothing within {seconds} s")))
        }
        Part::Try { port, places } => {
            inside::try_out(*port, places);
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("docent: the gate: {error}");
            ExitCode::from(3)
        }
    }
}

fn wait(work: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    // One thread: its limits are small, and it mostly waits.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn serve(policy: &str) -> std::io::Result<()> {
    let policy: Policy = serde_json::from_str(policy)?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    println!("{}", gate::HEARS);
    Gate::new(policy, Told::aloud()).serve(listener, CancellationToken::new()).await;
    Ok(())
}
