//! Signed URLs: each opens one operation on one instance to whoever has it, until it expires.
//!
//! A URL carries `sig=1.<operation>.<expiry>.<code>`: the version, what it is good for, the second it
//! expires at, and an HMAC-SHA-256 over these, the hub and the instance. Hub and instance stand in the URL
//! itself. The right is to the *id*: who purges an instance and makes another one of the same id has made it
//! for the URLs of the first, too. Who minds lets the server make ids.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;

use super::AccessError;
use super::secrets::Vault;
use crate::keys::{Permission, Secret};
use crate::settings::{Auth, ManagementUrls};

/// The query parameter a URL carries its signature in.
pub(crate) const SIGNATURE: &str = "sig";
/// What a signature begins with, and what else is signed so that it is good for nothing but this.
const VERSION: &str = "1";
const CONTEXT: &[u8] = b"strandline management url";
/// Longest text that is looked at; signatures are shorter.
const TEXT_MAX: usize = 128;

/// What URLs can be signed for.
const OPERATIONS: [(&str, Permission); 8] = [
    ("read", Permission::Read),
    ("raise-event", Permission::RaiseEvent),
    ("terminate", Permission::Terminate),
    ("suspend", Permission::Suspend),
    ("resume", Permission::Resume),
    ("rewind", Permission::Rewind),
    ("restart", Permission::Restart),
    ("purge", Permission::Purge),
];

/// Signs URLs and knows its signatures again.
pub(super) struct Links {
    vault: Arc<Vault>,
    pub(super) urls: ManagementUrls,
    lifetime: Duration,
}

/// What a signature says it is. Good for nothing before [`Links::verify`] found it right.
#[derive(Clone)]
pub(super) struct Claim {
    operation: &'static str,
    permission: Permission,
    pub(super) expires: Timestamp,
    code: Arc<[u8]>,
}

/// The one thing a URL is signed for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) hub: &'a str,
    pub(super) instance: &'a str,
    pub(super) permission: Permission,
}

impl Links {
    pub(super) fn new(vault: Arc<Vault>, settings: &Auth) -> Self {
        Self { vault, urls: settings.management_urls, lifetime: settings.signed_url_lifetime }
    }

    /// The same with other secrets.
    pub(super) fn with(&self, vault: Vault) -> Self {
        Self { vault: Arc::new(vault), ..*self }
    }

    /// The same as other settings say.
    pub(super) fn configured(&self, settings: &Auth) -> Self {
        Self::new(self.vault.clone(), settings)
    }

    /// The signature of a URL for this, good until the lifetime of URLs is over and no longer than
    /// `expires`. `None` for what no URL is signed for.
    pub(super) fn sign(
        &self,
        target: Target<'_>,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Option<String> {
        let (operation, _) = OPERATIONS.iter().find(|(_, permission)| *permission == target.permission)?;
        let until = now.checked_add(self.lifetime).unwrap_or(Timestamp::MAX);
        let until = expires.map_or(until, |at| at.min(until)).as_second();
        let code = code(&self.vault.secrets().newest, operation, until, target).finalize().into_bytes();
        Some(format!("{VERSION}.{operation}.{until}.{}", URL_SAFE_NO_PAD.encode(code)))
    }

    /// Whether a claim is right, and for this. `what` is how a refusal calls it.
    pub(super) fn verify(
        &self,
        claim: &Claim,
        target: Target<'_>,
        what: &str,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let said = Target { permission: claim.permission, ..target };
        let right = |secret: &Secret| {
            let expected = code(secret, claim.operation, claim.expires.as_second(), said);
            expected.verify_slice(&claim.code).is_ok()
        };
        let secrets = self.vault.secrets();
        if !right(&secrets.newest) && !secrets.older.as_ref().is_some_and(right) {
            return Err(AccessError::WrongSignature);
        }
        claim.in_time(now)?;
        if claim.permission != target.permission {
            return Err(AccessError::OtherOperation { what: what.to_owned(), signed: claim.operation });
        }
        Ok(())
    }
}

impl Claim {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let (VERSION, name, until, code, None) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        let (operation, permission) = *OPERATIONS.iter().find(|(known, _)| *known == name)?;
        let expires = Timestamp::from_second(until.parse().ok()?).ok()?;
        let code = URL_SAFE_NO_PAD.decode(code).ok()?.into();
        Some(Self { operation, permission, expires, code })
    }

    /// Whether whoever has the URL gets one for this by using it: the same for another instance, and for
    /// looking at what was restarted.
    pub(super) fn leads_to(&self, permission: Permission) -> bool {
        permission == self.permission
            || (self.permission == Permission::Restart && permission == Permission::Read)
    }

    pub(super) fn in_time(&self, now: Timestamp) -> Result<(), AccessError> {
        if self.expires <= now { Err(AccessError::SignatureExpired(self.expires)) } else { Ok(()) }
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({} until {}, code not shown)", self.operation, self.expires)
    }
}

/// Every part but the last is told from the next by its length.
fn code(secret: &Secret, operation: &str, until: i64, target: Target<'_>) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new(secret.bytes().into());
    for part in [CONTEXT, VERSION.as_bytes(), target.hub.as_bytes(), target.instance.as_bytes()] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.update(&until.to_be_bytes());
    mac.update(operation.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "orders";
    const INSTANCE: &str = "order-7";

    fn links() -> Links {
        Links::new(Arc::new(Vault::in_memory().unwrap()), &Auth::default())
    }

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    fn target(permission: Permission) -> Target<'static> {
        Target { hub: HUB, instance: INSTANCE, permission }
    }

    fn verify(links: &Links, text: &str, target: Target<'_>, now: Timestamp) -> Result<(), AccessError> {
        links.verify(&Claim::parse(text).ok_or(AccessError::WrongSignature)?, target, "this", now)
    }

    #[test]
    fn a_signature_is_good_for_what_it_was_made_for() {
        let links = links();
        for (_, permission) in OPERATIONS {
            let text = links.sign(target(permission), now(), None).unwrap();
            assert_eq!(verify(&links, &text, target(permission), now()), Ok(()));
            assert!(
                text.len() < TEXT_MAX
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            );
        }
        assert!(links.sign(target(Permission::Administer), now(), None).is_none());
    }

    #[test]
    fn a_signature_is_good_for_nothing_else() {
        let links = links();
        let text = links.sign(target(Permission::Read), now(), None).unwrap();
        let read = target(Permission::Read);
        let wrong = Err(AccessError::WrongSignature);
        assert_eq!(verify(&links, &text, Target { hub: "billing", ..read }, now()), wrong);
        assert_eq!(verify(&links, &text, Target { instance: "order-8", ..read }, now()), wrong);
        // What is moved from one part to another is not the same.
        assert_eq!(
            verify(&links, &text, Target { hub: "ordersorder", instance: "-7", ..read }, now()),
            wrong
        );
        let other = verify(&links, &text, target(Permission::Terminate), now());
        assert!(matches!(other, Err(AccessError::OtherOperation { signed: "read", .. })), "{other:?}");
        let later = now() + Auth::default().signed_url_lifetime;
        assert!(matches!(verify(&links, &text, read, later), Err(AccessError::SignatureExpired(_))));
        assert_eq!(verify(&self::links(), &text, read, now()), wrong, "of another server");
    }

    #[test]
    fn what_is_changed_is_wrong() {
        let links = links();
        let text = links.sign(target(Permission::Read), now(), None).unwrap();
        let until = now().as_second() + 7 * 24 * 3600;
        let (front, code) = text.rsplit_once('.').unwrap();
        for changed in [
            text.replace("read", "purge"),
            text.replace(&until.to_string(), &(until + 1).to_string()),
            text.replace("1.read", "2.read"),
            format!("{front}."),
            format!("{front}.{}", &code[..code.len() - 2]),
            format!("{front}.{}", code.chars().rev().collect::<String>()),
            format!("{text}.x"),
            format!("{front}.{}", "A".repeat(10_000)),
            String::new(),
        ] {
            for (_, permission) in OPERATIONS {
                let told = verify(&links, &changed, target(permission), now());
                assert_eq!(told, Err(AccessError::WrongSignature), "{changed}");
            }
        }
    }

    #[test]
    fn it_ends_no_later_than_what_it_was_got_by() {
        let links = links();
        let soon = now() + Duration::from_secs(60);
        let text = links.sign(target(Permission::Read), now(), Some(soon)).unwrap();
        assert!(verify(&links, &text, target(Permission::Read), soon - Duration::from_secs(1)).is_ok());
        assert!(verify(&links, &text, target(Permission::Read), soon).is_err());
    }
}
