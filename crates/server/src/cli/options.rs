//! Flags that all commands for a running server share.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::Connection;
use super::error::Error;
use super::output::{Format, Printer};
use super::time::{self, TimeStyle};
use crate::hubs::DEFAULT_HUB;

// No doc comment: clap would take it for that of the command.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Server and output")]
pub(crate) struct Options {
    /// The server to talk to.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7071", env = "STRANDLINE_SERVER")]
    pub(super) server: String,
    /// The task hub.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_HUB, env = "STRANDLINE_HUB")]
    pub(super) hub: String,
    /// The key that the server asks for; in a file nobody else sees it.
    #[arg(long, value_name = "KEY", env = "STRANDLINE_KEY", hide_env_values = true)]
    key: Option<String>,
    /// A file that holds the key.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    key_file: Option<PathBuf>,
    /// A PEM file with the certificates that vouch for a server of https://; those the system trusts, without
    /// this.
    #[arg(long, value_name = "FILE", env = "STRANDLINE_CA")]
    ca: Option<PathBuf>,
    /// How long to wait: for an answer of the server [default: 30s], or for what is waited for [default: no limit].
    #[arg(long, value_name = "TIME", value_parser = time::duration)]
    timeout: Option<Duration>,
    /// What is printed: a table, a table with more columns, JSON, JSON lines, or ids alone.
    // Not `--output`: that is what `get` prints.
    #[arg(
        short = 'o',
        long = "format",
        value_enum,
        default_value_t = Format::Table,
        hide_possible_values = true,
        value_name = "table|wide|json|jsonl|id"
    )]
    pub(super) output: Format,
    /// How tables show times.
    #[arg(long, value_enum, default_value_t = TimeStyle::Local, hide_possible_values = true, value_name = "utc|local|relative")]
    pub(super) time: TimeStyle,
    /// Leaves out what is not the result.
    #[arg(short, long)]
    quiet: bool,
    /// No colours; neither are there any when $NO_COLOR is set or the output is no terminal.
    #[arg(long)]
    no_color: bool,
}

/// How long an answer may take when nothing else is said.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Options {
    /// Connects to the server, for the hub of the flags.
    pub(super) async fn connect(&self) -> Result<Connection, Error> {
        self.connect_to(&self.hub).await
    }

    /// Connects to the server, for a hub.
    pub(super) async fn connect_to(&self, hub: &str) -> Result<Connection, Error> {
        let (key, ca) = (self.key()?, self.ca()?);
        let answer_max = self.timeout.unwrap_or(ANSWER_MAX);
        Connection::open(&self.server, hub, key.as_deref(), ca.as_deref(), answer_max).await
    }

    /// How long what is waited for may take; `None`: as long as it takes.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.timeout
    }

    pub(super) fn printer(&self) -> Printer {
        Printer::new(self.output, self.time, self.quiet, self.no_color)
    }

    fn ca(&self) -> Result<Option<Vec<u8>>, Error> {
        let Some(path) = &self.ca else { return Ok(None) };
        let unreadable = |cause| Error::Unreadable { flag: "--ca", path: path.display().to_string(), cause };
        std::fs::read(path).map(Some).map_err(unreadable)
    }

    fn key(&self) -> Result<Option<String>, Error> {
        let Some(path) = &self.key_file else {
            return Ok(self.key.clone().filter(|key| !key.is_empty()));
        };
        let unreadable =
            |cause| Error::Unreadable { flag: "--key-file", path: path.display().to_string(), cause };
        let key = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(Some(key.trim().to_owned()))
    }
}
