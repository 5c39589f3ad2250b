//! What a request is about, once it was judged.

use std::marker::PhantomData;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use strandline_engine::runtime::Hub;
use strandline_model::{EntityId, InstanceId};

use super::fields::echo;
use super::problem::{Problem, ProblemType};
use crate::access::{AccessError, Caller};
use crate::keys::Permission;
use crate::web::App;
use crate::web::admit::Wish;

/// What a caller must be allowed. The document says it as the scope of an operation's security.
pub(super) trait Need: Send + 'static {
    const PERMISSION: Permission;
    /// How a refusal calls it.
    const WHAT: &'static str;

    /// What it starts or signals, by the path.
    fn function(_: &Asking) -> Option<String> {
        None
    }
}

/// Declares what callers may need.
macro_rules! needs {
    ($($(#[$doc:meta])* $need:ident = $what:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) struct $need;

            impl Need for $need {
                const PERMISSION: Permission = Permission::$need;
                const WHAT: &'static str = $what;
            }
        )*
    };
}

needs! {
    Read = "looking at instances and entities";
    Start = "starting instances";
    RaiseEvent = "raising events";
    Terminate = "terminating instances";
    Suspend = "suspending instances";
    Resume = "resuming instances";
    Rewind = "rewinding instances";
    Restart = "restarting instances";
    Purge = "purging instances";
    Operate = "changing entities";
    Administer = "making and deleting task hubs";
}

/// Sending the entity in the path an operation.
pub(super) struct Signal;

impl Need for Signal {
    const PERMISSION: Permission = Permission::Signal;
    const WHAT: &'static str = "signalling entities";

    fn function(asking: &Asking) -> Option<String> {
        let id = EntityId::parse(asking.instance.as_deref()?).ok()?;
        Some(id.name().to_owned())
    }
}

/// Who asks, and for which hub; not judged yet.
pub(super) struct Asking {
    pub(super) app: App,
    pub(super) caller: Caller,
    /// The name in the path; empty where there is none.
    pub(super) hub: String,
    /// The instance in the path.
    instance: Option<String>,
}

impl FromRequestParts<App> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Some(caller) = parts.extensions.get::<Caller>().cloned() else {
            return Err(AccessError::NoKey.into());
        };
        let hub = path(parts, app, "hub").await?.unwrap_or_default();
        let instance = path(parts, app, "id").await?;
        Ok(Self { app: app.clone(), caller, hub, instance })
    }
}

impl Asking {
    /// The hub, if its caller may do there what it asks for. `function` is what it starts or signals.
    pub(super) async fn admit<N: Need>(&self, function: Option<&str>) -> Result<Hub, Problem> {
        let wish = Wish {
            what: N::WHAT,
            permission: N::PERMISSION,
            hub: Some(&self.hub),
            instance: self.instance.as_deref(),
            function,
        };
        Ok(self.app.admit(&self.caller, wish).await?)
    }

    /// The same for what is done to hubs, which need not be there; `hub` is the one that it is about.
    pub(super) fn may<N: Need>(&self, hub: &str) -> Result<(), Problem> {
        let principal = self.caller.principal();
        if !principal.sees(hub) {
            return Err(AccessError::NoHub(echo(hub)).into());
        }
        Ok(principal.require(N::PERMISSION, N::WHAT)?)
    }

    /// The same for what is about the whole server; `what` is how a refusal calls it.
    pub(super) fn may_run_the_server(&self, what: &str) -> Result<(), Problem> {
        Ok(self.caller.principal().require_everywhere(Permission::Administer, what)?)
    }
}

/// The hub of a request whose caller may do there what `N` says.
pub(super) struct In<N> {
    pub(super) hub: Hub,
    pub(super) app: App,
    pub(super) caller: Caller,
    need: PhantomData<N>,
}

impl<N: Need> FromRequestParts<App> for In<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let asking = Asking::from_request_parts(parts, app).await?;
        let hub = asking.admit::<N>(N::function(&asking).as_deref()).await?;
        Ok(Self { hub, app: asking.app, caller: asking.caller, need: PhantomData })
    }
}

/// The id of an instance in the path.
pub(super) struct Id(pub(super) InstanceId);

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = path(parts, app, "id").await?.unwrap_or_default();
        Ok(Self(InstanceId::new(&text)?))
    }
}

/// The id of an entity in the path, `@name@key`.
pub(super) struct OfEntity(pub(super) EntityId);

impl FromRequestParts<App> for OfEntity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let text = path(parts, app, "id").await?.unwrap_or_default();
        Ok(Self(EntityId::parse(&text)?))
    }
}

/// A segment of the path, decoded once.
pub(super) async fn path(parts: &mut Parts, app: &App, name: &str) -> Result<Option<String>, Problem> {
    let params = RawPathParams::from_request_parts(parts, app).await.map_err(|error| {
        Problem::new(ProblemType::InvalidRequest, format!("the path can't be read: {error}"))
    })?;
    Ok(params.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_owned()))
}
