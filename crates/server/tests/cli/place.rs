//! Running the command, and a server for it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// The command, without what the environment of the tests may say to it.
pub(crate) fn strandline() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    for variable in ["SERVER", "HUB", "KEY", "LOG", "DIR", "LISTEN"] {
        command.env_remove(format!("STRANDLINE_{variable}"));
    }
    command.env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What a command said, and how it ended.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it printed, which must be all it had to say.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.exit, 0, "{self:?}");
        self.out
    }

    /// For a snapshot.
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.out.clone();
        if !self.err.is_empty() {
            shown = format!("{shown}--- stderr\n{}", self.err);
        }
        format!("{shown}--- exit {}\n", self.exit)
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

/// A server with an empty directory that does not outlive its test.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
    _directory: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut process = strandline()
            .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
            .arg(directory.path().join("hubs"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server says where it listens").unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        // Nothing it says later may hold it up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address, _directory: directory }
    }

    /// A command for this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = strandline();
        command.args(arguments).env("STRANDLINE_SERVER", &self.address);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        said(&mut self.command(arguments))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
