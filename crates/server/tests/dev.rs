//! `strandline dev` as a person uses it: run, killed at any moment, run again.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A directory with a few files to back up, to run in.
fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("notes")).unwrap();
    for n in 0..20 {
        fs::write(place.path().join(format!("notes/{n}.txt")), format!("note {n}")).unwrap();
    }
    place
}

fn dev(place: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.current_dir(place).arg("dev").args(arguments).stdin(Stdio::null());
    command
}

fn demo_once(place: &Path) -> String {
    success(dev(place, &["--demo", "--once"]).output().unwrap())
}

fn success(output: Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(err, "");
    out.into_owned()
}

fn failure(output: Output) -> String {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As Ctrl-C does; true if it ends well.
    fn interrupt(&mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.0.wait().unwrap().success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the demo and reads what it says until a line contains `text`; all of it.
fn until(command: &mut Command, text: &str) -> (Running, BufReader<impl Read + use<>>, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.lines().next_back().is_some_and(|line| line.contains(text)) {
        let read = lines.read_line(&mut said).unwrap();
        assert_ne!(read, 0, "ended before it said {text:?}:\n{said}");
    }
    (Running(child), lines, said)
}

const GREETINGS: &str = r#"["Hello Tokyo!","Hello Seattle!","Hello London!","Hello Nairobi!","Hello Lima!"]"#;

fn assert_complete(place: &Path, said: &str) {
    assert!(said.contains(GREETINGS), "{said}");
    assert!(said.contains("20 files, 130 bytes in "), "{said}");
    assert!(said.contains("Completed: \"saw the backup complete"), "{said}");
    assert!(said.contains("Completed: \"70 from alice, who has 30 left, to bob, who has 170 now"), "{said}");
    assert!(said.contains("Completed: \"3 completed, 0 timeout, 0 rejected"), "{said}");
    assert!(said.contains("Completed: \"verified at try 1"), "{said}");
    // However often the process was killed, each document is counted once.
    assert!(said.contains("@counter@documents-completed is 3\n"), "{said}");
    for document in ["welcome.md", "tides.md", "price-list.md"] {
        assert!(place.join(".strandline-documents/processed").join(document).is_file(), "{document}");
    }
    for n in 0..20 {
        let copy = place.join(format!(".strandline-backup/notes/{n}.txt"));
        assert_eq!(fs::read_to_string(copy).unwrap(), format!("note {n}"));
    }
    let manifest = fs::read_to_string(place.join(".strandline-backup/MANIFEST")).unwrap();
    assert_eq!(manifest.lines().count(), 20);
}

#[test]
fn a_second_run_reports_what_the_first_finished() {
    let place = place();
    let first = demo_once(place.path());
    assert!(first.contains("HelloSequence: 3 of 5 steps (Hello London!)"), "{first}");
    assert_complete(place.path(), &first);

    let second = demo_once(place.path());
    assert!(second.contains("HelloSequence was over before this start: Completed: "), "{second}");
    assert!(second.contains("nothing is left to do"), "{second}");
    assert!(second.contains("carrying on Approval"), "{second}");
    assert!(!second.contains("HelloSequence: "), "nothing ran again: {second}");
    assert_complete(place.path(), &second);

    let fresh = success(dev(place.path(), &["--demo", "--once", "--fresh"]).output().unwrap());
    assert!(fresh.contains("HelloSequence started") && fresh.contains("HelloSequence: 5 of 5"), "{fresh}");
    assert_complete(place.path(), &fresh);
}

#[test]
fn carries_on_after_a_kill_at_any_moment() {
    let moments = [
        "task hub 'default'",
        "HelloSequence started",
        "Monitor started",
        "Transfer started",
        "your code is",
        "1 of 5",
        "DocumentPipeline: 1 of 3",
        "may we publish price-list.md",
        "3 of 5",
        "Monitor is over",
        "5 of 5",
        "HelloSequence is over",
    ];
    for moment in moments {
        let place = place();
        let (mut child, _lines, _) = until(&mut dev(place.path(), &["--demo"]), moment);
        child.kill();
        let said = demo_once(place.path());
        assert_complete(place.path(), &said);
        if moment == "3 of 5" {
            // The third greeting may have been said but not yet recorded.
            let carried =
                said.contains("(3 of 5 steps were done)") || said.contains("(2 of 5 steps were done)");
            assert!(said.contains("carrying on HelloSequence, begun ") && carried, "{said}");
            assert!(!said.contains("Hello Tokyo!)"), "the first step was not repeated: {said}");
        }
        if moment == "HelloSequence is over" {
            assert!(said.contains("HelloSequence was over before this start"), "{said}");
        }
    }
}

/// What the README shows of a second start is what there is to see, apart from the numbers.
#[test]
fn the_readme_quotes_the_demo() {
    let without_numbers = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "#");
    let place = place();
    let (mut child, _lines, _) = until(&mut dev(place.path(), &["--demo"]), "3 of 5");
    child.kill();
    let said = without_numbers(&demo_once(place.path()));
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let (_, quoted) = readme.split_once("```text\n").unwrap();
    for line in quoted.lines().take_while(|line| !line.starts_with("```")) {
        assert!(said.lines().any(|l| l == without_numbers(line)), "{line:?} is not in\n{said}");
    }
}

/// What is in doubt still waits for its review after every start, until it gets one.
#[test]
fn carries_on_a_pipeline_in_the_middle() {
    let place = place();
    let (mut child, _lines, _) = until(&mut dev(place.path(), &["--demo"]), "may we publish");
    child.kill();
    let (mut child, _lines, said) = until(&mut dev(place.path(), &["--demo"]), "DocumentPipeline waits");
    assert!(said.contains("carrying on DocumentPipeline, begun "), "{said}");
    child.kill();
    let said = demo_once(place.path());
    assert!(said.contains("DocumentPipeline: answered, by nobody real"), "{said}");
    assert_complete(place.path(), &said);
}

#[test]
fn begins_anew_in_the_middle_when_told_to() {
    for moment in ["Transfer started", "DocumentPipeline: 1 of 3", "may we publish"] {
        let place = place();
        let (mut child, _lines, _) = until(&mut dev(place.path(), &["--demo"]), moment);
        child.kill();
        let fresh = success(dev(place.path(), &["--demo", "--once", "--fresh"]).output().unwrap());
        assert!(!fresh.contains("carrying on"), "{fresh}");
        assert_complete(place.path(), &fresh);
    }
}

#[test]
fn killed_again_and_again_it_still_ends() {
    let place = place();
    for moment in ["1 of 5", "2 of 5", "3 of 5", "4 of 5"] {
        let (mut child, _lines, _) = until(&mut dev(place.path(), &["--demo"]), moment);
        child.kill();
    }
    assert_complete(place.path(), &demo_once(place.path()));
}

#[test]
fn closes_when_asked_to() {
    let place = place();
    let (mut child, mut lines, said) = until(&mut dev(place.path(), &["--demo"]), "Ctrl-C closes");
    assert!(said.contains("Approval waits up to 72 hours"), "{said}");
    assert!(said.contains("DocumentPipeline waits up to 48 hours"), "{said}");
    assert!(said.contains("PhoneVerification waits up to 90 seconds"), "{said}");
    assert!(said.contains(&format!("kill -9 {}", child.0.id())), "{said}");
    assert!(child.interrupt());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("closing the hub"), "{rest}");
}

#[test]
fn a_directory_in_use_names_the_process() {
    let place = place();
    let (mut child, _lines, _) = until(&mut dev(place.path(), &[]), "task hub 'default'");
    let err = failure(dev(place.path(), &["--demo"]).output().unwrap());
    assert!(err.contains(&format!("in use by process {}", child.0.id())) && err.contains("--dir"), "{err}");
    assert!(child.interrupt());
}

#[test]
fn another_directory_is_another_hub() {
    let place = place();
    let (mut child, _lines, _) = until(&mut dev(place.path(), &[]), "task hub 'default'");
    let said = success(dev(place.path(), &["--demo", "--once", "--dir", "other"]).output().unwrap());
    assert!(said.contains("task hub 'default' in other"), "{said}");
    assert!(place.path().join("other-backup/MANIFEST").is_file());
    assert!(child.interrupt());
}

#[test]
fn refuses_what_is_no_hub_and_changes_nothing() {
    let place = place();
    let err = failure(dev(place.path(), &["--demo", "--dir", "notes"]).output().unwrap());
    assert!(err.contains("notes is not a Strandline data directory") && err.contains("--dir"), "{err}");
    assert_eq!(fs::read_dir(place.path().join("notes")).unwrap().count(), 20);

    let err = failure(dev(place.path(), &["--dir", "notes/1.txt"]).output().unwrap());
    assert!(err.contains("is a file"), "{err}");
    assert_eq!(fs::read_to_string(place.path().join("notes/1.txt")).unwrap(), "note 1");
}

#[test]
fn refuses_what_a_newer_version_wrote() {
    let place = place();
    success(dev(place.path(), &["--once"]).output().unwrap());
    let format = place.path().join(".strandline/format");
    let written = fs::read_to_string(&format).unwrap();
    let newer: String = written
        .lines()
        .map(|line| if line.starts_with("min_reader ") { "min_reader 99" } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(&format, &newer).unwrap();
    let err = failure(dev(place.path(), &["--once"]).output().unwrap());
    assert!(err.contains("newer version of Strandline"), "{err}");
    assert_eq!(fs::read_to_string(&format).unwrap(), newer);
}

#[test]
fn refuses_what_it_cannot_write() {
    use std::os::unix::fs::PermissionsExt;
    let place = place();
    success(dev(place.path(), &["--once"]).output().unwrap());
    let dir = place.path().join(".strandline");
    for file in [dir.join("LOCK"), dir.clone()] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o500)).unwrap();
    }
    let output = dev(place.path(), &["--once"]).output().unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    // The superuser may write anywhere.
    if !rustix::process::geteuid().is_root() {
        assert!(failure(output).contains("cannot be written"));
    }
}
