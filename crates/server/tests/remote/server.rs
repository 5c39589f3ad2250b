//! A server in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use strandline::prelude::*;
use strandline::{Connect, RemoteHub};
use tempfile::TempDir;

pub(crate) struct Server {
    dir: TempDir,
    process: Child,
    address: String,
}

fn spawn(dir: &Path, listen: &str) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.args(["serve", "--listen", listen, "--dir"]).arg(dir);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("it said {line:?}"));
    (process, address.to_owned())
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (process, address) = spawn(dir.path(), "127.0.0.1:0");
        Self { dir, process, address }
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts a server that was killed again, at the same address.
    pub(crate) fn start_again(&mut self) {
        (self.process, _) = spawn(self.dir.path(), &self.address);
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connect(&self) -> Connect {
        TaskHub::connect(self.address())
    }

    /// A connection of its own, with a worker that serves all.
    pub(crate) async fn worker(&self, gate: crate::functions::Gate) -> RemoteHub {
        let hub = self.connect().await.unwrap();
        hub.worker().register(crate::functions::all()).state(gate).start().await.unwrap();
        hub
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
