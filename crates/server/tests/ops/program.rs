//! The program itself, as an operator runs it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::soon;

/// Does what blocks without holding up the test.
async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    soon(what, tokio::task::spawn_blocking(work)).await.unwrap()
}

/// Runs a command to its end.
pub(crate) async fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
    command.args(arguments);
    blocking("a command", move || command.output().unwrap()).await
}

/// `strandline serve`, until it is dropped.
pub(crate) struct Program {
    child: Option<Child>,
    pub(crate) address: SocketAddr,
    log: Option<JoinHandle<String>>,
    _place: TempDir,
}

impl Program {
    pub(crate) async fn serve(variables: &[(&str, &str)]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_strandline"));
        command.arg("serve").arg("--dir").arg(place.path().join("data"));
        command.args(["--listen", "127.0.0.1:0"]);
        command.env_remove("STRANDLINE_LOG").env_remove("NOTIFY_SOCKET").envs(variables.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = log.read_to_string(&mut text);
            text
        });
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let line = blocking("the address", move || {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            line
        });
        let line = line.await;
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        Self { child: Some(child), address: address.parse().unwrap(), log: Some(log), _place: place }
    }

    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    }

    /// How it ended, and what it wrote to its log.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String) {
        let (mut child, log) = (self.child.take().unwrap(), self.log.take().unwrap());
        blocking("the end of the program", move || (child.wait().unwrap(), log.join().unwrap())).await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
