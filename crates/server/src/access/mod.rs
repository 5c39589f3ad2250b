//! Who may call what.
//!
//! A server has one [`Access`], which knows the [keys](crate::keys):
//!
//! - [`Access::open`] asks nobody for a key: `strandline dev` on loopback;
//! - [`Access::open_until_keyed`] asks once there is a key: a server on loopback that was started
//!   without;
//! - [`Access::keyed`] always asks.
//!
//! Before it listens the server asks [`check_bind`] whether it may, with [`Access::needs_keys`]. gRPC
//! services stand behind [`Access::layer`]:
//!
//! ```no_run
//! # use strandline_server::{access::*, keys::KeyFile};
//! # fn f(dir: &std::path::Path, address: std::net::SocketAddr, insecure: bool, grpc: axum::Router) -> anyhow::Result<()> {
//! let access = Access::open_until_keyed(KeyFile::in_directory(dir))?;
//! let keys = access.needs_keys();
//! for warning in check_bind(Bind { address, purpose: Purpose::Production, keys, tls: false, insecure })? {
//!     tracing::warn!("{warning}");
//! }
//! // The routes of the gRPC services; `Peer` stands for what the listener puts into the extensions.
//! # #[derive(Clone)] struct Peer { address: std::net::SocketAddr }
//! let guarded = grpc.layer(access.layer(|extensions| Some(extensions.get::<Peer>()?.address)));
//! # Ok(()) }
//! ```
//!
//! A caller shows a key, or a token of the issuer the settings name, as `authorization: Bearer KEY`, as
//! `x-functions-key: KEY` or, over HTTP, as `?code=KEY`; or a URL that is signed for one operation on one
//! instance. [`Access::identify`] tells who it is, for gRPC and HTTP alike; `Caller::admit` judges what a call
//! wishes. The layer judges calls of gRPC by the table in [`methods`]. A method then finds:
//!
//! - in metadata `taskhub` the hub that was judged. It is always there for methods of a hub; a call that
//!   named none has the hub of its key, or the default one;
//! - among the request's extensions a [`Caller`]: [`Caller::of`]. Lists of hubs show what
//!   [`Principal::sees`]; `StreamInstanceHistory`, which both readers and workers call, asks
//!   [`Principal::require`] for `Read` unless it is for a work item the worker has.
//!
//! A call is judged when it begins. What lasts is ended when its key stops to work by
//! [`Caller::guard`], for streams, or [`Caller::turned_away`], for whatever else waits. Both notice within
//! about two seconds.

mod attempts;
mod bind;
mod caller;
mod carriers;
mod error;
mod layer;
mod links;
pub mod methods;
mod principal;
mod ring;
mod secrets;
#[cfg(test)]
mod tests;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use jiff::Timestamp;

use crate::hubs::DEFAULT_HUB;
use crate::keys::{KeyFile, KeyFileError, SecretFile};
use crate::settings::Auth;

pub use bind::{Bind, BindError, BindWarning, Purpose, check_bind};
pub use caller::Caller;
pub(crate) use caller::{Credential, Wish};
pub use error::{AccessError, Has};
pub use layer::{AccessLayer, FindPeer, Guarded};
pub(crate) use links::SIGNATURE;
pub use principal::Principal;
pub use tokens::TokensError;
pub(crate) use tokens::check as check_issuer;

/// The query parameter of a URL that a key stands in.
pub(crate) const KEY: &str = "code";

use attempts::Attempts;
use carriers::Shown;
use links::{Claim, Links};
use principal::Who;
use ring::{Clock, Reason, Ring};
use secrets::Vault;
use tokens::Tokens;

/// Decides who is let in. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Inner>, HubOfAll);

/// The hub of calls that name none, by callers who see more than one.
type HubOfAll = Arc<str>;

struct Inner {
    ring: Arc<Ring>,
    attempts: Arc<Attempts>,
    /// None on a server that never asks for keys.
    links: Option<Links>,
    /// None where keys are all there is.
    tokens: Option<Tokens>,
}

impl Access {
    /// Lets everybody in, as admin of all hubs.
    pub fn open() -> Self {
        Self::new(Ring::open(wall_clock()), None)
    }

    /// Lets those in who have a key of `file`. Without keys in it that is nobody, until one is made.
    ///
    /// The file is looked at again while the server runs. If it vanishes nobody is let in any more; if
    /// it can't be read the keys stay as they were, and the log has an error.
    pub fn keyed(file: KeyFile) -> Result<Self, KeyFileError> {
        Ok(Self::new(Ring::keyed(file, wall_clock())?, Some(links()?)))
    }

    /// Lets everybody in until there is a key in `file`, and from then on as [`keyed`](Self::keyed) does,
    /// even if all keys are revoked.
    pub fn open_until_keyed(file: KeyFile) -> Result<Self, KeyFileError> {
        Ok(Self::new(Ring::open_until_keyed(file, wall_clock())?, Some(links()?)))
    }

    /// The same, with the secrets of URLs in a file: without one, URLs end with the server.
    pub fn with_url_secrets(&self, file: SecretFile) -> Result<Self, KeyFileError> {
        let Inner { ring, attempts, links, tokens } = &*self.0;
        let links = match links {
            Some(links) => Some(links.with(Vault::open(file)?)),
            None => None,
        };
        let (ring, attempts, tokens) = (ring.clone(), attempts.clone(), tokens.clone());
        Ok(Self(Arc::new(Inner { ring, attempts, links, tokens }), self.1.clone()))
    }

    /// The same, as settings say it. Where they name an issuer of tokens nobody is let in without a key or a
    /// token.
    pub fn configured(&self, settings: &Auth) -> Result<Self, SetupError> {
        let Inner { ring, attempts, links: known, .. } = &*self.0;
        let tokens = Tokens::open(&settings.jwt)?;
        let mut links = known.as_ref().map(|links| links.configured(settings));
        if tokens.is_some() {
            ring.close();
            if links.is_none() {
                links = Some(self::links()?.configured(settings));
            }
        }
        let inner = Inner { ring: ring.clone(), attempts: attempts.clone(), links, tokens };
        Ok(Self(Arc::new(inner), self.1.clone()))
    }

    fn new(ring: Ring, links: Option<Links>) -> Self {
        let (ring, attempts) = (Arc::new(ring), Arc::default());
        Self(Arc::new(Inner { ring, attempts, links, tokens: None }), DEFAULT_HUB.into())
    }

    /// With another hub for calls that name none.
    #[must_use]
    pub fn with_default_hub(self, name: &str) -> Self {
        Self(self.0, name.into())
    }

    /// Whether callers need keys now.
    pub fn needs_keys(&self) -> bool {
        self.0.ring.needs_keys()
    }

    /// Who sends a request. Takes what tells it out of the request's headers. `peer` is for the log, where
    /// failures are noted.
    pub async fn identify(
        &self,
        request: &mut Parts,
        peer: Option<SocketAddr>,
    ) -> Result<Caller, AccessError> {
        let shown = carriers::take(request);
        let (ring, tokens) = (&self.0.ring, self.0.tokens.as_ref());
        let found = match (&shown, tokens) {
            (Shown::Key(text), Some(tokens)) if Tokens::looks_like_one(text) => {
                let token = tokens.identify(text, self.now()).await;
                token.map(|token| Principal::new(Who::Bearer(Arc::new(token))))
            }
            (Shown::Nothing, _) => ring.identify(None),
            (Shown::Key(key), _) => ring.identify(Some(key)),
            (Shown::Signature(text), _) => self.visitor(text),
        };
        let key = match &shown {
            Shown::Key(key) => Some(key.as_str()),
            Shown::Nothing | Shown::Signature(_) => None,
        };
        match found {
            Ok(principal) => Ok(Caller::new(self.clone(), principal, key)),
            Err((reason, error)) => {
                self.0.attempts.failed(reason, request.uri.path(), key, peer);
                Err(error)
            }
        }
    }

    /// Whoever has a URL with this signature, if it can be one.
    fn visitor(&self, signature: &str) -> Result<Principal, (Reason, AccessError)> {
        if !self.needs_keys() {
            return self.0.ring.identify(None);
        }
        match Claim::parse(signature) {
            Some(claim) => Ok(Principal::new(Who::Visitor(Arc::new(claim)))),
            None => Err((Reason::Malformed, AccessError::WrongSignature)),
        }
    }

    fn now(&self) -> Timestamp {
        self.0.ring.now()
    }
}

/// Why a server can't judge its callers as its settings say.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The files of keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The issuer of tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
}

fn links() -> Result<Links, KeyFileError> {
    Ok(Links::new(Arc::new(Vault::in_memory()?), &Auth::default()))
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

fn wall_clock() -> Clock {
    Box::new(Timestamp::now)
}
