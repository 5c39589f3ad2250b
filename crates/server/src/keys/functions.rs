//! The functions a key is limited to.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Permission;

/// Most functions of one key.
pub const FUNCTIONS_MAX: usize = 64;
/// Longest name, in bytes, as instances have it.
const NAME_MAX: usize = 256;

/// The functions a key is limited to, by name: it starts these orchestrations and signals these entities,
/// and does nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Functions(BTreeSet<String>);

/// Texts that can't be the functions of a key.
#[derive(Debug, thiserror::Error)]
#[error(
    "a key is limited to 1 to {FUNCTIONS_MAX} functions, by names of 1 to {NAME_MAX} bytes without control \
     characters"
)]
pub struct NotFunctions;

impl Functions {
    /// Whether a key that is limited so may do this at all.
    pub fn allow(&self, permission: Permission) -> bool {
        matches!(permission, Permission::Connect | Permission::Start | Permission::Signal)
    }

    /// Whether the function is one of them. Names of entities are the same in any case.
    pub fn contain(&self, permission: Permission, name: &str) -> bool {
        match permission {
            Permission::Signal => self.0.iter().any(|known| known.eq_ignore_ascii_case(name)),
            _ => self.0.contains(name),
        }
    }
}

impl TryFrom<Vec<String>> for Functions {
    type Error = NotFunctions;

    fn try_from(names: Vec<String>) -> Result<Self, NotFunctions> {
        let fit = |name: &String| (1..=NAME_MAX).contains(&name.len()) && !name.contains(char::is_control);
        if (1..=FUNCTIONS_MAX).contains(&names.len()) && names.iter().all(fit) {
            Ok(Self(names.into_iter().collect()))
        } else {
            Err(NotFunctions)
        }
    }
}

impl From<Functions> for Vec<String> {
    fn from(functions: Functions) -> Self {
        functions.0.into_iter().collect()
    }
}

impl fmt::Display for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_functions_are_started_and_signalled() {
        let functions = Functions::try_from(vec!["Order".to_owned(), "Cart".to_owned()]).unwrap();
        assert!(functions.allow(Permission::Start) && functions.allow(Permission::Signal));
        assert!(!functions.allow(Permission::Read) && !functions.allow(Permission::Terminate));
        assert!(functions.contain(Permission::Start, "Order"));
        assert!(!functions.contain(Permission::Start, "order"));
        assert!(functions.contain(Permission::Signal, "cart"));
        assert!(!functions.contain(Permission::Signal, "cart2"));
        for bad in [vec![], vec![String::new()], vec!["a\nb".to_owned()], vec!["x".to_owned(); 65]] {
            assert!(Functions::try_from(bad).is_err());
        }
    }
}
