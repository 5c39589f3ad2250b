//! Histories kept in files, to compare with.

use std::env;
use std::path::{Path, PathBuf};

use super::history::History;
use crate::worker::RustWorker;

const VARIABLE: &str = "STRANDLINE_GOLDEN";

/// Compares with the file, or writes it. The error is a text for whoever runs the test.
pub(super) fn check(path: &Path, history: &History, worker: &RustWorker) -> Result<(), String> {
    let place = in_package(path);
    let shown = place.display();
    let actual = history.to_string();
    if env::var_os(VARIABLE).is_some_and(|value| value == "write") {
        let folder = place.parent().map_or(Ok(()), std::fs::create_dir_all);
        return folder
            .and_then(|()| std::fs::write(&place, actual))
            .map_err(|error| format!("the golden history {shown} can't be written: {error}"));
    }
    let golden = std::fs::read_to_string(&place).map_err(|error| {
        format!("there is no golden history {shown} ({error}): write it with `{VARIABLE}=write cargo test`")
    })?;
    if golden.replace("\r\n", "\n") == actual {
        return Ok(());
    }
    let meaning = match golden.parse::<History>().and_then(|golden| golden.replay(worker)) {
        Ok(()) => "Instances with the old history go on with the code as it is now.".to_owned(),
        Err(error) => {
            format!("Instances with the old history would FAIL with the code as it is now: {error:#}.")
        }
    };
    Err(format!(
        "the history is not the one in {shown}:\n{}\n{meaning}\nIf the change is meant, write the file anew with \
         `{VARIABLE}=write cargo test`",
        first_difference(&golden, &actual)
    ))
}

/// Relative paths begin at the package under test, wherever the test was started.
fn in_package(path: &Path) -> PathBuf {
    match env::var_os("CARGO_MANIFEST_DIR") {
        Some(package) => Path::new(&package).join(path),
        None => path.to_owned(),
    }
}

fn first_difference(golden: &str, actual: &str) -> String {
    let (mut golden_lines, mut actual_lines) = (golden.lines(), actual.lines());
    let mut number = 0;
    loop {
        number += 1;
        let (expected, found) = (golden_lines.next(), actual_lines.next());
        if expected != found || expected.is_none() {
            let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
            return format!("  line {number} of the file: {}\n  now: {}", show(expected), show(found));
        }
    }
}
