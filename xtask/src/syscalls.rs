//! `cargo xtask syscalls`: under strace, no acknowledgement leaves the process before the log that
//! holds what it acknowledges is synced. kill -9 can't show this: the page cache survives it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use cargo_metadata::Message;

/// Acknowledged starts to look at.
const ACKNOWLEDGEMENTS: usize = 300;

pub(crate) fn run() -> ExitCode {
    match check() {
        Ok(checked) => {
            println!("{checked} acknowledgements, each after the sync of what it acknowledges");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("syscalls: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> Result<usize, String> {
    if Command::new("strace").arg("--version").output().is_err() {
        return Err("strace is not installed: apt-get install strace".to_owned());
    }
    let program = load_program()?;
    let place = std::env::temp_dir().join(format!("strandline-syscalls-{}", std::process::id()));
    let trace = place.join("trace");
    std::fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
    let outcome = trace_load(&program, &place.join("hub"), &trace).and_then(|()| {
        let file = std::fs::File::open(&trace).map_err(|e| format!("{}: {e}", trace.display()))?;
        judge(BufReader::new(file).lines().map_while(Result::ok))
    });
    // The place is in the system's folder for such things; leaving it would do no harm.
    let _ = std::fs::remove_dir_all(&place);
    outcome
}

/// The test that can run as a program which prints what was acknowledged.
fn load_program() -> Result<String, String> {
    let mut build = Command::new(env!("CARGO"))
        .args(["test", "--package", "strandline", "--test", "kill", "--no-run", "--message-format=json"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo: {e}"))?;
    let output = build.stdout.take().ok_or("cargo has no output")?;
    let mut program = None;
    for message in Message::parse_stream(BufReader::new(output)).map_while(Result::ok) {
        if let Message::CompilerArtifact(artifact) = message
            && artifact.target.name == "kill"
        {
            program = artifact.executable;
        }
    }
    build.wait().map_err(|e| format!("cargo: {e}"))?;
    program.map(String::from).ok_or_else(|| "the load program was not built".to_owned())
}

fn trace_load(program: &str, hub: &Path, trace: &Path) -> Result<(), String> {
    let mut traced = Command::new("strace")
        .args(["-f", "-y", "-s", "10000000", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(trace)
        .args([program, "--exact", "load_program", "--nocapture", "--test-threads=1"])
        .env("STRANDLINE_KILL_DIR", hub)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("strace: {e}"))?;
    let output = traced.stdout.take().ok_or("the load program has no output")?;
    let started = BufReader::new(output).lines().map_while(Result::ok).filter(|l| l.starts_with("started "));
    let seen = started.take(ACKNOWLEDGEMENTS).count();
    traced.kill().map_err(|e| format!("strace: {e}"))?;
    traced.wait().map_err(|e| format!("strace: {e}"))?;
    if seen < ACKNOWLEDGEMENTS {
        return Err(format!("the load program acknowledged only {seen} starts"));
    }
    Ok(())
}

/// Reads a trace and checks every acknowledged start. Returns how many there were.
fn judge(lines: impl Iterator<Item = String>) -> Result<usize, String> {
    // Ids that were written to the log, with whether a sync that began later has ended.
    let mut synced: BTreeMap<String, bool> = BTreeMap::new();
    // Written by a thread since its last sync began, and covered by the sync under way.
    let mut written: Vec<String> = Vec::new();
    let mut covered: Vec<String> = Vec::new();
    let mut checked = 0;
    for line in lines {
        let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
        if call.starts_with("pwrite64(") && call.contains("/log-") {
            for id in ids(call) {
                synced.entry(id.clone()).or_insert(false);
                written.push(id);
            }
        } else if call.starts_with("fdatasync(") && call.contains("/log-") {
            covered.append(&mut written);
            if call.contains("= 0") {
                synced.extend(covered.drain(..).map(|id| (id, true)));
            }
        } else if call.starts_with("<... fdatasync resumed>") && call.contains("= 0") {
            synced.extend(covered.drain(..).map(|id| (id, true)));
        } else if call.starts_with("write(1<")
            && let Some(id) = call.split_once("\"started ").and_then(|(_, rest)| rest.split(' ').next())
        {
            checked += 1;
            match synced.get(id) {
                Some(true) => {}
                Some(false) => return Err(format!("the start of {id} was acknowledged before its sync")),
                None => return Err(format!("the start of {id} was acknowledged and is in no log")),
            }
        }
    }
    Ok(checked)
}

/// Ids of the load program's instances in the text of a call.
fn ids(call: &str) -> Vec<String> {
    let mut ids: Vec<String> = call
        .match_indices("steps-")
        .map(|(at, _)| {
            let rest = &call[at..];
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
            rest[..end].to_owned()
        })
        .collect();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(trace: &str) -> Result<usize, String> {
        judge(trace.lines().map(str::to_owned))
    }

    const WRITE: &str = "7 pwrite64(9</h/log-00000000>, \"..steps-0-1-2\\1..\", 100, 0) = 100\n";
    const ACK: &str = "8 write(1<pipe:[1]>, \"started steps-0-1-2 3\\n\", 22) = 22\n";

    #[test]
    fn tells_order_from_disorder() {
        let sync = "7 fdatasync(9</h/log-00000000>) = 0\n";
        assert_eq!(verdict(&format!("{WRITE}{sync}{ACK}")), Ok(1));
        assert!(verdict(&format!("{WRITE}{ACK}{sync}")).is_err());
        assert!(verdict(ACK).is_err());
        let begun = "7 fdatasync(9</h/log-00000000> <unfinished ...>\n";
        let ended = "7 <... fdatasync resumed>) = 0\n";
        assert_eq!(verdict(&format!("{WRITE}{begun}{ended}{ACK}")), Ok(1));
        assert!(verdict(&format!("{WRITE}{begun}{ACK}{ended}")).is_err());
    }
}
