//! What the command line says of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::load::{Flag, FlagValue, Inputs};
use super::{ConfigError, load};
use crate::settings::Settings;

/// The file in the directory a command is run in.
const FILE_HERE: &str = "strandline.toml";
/// The file of the machine.
const FILE_OF_MACHINE: &str = "/etc/strandline/strandline.toml";

/// Where settings come from, on commands that have a configuration.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigArgs {
    /// A configuration file; `strandline config example` prints one. What it does not say is looked for in
    /// ./strandline.toml, then in /etc/strandline/strandline.toml. Variables of the environment such as
    /// STRANDLINE__HUB__NAME go before files, flags before all.
    #[arg(long, value_name = "FILE", env = "STRANDLINE_CONFIG")]
    config: Option<PathBuf>,
    /// The host.json of an Azure Functions app: what it says of Durable Functions counts as far as it means
    /// something here. `strandline config import` tells which that is.
    #[arg(long, value_name = "FILE")]
    host_json: Option<PathBuf>,
    /// Any setting, as `strandline config show` names them: --set hub.partitions=8. Repeat it for several.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Whose settings are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The machine's file is read, too.
    Server,
    /// Somebody tries something out: what the machine's server does is none of its business.
    Development,
}

/// The settings that have flags of their own.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ServerFlags {
    /// The directory the hubs live in; created when absent. [default: ./.strandline] [env: STRANDLINE_DIR]
    #[arg(long, value_name = "PATH")]
    pub(crate) dir: Option<String>,
    /// Address and port to listen on; repeat it for several. [default: 127.0.0.1:7071]
    /// [env: STRANDLINE_LISTEN]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Creates task hubs when somebody first names them.
    #[arg(long)]
    pub(crate) create_hubs: bool,
    /// The file with the access keys; DIR/keys.json unless said otherwise. `strandline keys create` makes one.
    /// [env: STRANDLINE_KEYS]
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<String>,
    /// Listens where other machines reach it though there are no access keys, or though keys cross the
    /// network in the clear.
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl ServerFlags {
    fn flags(self) -> Vec<Flag> {
        let Self { dir, listen, create_hubs, keys, insecure } = self;
        let listen = listen.iter().map(|address| toml::Value::String(address.to_string())).collect();
        let given = [
            ("--dir", "server.dir", dir.map(toml::Value::String)),
            ("--listen", "server.listen", Some(toml::Value::Array(listen))),
            ("--create-hubs", "server.create_hubs", create_hubs.then_some(toml::Value::Boolean(true))),
            ("--keys", "server.keys", keys.map(toml::Value::String)),
            ("--insecure", "server.insecure", insecure.then_some(toml::Value::Boolean(true))),
        ];
        let said = given.into_iter().filter_map(|(flag, key, value)| {
            let value = value.filter(|value| value.as_array().is_none_or(|list| !list.is_empty()))?;
            Some(Flag { flag: flag.to_owned(), key: key.to_owned(), value: FlagValue::Value(value) })
        });
        said.collect()
    }
}

impl ConfigArgs {
    /// Just this file, if it is one, and the usual places.
    pub(crate) fn at(config: Option<PathBuf>) -> Self {
        Self { config, ..Self::default() }
    }

    /// The settings of a command with these flags, in this environment.
    pub(crate) fn load(self, flags: ServerFlags, scope: Scope) -> Result<Settings, ConfigError> {
        let Self { config, host_json, set } = self;
        let set = set.into_iter().map(|(key, value)| Flag {
            flag: format!("--set {key}"),
            key,
            value: FlagValue::Text(value),
        });
        let mut places = vec![PathBuf::from(FILE_HERE)];
        if scope == Scope::Server {
            places.push(PathBuf::from(FILE_OF_MACHINE));
        }
        load(Inputs {
            flags: flags.flags().into_iter().chain(set).collect(),
            environment: std::env::vars_os().collect(),
            file: config,
            host_json,
            places,
        })
    }
}
