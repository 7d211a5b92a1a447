//! The program. Everything is in the library, so that tests can name it.

use std::process::ExitCode;

fn main() -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(docent::cli::main()),
        Err(error) => {
            eprintln!("docent: this machine lets no program wait for the network: {error}");
            ExitCode::from(3)
        }
    }
}
