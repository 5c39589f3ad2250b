//! A key as its holder has it, and what is kept of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What every key begins with, so that whoever finds one, or scans for leaks, sees what it is.
const PREFIX: &str = "strandline";
/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Random bytes of an id.
const ID_BYTES: usize = 6;
/// Longest text that is looked at; keys are shorter.
const TEXT_MAX: usize = 256;

/// A key with its secret: `strandline_<id>_<secret>`. Wiped from memory when dropped; neither printed
/// by `Debug` nor stored.
pub struct Key {
    id: KeyId,
    text: Zeroizing<String>,
}

/// What a key is called: 12 hex digits. No secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// SHA-256 of a key. Secrets are random enough that nothing slower is needed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that can't be a key.
#[derive(Debug, thiserror::Error)]
#[error("this is not an access key: they look like {PREFIX}_0123456789ab_...")]
pub struct NotAKey;

/// A text that can't be a key's id.
#[derive(Debug, thiserror::Error)]
#[error("a key's id is {} hex digits in lower case", ID_BYTES * 2)]
pub struct NotAnId;

/// A text that can't be a digest.
#[derive(Debug, thiserror::Error)]
#[error("a SHA-256 is 64 hex digits in lower case")]
pub struct NotADigest;

impl Key {
    /// A new key.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], Zeroizing::new([0; SECRET_BYTES]));
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut *secret)?;
        let id = KeyId(to_hex(&id));
        // Whole at once: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_MAX));
        for part in [PREFIX, "_", id.as_str(), "_"] {
            text.push_str(part);
        }
        URL_SAFE_NO_PAD.encode_string(secret.as_slice(), &mut text);
        Ok(Self { id, text })
    }

    /// Reads what a caller gave. Whether it is a key of this server is for its [`Digest`] to say.
    pub fn parse(text: &str) -> Result<Self, NotAKey> {
        if text.len() > TEXT_MAX {
            return Err(NotAKey);
        }
        let parts = text.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('_')?.split_once('_'));
        let (id, _) = parts.ok_or(NotAKey)?;
        let id = KeyId::try_from(id.to_owned()).map_err(|_| NotAKey)?;
        Ok(Self { id, text: Zeroizing::new(text.to_owned()) })
    }

    /// What it is called.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// What is kept of it. It covers the whole text, so there is one spelling of a key.
    pub fn digest(&self) -> Digest {
        Digest(Sha256::digest(self.text.as_bytes()).into())
    }

    /// The text, to be shown once to who asked for the key.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, secret not shown)", self.id)
    }
}

impl KeyId {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, NotAnId> {
        from_hex::<ID_BYTES>(&text).map(|_| Self(text)).ok_or(NotAnId)
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl Digest {
    /// Takes as long whether they are equal or not.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(not shown)")
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;

    fn try_from(text: String) -> Result<Self, NotADigest> {
        from_hex(&text).map(Self).ok_or(NotADigest)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        to_hex(&digest.0)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly `N` bytes in lower case: two spellings would be two ids.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made() {
        let key = Key::generate().unwrap();
        let read = Key::parse(key.reveal()).unwrap();
        assert_eq!(read.id(), key.id());
        assert!(read.digest().matches(&key.digest()));
        let secret = key.reveal().rsplit_once(key.id().as_str()).unwrap().1.strip_prefix('_').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
        assert_ne!(Key::generate().unwrap().reveal(), key.reveal());
    }

    #[test]
    fn another_secret_does_not_match() {
        let key = Key::generate().unwrap();
        for text in [format!("{}A", key.reveal()), key.reveal().replace(char::is_uppercase, "x")] {
            assert!(!Key::parse(&text).unwrap().digest().matches(&key.digest()));
        }
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        // printf 'strandline_0123456789ab_secret' | sha256sum
        let key = Key::parse("strandline_0123456789ab_secret").unwrap();
        let expected = "22e0f4604562d38a13b9a9c54b9f712c8e17a7313de3b0692f127bc3b2a32400";
        assert_eq!(String::from(key.digest()), expected);
        assert!(Digest::try_from(expected.to_owned()).unwrap().matches(&key.digest()));
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let long = format!("strandline_0123456789ab_{}", "a".repeat(TEXT_MAX));
        for text in [
            "",
            "strandline",
            "strandline_",
            "strandline_0123456789ab",
            "strandline_0123456789AB_x",
            "strandline_0123456789_x",
            "other_0123456789ab_x",
            "strandline_é123456789ab_x",
            &long,
        ] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = Key::generate().unwrap();
        let shown = format!("{key:?} {:?}", key.digest());
        assert!(shown.contains(key.id().as_str()));
        let secret = key.reveal().rsplit_once(key.id().as_str()).unwrap().1;
        assert!(!shown.contains(secret) && !shown.contains(&String::from(key.digest())));
    }
}
