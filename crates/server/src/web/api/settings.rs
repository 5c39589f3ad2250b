//! How the server is configured.

use serde::Serialize;
use serde_json::Value;
use url::Url;
use utoipa::ToSchema;

use super::admitted::Asking;
use super::json::Answer;
use super::params::NoParams;
use super::problem::Problem;
use crate::config::{self, Shown};

/// What stands for what is not shown.
const HIDDEN: &str = "hidden";

/// A setting as it is in force, and where that was said.
#[derive(Serialize, ToSchema)]
pub(super) struct Setting {
    /// Its name, with its section.
    #[schema(example = "hub.name")]
    key: String,
    /// As in a configuration file; `null` where there is none. Users, passwords and queries of URLs are hidden.
    value: Value,
    /// `default`, a flag, an environment variable, or a file with its line.
    #[schema(example = "strandline.toml:3")]
    source: String,
}

/// All settings.
#[derive(Serialize, ToSchema)]
pub(super) struct EffectiveSettings {
    settings: Vec<Setting>,
}

/// Lists all settings as they were when the server started, and where each was said. The key must be good for all
/// task hubs.
#[utoipa::path(get, path = "/settings", operation_id = "listSettings", tag = "server",
    responses((status = 200, body = EffectiveSettings, description = "The settings, in the order of a configuration file.")),
    security(("accessKey" = ["administer"])))]
pub(super) async fn list(asking: Asking, _: NoParams) -> Result<Answer<EffectiveSettings>, Problem> {
    asking.may_run_the_server("looking at the settings")?;
    let shown = config::shown(&asking.app.settings).into_iter();
    let settings = shown.map(|Shown { key, value, source }| Setting { key, value: discreet(value), source });
    Ok(Answer(EffectiveSettings { settings: settings.collect() }))
}

/// Settings hold no secrets but where somebody wrote one into a URL.
fn discreet(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(match Url::parse(&text) {
            Ok(url) => discreet_url(url).unwrap_or(text),
            Err(_) => text,
        }),
        Value::Array(values) => values.into_iter().map(discreet).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, discreet(value))).collect(),
        other => other,
    }
}

/// The URL without what may be secret in it; `None` if nothing may be.
fn discreet_url(mut url: Url) -> Option<String> {
    let is_known = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if is_known {
        return None;
    }
    if url.query().is_some() {
        url.set_query(Some(HIDDEN));
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && (url.set_username(HIDDEN).is_err() || url.set_password(None).is_err()) {
        return Some(HIDDEN.to_owned());
    }
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("https://a.example/x", "https://a.example/x"),
            ("127.0.0.1:7071", "127.0.0.1:7071"),
            ("https://me:pass@a.example/x", "https://hidden@a.example/x"),
            ("https://:pass@a.example/x?token=t#f", "https://hidden@a.example/x?hidden#f"),
        ] {
            let within = |url: &str| json!([{"endpoint": url, "n": 1}]);
            assert_eq!(discreet(within(url)), within(shown));
        }
    }
}
