//! Durable HTTP calls: requests whose answers, pauses and retries stand in the history.
//!
//! [`OrchestrationContext::call_http`](crate::OrchestrationContext::call_http) sends an [`HttpRequest`]
//! and waits for its [`HttpResponse`], for days if need be: an answer `202 Accepted` is followed to where
//! its `Location` points, with a durable timer between two looks.
//!
//! # Who sends it
//!
//! The orchestrator only asks for it; the activity [`HTTP_ACTIVITY`] does it. That activity is served by
//! whoever registers an `HttpPolicy` (with the crate's feature `http`), by a server whose configuration
//! says `call_http.enabled`, or by a worker in another language. Requests and responses have the JSON of
//! Durable Functions, so any of them can serve any other.
//!
//! ```
//! # #[cfg(feature = "http")] {
//! use strandline::http::{HttpPolicy, Secret};
//! use strandline::prelude::*;
//!
//! # #[orchestrator] async fn report(ctx: OrchestrationContext) -> Result<()> { Ok(()) }
//! let policy = HttpPolicy::new()
//!     .allow("build.internal:8443")
//!     .secret("partner-key", Secret::env("PARTNER_KEY"), ["https://api.partner.example"]);
//! let worker = Registry::new().register((report, policy)).build()?;
//! # }
//! # Ok::<(), strandline::Error>(())
//! ```
//!
//! # What it does not do
//!
//! Requests reach public addresses only, unless the policy allows others; see `HttpPolicy`. A request
//! stands in the history with its URL, headers and content, and so does the response: name secrets by
//! [`HttpRequest::secret_header`] and [`HttpRequest::token`], which are put in when the request is sent.
//! Like every activity a request may be sent twice; let services that must not act twice recognise it by a
//! header that holds [`new_guid`](crate::OrchestrationContext::new_guid).
//!
//! # In tests
//!
//! A test hub answers in place of the network:
//!
//! ```
//! use strandline::http::HTTP_ACTIVITY;
//! use strandline::prelude::*;
//!
//! #[orchestrator]
//! async fn ask(ctx: OrchestrationContext, url: String) -> Result<String> {
//!     Ok(ctx.call_http(HttpRequest::get(url)).await?.content)
//! }
//!
//! let hub = TestHub::new().register(ask).fake(HTTP_ACTIVITY, |request: HttpRequest| {
//!     Ok(HttpResponse::new(200).with_content(format!("{} says hello", request.uri)))
//! });
//! let run = hub.start(ask, "https://example.com/".to_owned());
//! assert_eq!(run.output(), "https://example.com/ says hello");
//! ```

#[cfg(feature = "http")]
mod caller;
mod error;
mod headers;
#[cfg(feature = "http")]
mod policy;
mod polling;
mod request;
mod response;
mod retry;
#[cfg(feature = "http")]
mod secret;
mod span;
#[cfg(feature = "http")]
mod target;
mod token_source;
#[cfg(feature = "http")]
mod tokens;

#[cfg(feature = "http")]
pub use caller::HttpCaller;
pub use error::{HttpRefused, HttpRequestError, InvalidHttpRequest};
pub use headers::{HttpHeader, HttpHeaders};
#[cfg(feature = "http")]
pub use policy::HttpPolicy;
pub(crate) use polling::Polling;
pub use request::HttpRequest;
pub use response::HttpResponse;
pub use retry::HttpRetryOptions;
#[cfg(feature = "http")]
pub use secret::Secret;
#[cfg(feature = "http")]
pub use target::{Resolve, Resolving};
pub use token_source::{ManagedIdentityOptions, TokenSource};
#[cfg(feature = "http")]
pub use tokens::{AccessToken, ClientCredentials, TokenProvider, TokenRequest, TokenResult};

use crate::handle::Activity;

/// The activity that sends requests: named as in Durable Functions, for workers in any language.
pub const HTTP_ACTIVITY: Activity<HttpRequest, HttpResponse> = Activity::named("BuiltIn::HttpActivity");
