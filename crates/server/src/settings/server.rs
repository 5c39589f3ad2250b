//! Where a server keeps its hubs, and where it listens.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys::KeyFile;

/// Section `server`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// The directory the hubs live in; created when absent.
    pub dir: PathBuf,
    /// Addresses and ports to listen on.
    pub listen: Vec<SocketAddr>,
    /// A further address and port for monitoring alone: metrics and probes, without keys for whoever reaches it.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether hubs are created when somebody first names them.
    pub create_hubs: bool,
    /// The file with the access keys; `keys.json` in the directory unless said otherwise.
    pub keys: Option<PathBuf>,
    /// Whether it listens where other machines reach it though there are no access keys, or though keys cross
    /// the network in the clear.
    pub insecure: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("./.strandline"),
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 7071))],
            metrics_listen: None,
            create_hubs: false,
            keys: None,
            insecure: false,
        }
    }
}

impl ServerSettings {
    /// Where the access keys are.
    pub(crate) fn key_file(&self) -> KeyFile {
        match &self.keys {
            Some(path) => KeyFile::at(path),
            None => KeyFile::in_directory(&self.dir),
        }
    }
}
