//! The access keys of a server: who may call it.
//!
//! A key reads `strandline_<id>_<secret>`. Its holder has all of it; the server keeps id, roles, scope and
//! the SHA-256 of the whole. Keys stand in one file, `keys.json` in the data directory unless said
//! otherwise, which `strandline keys` changes whether a server runs or not. A running server sees the
//! change within a second: it asks [`access`](crate::access), which is where calls are judged.
//!
//! Any number of keys may be live for the same purpose, so a key is replaced without a pause: make the
//! new one, hand it out, revoke the old one.

pub mod command;
mod disk;
mod entry;
mod file;
mod functions;
mod key;
mod role;
mod secrets;

pub(crate) use disk::Fingerprint;
pub use entry::{HubScope, KeyEntry, NOTE_MAX, NotAHub, NotANote, Note};
pub(crate) use file::Loaded;
pub use file::{KEYS_MAX, KeyFile, KeyFileError, NewKey};
pub use functions::{FUNCTIONS_MAX, Functions, NotFunctions};
pub use key::{Digest, Key, KeyId, NotADigest, NotAKey, NotAnId};
pub use role::{NoRole, Permission, Role, Roles};
pub use secrets::SecretFile;
pub(crate) use secrets::{Secret, Secrets};
