//! Chores of this repository: `cargo xtask`.

mod tidy;

use std::process::ExitCode;

const USAGE: &str = "cargo xtask tidy    checks what no compiler checks";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("tidy") => tidy::run(),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
