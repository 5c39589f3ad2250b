//! Chores of this repository: `cargo xtask`.

mod protogen;
mod sim;
mod syscalls;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask protogen  writes the code of crates/proto from its .proto files
cargo xtask tidy      checks what no compiler checks
cargo xtask syscalls  under strace: nothing is acknowledged before it is synced
cargo xtask sim       runs the simulator: [--seeds N] [--from SEED] [--mutants] [--mutant NAME] [--tail LINES]";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("protogen") => protogen::run(),
        Some("sim") => sim::run(arguments),
        Some("syscalls") => syscalls::run(),
        Some("tidy") => tidy::run(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
