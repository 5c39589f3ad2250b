//! What is known of a key without knowing the key.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strandline_store::{HUB_NAME_MAX, is_hub_name};

use super::{Digest, Functions, KeyId, Permission, Roles};

/// Longest note, in characters.
pub const NOTE_MAX: usize = 256;

/// A key as the file has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// What it is called.
    pub id: KeyId,
    /// What it is for.
    pub roles: Roles,
    /// Where it is good.
    pub hub: HubScope,
    /// The functions it is good for; all, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functions: Option<Functions>,
    /// What its maker wanted to remember; may be empty.
    #[serde(default)]
    pub note: Note,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work; never, if absent.
    pub expires: Option<Timestamp>,
    /// The key whose place it takes, if it takes one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
    /// What its secret is recognised by.
    pub(crate) sha256: Digest,
}

impl KeyEntry {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Whether it suffices for what needs `permission`, be it of some functions only.
    pub(crate) fn allows(&self, permission: Permission) -> bool {
        self.roles.allow(permission)
            && self.functions.as_ref().is_none_or(|functions| functions.allow(permission))
    }

    /// Whether whoever was let in with `self` may stay now that the key is `other`.
    pub(crate) fn grants_as(&self, other: &Self) -> bool {
        self.sha256.matches(&other.sha256)
            && self.roles == other.roles
            && self.hub == other.hub
            && self.functions == other.functions
    }
}

/// The hubs a key is good for. Written as the hub's name, or `*`, which can't be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum HubScope {
    /// All, those to come included.
    All,
    /// This one.
    One(String),
}

/// A text that can't be a hub's name.
#[derive(Debug, thiserror::Error)]
#[error("a task hub's name is 1 to {HUB_NAME_MAX} letters, digits, '_' and '-'")]
pub struct NotAHub;

impl HubScope {
    /// Whether the hub is one of them.
    pub fn contains(&self, hub: &str) -> bool {
        match self {
            Self::All => true,
            Self::One(name) => name == hub,
        }
    }

    /// The hub of this name.
    pub fn one(name: &str) -> Result<Self, NotAHub> {
        if is_hub_name(name) { Ok(Self::One(name.to_owned())) } else { Err(NotAHub) }
    }
}

impl TryFrom<String> for HubScope {
    type Error = NotAHub;

    fn try_from(text: String) -> Result<Self, NotAHub> {
        if text == "*" { Ok(Self::All) } else { Self::one(&text) }
    }
}

impl From<HubScope> for String {
    fn from(scope: HubScope) -> Self {
        scope.to_string()
    }
}

impl fmt::Display for HubScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "*",
            Self::One(name) => name,
        })
    }
}

/// One line of text that may go to a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Note(String);

/// A text that can't be a note.
#[derive(Debug, thiserror::Error)]
#[error("a note has at most {NOTE_MAX} characters and no control characters or line breaks")]
pub struct NotANote;

impl Note {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Note {
    type Error = NotANote;

    fn try_from(text: String) -> Result<Self, NotANote> {
        // Besides control characters, what breaks lines or reorders the text around it.
        let unfit = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        };
        if text.chars().count() > NOTE_MAX || text.contains(unfit) { Err(NotANote) } else { Ok(Self(text)) }
    }
}

impl From<Note> for String {
    fn from(note: Note) -> Self {
        note.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_hub_or_all() {
        let orders = HubScope::try_from("orders".to_owned()).unwrap();
        assert!(orders.contains("orders") && !orders.contains("Orders") && !orders.contains("orders2"));
        assert!(HubScope::try_from("*".to_owned()).unwrap().contains("anything"));
        for bad in ["", "a b", "a/b", "**", "é", &"x".repeat(65)] {
            assert!(HubScope::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_note_cannot_draw_on_the_terminal() {
        assert!(Note::try_from("deploy of the wörker".to_owned()).is_ok());
        assert!(Note::try_from("x".repeat(NOTE_MAX)).is_ok());
        for bad in ["a\nb", "\u{1b}[31m", "a\u{202e}b", &"x".repeat(NOTE_MAX + 1)] {
            assert!(Note::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
