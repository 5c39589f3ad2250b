//! How a server runs: everything its configuration can say, with the values it has when it says nothing.
//!
//! Each section stands in a file of its own. Durations are written like `30s` or `5m`. The documentation of the
//! fields is what operators read in the schema and in the example file: no links, no Rust.

mod auth;
mod call_http;
mod check;
mod http;
mod hub;
mod jwt;
mod limits;
mod log;
mod server;
mod shutdown;
mod source;
mod time;
mod tls;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use time::duration;

pub use self::http::Http;
pub use auth::{Auth, ManagementUrls};
pub use call_http::{AsksFor, CallHttp, CallHttpSecret, CallHttpTokens, SecretPlace};
pub use check::Impossible;
pub use hub::{HubSettings, OverridableStates};
pub use jwt::Jwt;
pub use limits::Limits;
pub use log::{Log, LogFormat};
pub use server::ServerSettings;
pub use shutdown::Shutdown;
pub use source::{Source, Sources};
pub use tls::Tls;

/// The configuration of a server, whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where it keeps its hubs and where it listens.
    pub server: ServerSettings,
    /// What it is called by, and what it calls itself.
    pub http: Http,
    /// What it takes at most.
    pub limits: Limits,
    /// Whom it lets in.
    pub auth: Auth,
    /// What its connections are encrypted with.
    pub tls: Tls,
    /// How its task hubs run.
    pub hub: HubSettings,
    /// The durable HTTP calls it makes for workers.
    pub call_http: CallHttp,
    /// What it tells its operator.
    pub log: Log,
    /// How it stops.
    pub shutdown: Shutdown,
    /// Where each of them was said.
    #[serde(skip)]
    pub sources: Sources,
}
