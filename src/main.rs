//! The program. Everything is in the library, so that tests can name it.

use std::process::ExitCode;

fn main() -> ExitCode {
    docent::cli::main()
}
