//! What a key is for, and what that allows.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What somebody with a key is. A key may have several: a program that both starts orchestrations and
/// executes them needs one key that is client and worker.
///
/// A new role is a variant here and its line in [`Role::allows`]. Files of keys say roles by name, so a
/// program that does not know one refuses the file.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Starts, raises events, reads and manages instances and entities: what the system key
    /// `durabletask_extension` of an Azure Functions app may do.
    #[value(alias = "system")]
    Client,
    /// Reads instances and entities, and changes nothing.
    Reader,
    /// Takes work and returns it.
    Worker,
    /// May do everything; besides the others, make and delete hubs.
    Admin,
}

/// What a method needs. Finer than roles, so that a role is a set of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Finding out whether the server is there and takes the key.
    Connect,
    /// Taking work and returning it.
    Work,
    /// Reading instances and entities.
    Read,
    /// Reading a history: as a reader, or for a work item one has. The method tells these apart.
    History,
    /// Starting an orchestration.
    Start,
    /// Signalling an entity.
    Signal,
    /// Raising an event of an instance.
    RaiseEvent,
    /// Ending an instance.
    Terminate,
    /// Holding an instance up.
    Suspend,
    /// Letting a suspended instance go on.
    Resume,
    /// Taking a failed instance back to before it failed.
    Rewind,
    /// Starting an instance again, with the same input.
    Restart,
    /// Deleting what is over.
    Purge,
    /// Whatever else changes instances and entities of a hub.
    Operate,
    /// Making and deleting hubs.
    Administer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Client, Self::Reader, Self::Worker, Self::Admin];

    /// Whether the role suffices for what needs `permission`.
    pub fn allows(self, permission: Permission) -> bool {
        use Permission::{Administer, Connect, History, Read, Work};
        match self {
            Self::Client => !matches!(permission, Work | Administer),
            Self::Reader => matches!(permission, Connect | Read | History),
            Self::Worker => matches!(permission, Connect | Work | History),
            Self::Admin => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Reader => "reader",
            Self::Worker => "worker",
            Self::Admin => "admin",
        })
    }
}

/// The roles of one key; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Role>", into = "BTreeSet<Role>")]
pub struct Roles(BTreeSet<Role>);

/// A key without a role would be good for nothing.
#[derive(Debug, thiserror::Error)]
#[error("no role is given: client, reader, worker and admin are those there are")]
pub struct NoRole;

impl Roles {
    /// Whether one of them suffices for what needs `permission`.
    pub fn allow(&self, permission: Permission) -> bool {
        self.0.iter().any(|role| role.allows(permission))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self(BTreeSet::from([role]))
    }
}

impl TryFrom<BTreeSet<Role>> for Roles {
    type Error = NoRole;

    fn try_from(roles: BTreeSet<Role>) -> Result<Self, NoRole> {
        if roles.is_empty() { Err(NoRole) } else { Ok(Self(roles)) }
    }
}

impl From<Roles> for BTreeSet<Role> {
    fn from(roles: Roles) -> Self {
        roles.0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, role) in self.0.iter().enumerate() {
            write!(f, "{}{role}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_workers_work_and_only_clients_operate() {
        assert!(Role::Worker.allows(Permission::Work) && !Role::Client.allows(Permission::Work));
        assert!(Role::Client.allows(Permission::Operate) && !Role::Worker.allows(Permission::Operate));
        assert!(Role::Client.allows(Permission::Read) && !Role::Worker.allows(Permission::Read));
        assert!(Role::Reader.allows(Permission::Read) && !Role::Reader.allows(Permission::Start));
        assert!(!Role::Reader.allows(Permission::Operate) && !Role::Reader.allows(Permission::Work));
        for role in [Role::Client, Role::Reader, Role::Worker] {
            assert!(!role.allows(Permission::Administer));
            assert!(role.allows(Permission::Connect) && role.allows(Permission::History));
        }
    }

    #[test]
    fn several_roles_allow_what_each_allows() {
        let both = Roles::try_from(BTreeSet::from([Role::Worker, Role::Client])).unwrap();
        assert!(both.allow(Permission::Work) && both.allow(Permission::Operate));
        assert!(!both.allow(Permission::Administer));
        assert_eq!(both.to_string(), "client,worker");
        assert!(Roles::try_from(BTreeSet::new()).is_err());
    }

    #[test]
    fn names_are_the_same_everywhere() {
        for role in Role::ALL {
            let name = serde_json::to_value(role).unwrap();
            assert_eq!(name, role.to_string());
            assert_eq!(clap::ValueEnum::to_possible_value(&role).unwrap().get_name(), role.to_string());
        }
    }
}
