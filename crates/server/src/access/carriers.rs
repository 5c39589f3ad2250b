//! Where a request carries what lets it in.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, Uri};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::KEY;
use super::links::SIGNATURE;

/// Where Azure Functions has a key.
const FUNCTIONS_KEY: HeaderName = HeaderName::from_static("x-functions-key");

/// What a caller shows to be let in.
#[derive(Clone)]
pub(super) enum Shown {
    Nothing,
    /// A key or a bearer token; whether it is one is not known yet.
    Key(Zeroizing<String>),
    /// The signature of a URL.
    Signature(String),
}

/// Takes it out of a request: `authorization: Bearer KEY`, `x-functions-key: KEY`, `?code=KEY` or a URL's
/// signature, in this order. Nothing behind needs the headers, so nothing can log them; URLs stay, for
/// answers repeat them.
pub(super) fn take(parts: &mut Parts) -> Shown {
    let shown = match header(&parts.headers) {
        Some(key) => Shown::Key(key),
        None => query(&parts.uri),
    };
    parts.headers.remove(AUTHORIZATION);
    parts.headers.remove(FUNCTIONS_KEY);
    shown
}

/// What is no text is no key.
fn header(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let bearer = || {
        let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    };
    let key = bearer().or_else(|| headers.get(FUNCTIONS_KEY)?.to_str().ok())?;
    Some(Zeroizing::new(key.trim().to_owned()))
}

fn query(uri: &Uri) -> Shown {
    let named = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let (_, value) =
            pairs.find(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.trim().is_empty())?;
        Some(value.into_owned())
    };
    match named(KEY) {
        Some(key) => Shown::Key(Zeroizing::new(key)),
        None => named(SIGNATURE).map_or(Shown::Nothing, Shown::Signature),
    }
}
