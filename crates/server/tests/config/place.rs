//! Running the command in a directory of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The command, without what the environment of the tests may say to it.
pub(crate) fn strandline(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STRANDLINE") {
            command.env_remove(name);
        }
    }
    command.current_dir(place).stdin(Stdio::null());
    command
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it printed, which must be all it had to say.
    pub(crate) fn ok(self) -> String {
        assert_eq!((self.exit, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }

    /// Why it failed, with nothing printed.
    pub(crate) fn failed(self, exit: i32) -> String {
        assert_eq!((self.exit, self.out.as_str()), (exit, ""), "{self:?}");
        self.err
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        exit: output.status.code().expect("no signal ended it"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory with files in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        std::fs::write(self.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = strandline(self.path());
        command.args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }

    /// The value of a setting and where it comes from, as `config show` tells them with these arguments.
    pub(crate) fn setting(&self, arguments: &[&str], key: &str) -> (serde_json::Value, String) {
        let out = said(self.command(&["config", "show", "--sources", "-o", "json"]).args(arguments)).ok();
        found(&out, key)
    }
}

/// A setting among those that `config show --sources -o json` printed.
pub(crate) fn found(out: &str, key: &str) -> (serde_json::Value, String) {
    let shown: Vec<serde_json::Value> = serde_json::from_str(out).unwrap();
    let setting = shown.into_iter().find(|setting| setting["key"] == key).expect("it is among them");
    (setting["value"].clone(), setting["source"].as_str().unwrap().to_owned())
}

/// The folder of this repository that has what is packaged.
pub(crate) fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// A server that does not outlive its test.
pub(crate) struct Running {
    process: Child,
    pub(crate) address: String,
}

impl Running {
    /// Waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next().expect("the server says where it listens").unwrap();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
        Self { process, address: format!("http://{address}") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
