//! What a token says, and what that allows here.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::keys::{HubScope, Role, Roles};
use crate::settings::Jwt;

/// Most values of one claim that are looked at.
const VALUES_MAX: usize = 256;
/// Longest subject that is kept, in characters.
const SUBJECT_MAX: usize = 128;

/// All of a token's claims.
#[derive(Deserialize)]
pub(super) struct Claims(Map<String, Value>);

/// How claims are read.
pub(super) struct Reading {
    roles_claim: String,
    roles: BTreeMap<String, Role>,
    hubs_claim: String,
    default_hubs: Vec<HubScope>,
}

impl Claims {
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.time("exp")
    }

    /// From when on it is good; `None` if what it says is no time.
    pub(super) fn begins(&self) -> Option<Timestamp> {
        if self.0.contains_key("nbf") { self.time("nbf") } else { Some(Timestamp::UNIX_EPOCH) }
    }

    /// Times are seconds, which may have a fraction.
    fn time(&self, name: &str) -> Option<Timestamp> {
        let value = self.0.get(name)?;
        let second = value.as_i64().or_else(|| Some(value.as_f64()?.floor() as i64))?;
        Timestamp::from_second(second).ok()
    }

    pub(super) fn subject(&self) -> String {
        let subject = self.0.get("sub").and_then(Value::as_str).unwrap_or_default();
        subject.chars().filter(|c| !c.is_control()).take(SUBJECT_MAX).collect()
    }

    /// The texts of a claim: an array of them, or one with spaces between.
    fn texts(&self, path: &str) -> Option<Vec<&str>> {
        // A claim may have dots in its name, as those that are URLs do.
        let found = self.0.get(path).or_else(|| {
            let mut names = path.split('.');
            let first = self.0.get(names.next()?)?;
            names.try_fold(first, |value, name| value.get(name))
        });
        Some(match found? {
            Value::String(text) => text.split_whitespace().take(VALUES_MAX).collect(),
            Value::Array(values) => values.iter().filter_map(Value::as_str).take(VALUES_MAX).collect(),
            _ => Vec::new(),
        })
    }
}

impl Reading {
    pub(super) fn new(settings: &Jwt) -> Self {
        let Jwt { roles_claim, roles, hubs_claim, default_hubs, .. } = settings.clone();
        Self { roles_claim, roles, hubs_claim, default_hubs }
    }

    /// The roles and hubs of a token.
    pub(super) fn of(&self, claims: &Claims) -> (Option<Roles>, Vec<HubScope>) {
        let role = |text: &str| {
            if self.roles.is_empty() {
                Role::from_str(text, false).ok()
            } else {
                self.roles.get(text).copied()
            }
        };
        let roles: BTreeSet<Role> =
            claims.texts(&self.roles_claim).unwrap_or_default().into_iter().filter_map(role).collect();
        let hubs = match claims.texts(&self.hubs_claim) {
            Some(names) => {
                names.into_iter().filter_map(|name| HubScope::try_from(name.to_owned()).ok()).collect()
            }
            None => self.default_hubs.clone(),
        };
        (Roles::try_from(roles).ok(), hubs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: &Jwt, claims: Value) -> (String, String) {
        let (roles, hubs) = Reading::new(settings).of(&serde_json::from_value(claims).unwrap());
        let hubs: Vec<String> = hubs.iter().map(HubScope::to_string).collect();
        (roles.map_or_else(String::new, |roles| roles.to_string()), hubs.join(","))
    }

    fn texts(roles: &str, hubs: &str) -> (String, String) {
        (roles.to_owned(), hubs.to_owned())
    }

    #[test]
    fn roles_and_hubs_stand_in_claims() {
        let plain = Jwt::default();
        let claims = json!({"roles": ["worker", "client", "king", 7], "hubs": "orders a/b billing"});
        assert_eq!(read(&plain, claims), texts("client,worker", "orders,billing"));
        assert_eq!(read(&plain, json!({})), texts("", ""));
        assert_eq!(read(&plain, json!({"roles": {"a": 1}, "hubs": ["*"]})), texts("", "*"));
        let everywhere = Jwt { default_hubs: vec![HubScope::All], ..plain };
        assert_eq!(read(&everywhere, json!({"roles": "admin"})), texts("admin", "*"));
        assert_eq!(read(&everywhere, json!({"hubs": []})), texts("", ""), "none is not all");
    }

    #[test]
    fn claims_and_roles_have_names_of_their_own() {
        let mapped = Jwt {
            roles_claim: "realm_access.roles".to_owned(),
            roles: BTreeMap::from([("Flow.Run".to_owned(), Role::Client)]),
            hubs_claim: "https://example.org/hubs".to_owned(),
            ..Jwt::default()
        };
        let claims = json!({
            "realm_access": {"roles": ["Flow.Run", "admin"]},
            "https://example.org/hubs": ["orders"],
        });
        assert_eq!(read(&mapped, claims), texts("client", "orders"));
    }

    #[test]
    fn times_are_seconds() {
        let claims: Claims = serde_json::from_value(json!({"exp": 1.5, "nbf": "soon"})).unwrap();
        assert_eq!(claims.expires(), Timestamp::from_second(1).ok());
        assert_eq!(claims.begins(), None);
        let far: Claims = serde_json::from_value(json!({"exp": 1e300})).unwrap();
        assert_eq!((far.expires(), far.begins()), (None, Some(Timestamp::UNIX_EPOCH)));
    }
}
