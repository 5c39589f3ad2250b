//! Where the token of a request comes from.

use serde::{Deserialize, Serialize};

/// Where whoever sends a request gets the token that it puts into the header `Authorization`.
///
/// The token itself is in no history: it is fetched when the request is sent, and only for what the
/// sender's configuration names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum TokenSource {
    /// A token for this resource, from whatever the sender is configured to get tokens for it from: in
    /// Azure Functions the managed identity of the app.
    AzureManagedIdentity {
        /// The scope or audience, such as `https://management.core.windows.net/.default`.
        resource: String,
        /// What a sender on Azure may need besides. `ClientCredentials`, and so a server, does not heed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        options: Option<ManagedIdentityOptions>,
    },
    /// A token from the provider that the sender knows by this name.
    Named {
        /// The provider's name.
        name: String,
        /// The scope or audience; that of the provider, if it has just one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resource: Option<String>,
    },
}

/// Options of [`TokenSource::AzureManagedIdentity`], as Durable Functions writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedIdentityOptions {
    /// The authority that issues the tokens.
    #[serde(rename = "authorityhost", default)]
    pub authority_host: Option<String>,
    /// The tenant.
    #[serde(rename = "tenantid", default)]
    pub tenant_id: Option<String>,
}

impl TokenSource {
    /// A token for an Azure resource; see [`TokenSource::AzureManagedIdentity`].
    pub fn managed_identity(resource: impl AsRef<str>) -> Self {
        Self::AzureManagedIdentity { resource: scope_of(resource.as_ref()), options: None }
    }

    /// A token from the provider that the sender knows by this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named { name: name.into(), resource: None }
    }
}

/// The scope of a resource: two of Azure's are written without theirs by long habit.
pub(crate) fn scope_of(resource: &str) -> String {
    let bare = resource.strip_suffix('/').unwrap_or(resource);
    match bare {
        "https://management.core.windows.net" | "https://graph.microsoft.com" => format!("{bare}/.default"),
        _ => resource.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_durable_functions_does() {
        for resource in ["https://management.core.windows.net", "https://management.core.windows.net/"] {
            let text = serde_json::to_string(&TokenSource::managed_identity(resource)).unwrap();
            let scope = "https://management.core.windows.net/.default";
            assert_eq!(text, format!(r#"{{"kind":"AzureManagedIdentity","resource":"{scope}"}}"#));
        }
        let text = r#"{"kind":"AzureManagedIdentity","resource":"r","options":{"authorityhost":"https://login.example/","tenantid":"t"}}"#;
        let read: TokenSource = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        assert!(serde_json::from_str::<TokenSource>(r#"{"kind":"Other"}"#).is_err());
        assert_eq!(scope_of("https://graph.microsoft.com/"), "https://graph.microsoft.com/.default");
        assert_eq!(scope_of("https://vault.azure.net/"), "https://vault.azure.net/");
    }
}
