//! The file that keys are kept in.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::{self, Fingerprint};
use super::{Functions, HubScope, Key, KeyEntry, KeyId, Note, Role, Roles};

/// What the file is called in a data directory.
const NAME: &str = "keys.json";
/// What this program writes and reads.
const VERSION: u32 = 1;
/// Most keys in a file.
pub const KEYS_MAX: usize = 10_000;
/// Largest file that is read, in bytes; one of [`KEYS_MAX`] keys is smaller.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where keys are kept. Holds nothing itself: each call goes to the disk, and several processes may use
/// one file.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

/// What a key shall be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What it is for.
    pub roles: Roles,
    /// Where it is good.
    pub hub: HubScope,
    /// The functions it is good for; all, if `None`.
    pub functions: Option<Functions>,
    /// What to remember.
    pub note: Note,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
}

/// Why keys can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refuses.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The file does not say what a file of keys says. Nothing was changed.
    #[error("{} is damaged: {reason}; mend it, restore it from a backup, or delete it and make all keys anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// It comes from another version of this program. Nothing was changed.
    #[error("{} has version {version}, this program knows version {VERSION}: use the one that wrote it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u64,
    },
    /// Anybody could add a key.
    #[error("{} can be written by every user: run `chmod o-w` on it and check the keys it holds", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// A rewritten file would be the writer's, and the server could not read it any more.
    #[error("{} belongs to user {owner}: do this as that user or as root", path.display())]
    Owner {
        /// The file or directory.
        path: PathBuf,
        /// Its user id.
        owner: u32,
    },
    /// There are as many keys as there may be.
    #[error("{} holds {KEYS_MAX} keys, which is the limit: revoke some first", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// There is none of this id.
    #[error("there is no key {id} in {}", path.display())]
    NotFound {
        /// What was looked for.
        id: KeyId,
        /// Where.
        path: PathBuf,
    },
    /// Two are enough to replace one by the other.
    #[error(
        "key {id} stands beside key {beside}, which is good, too: revoke the one that nobody uses any more \
         before you make a third one"
    )]
    TwoLive {
        /// What was to be replaced.
        id: KeyId,
        /// What takes its place already, or whose place it took.
        beside: KeyId,
    },
    /// Nobody uses it any more.
    #[error("key {id} expired: make a new one with `strandline keys create`")]
    Over {
        /// What was to be replaced.
        id: KeyId,
    },
    /// Workers and readers do not start functions.
    #[error("functions are said for keys with the role client alone")]
    FunctionsOfClients,
    /// Others than the server's user could sign.
    #[error(
        "{} can be read by other users: run `chmod 600` on it, and `strandline keys rotate-urls` twice, \
         for others may know what is in it",
        path.display()
    )]
    Readable {
        /// The file.
        path: PathBuf,
    },
    /// The system gives no random numbers.
    #[error("no key can be made: {0}")]
    NoRandomness(getrandom::Error),
}

/// A state of the file.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) entries: Vec<KeyEntry>,
    pub(crate) fingerprint: Fingerprint,
    /// As long as it is open its inode number is not given to another file.
    _open: File,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    keys: Vec<KeyEntry>,
}

impl KeyFile {
    /// The keys in this file, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The keys of a data directory: `keys.json` in it.
    pub fn in_directory(dir: &Path) -> Self {
        Self::at(dir.join(NAME))
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All keys, the oldest first; none, if there is no file.
    pub fn read(&self) -> Result<Vec<KeyEntry>, KeyFileError> {
        Ok(self.load()?.map(|loaded| loaded.entries).unwrap_or_default())
    }

    /// Makes a key. It is on the disk when this returns, and nobody can be told its secret again.
    pub fn create(&self, new: NewKey, now: Timestamp) -> Result<(Key, KeyEntry), KeyFileError> {
        if new.functions.is_some() && new.roles != Role::Client.into() {
            return Err(KeyFileError::FunctionsOfClients);
        }
        self.change(|entries| self.add(entries, new, None, now))
    }

    /// Makes the key that takes the place of another one: for the same roles, hub and functions, with its
    /// note. Both work until the other is revoked or, with `until`, over. Gives the new key and what the
    /// other one is now.
    ///
    /// Of a key and those that took its place two may be good at a time.
    pub fn rotate(
        &self,
        id: &KeyId,
        expires: Option<Timestamp>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Key, KeyEntry, KeyEntry), KeyFileError> {
        self.change(|entries| {
            let path = || self.path.clone();
            let old = entries.iter_mut().find(|entry| entry.id == *id);
            let old = old.ok_or_else(|| KeyFileError::NotFound { id: id.clone(), path: path() })?;
            if let Some(until) = until {
                old.expires = Some(old.expires.map_or(until, |at| at.min(until)));
            }
            let old = old.clone();
            if old.is_expired(now) {
                return Err(KeyFileError::Over { id: id.clone() });
            }
            let beside = |entry: &&KeyEntry| {
                let related = entry.replaces.as_ref() == Some(id) || old.replaces.as_ref() == Some(&entry.id);
                related && !entry.is_expired(now)
            };
            if let Some(beside) = entries.iter().find(beside) {
                return Err(KeyFileError::TwoLive { id: id.clone(), beside: beside.id.clone() });
            }
            let KeyEntry { roles, hub, functions, note, .. } = old.clone();
            let new = NewKey { roles, hub, functions, note, expires };
            let (key, entry) = self.add(entries, new, Some(id.clone()), now)?;
            Ok((key, entry, old))
        })
    }

    fn add(
        &self,
        entries: &mut Vec<KeyEntry>,
        new: NewKey,
        replaces: Option<KeyId>,
        now: Timestamp,
    ) -> Result<(Key, KeyEntry), KeyFileError> {
        let NewKey { roles, hub, functions, note, expires } = new;
        if entries.len() >= KEYS_MAX {
            return Err(KeyFileError::Full { path: self.path.clone() });
        }
        let key = loop {
            let key = Key::generate().map_err(KeyFileError::NoRandomness)?;
            if entries.iter().all(|entry| entry.id != *key.id()) {
                break key;
            }
        };
        let (id, sha256) = (key.id().clone(), key.digest());
        let entry = KeyEntry { id, roles, hub, functions, note, created: now, expires, replaces, sha256 };
        entries.push(entry.clone());
        Ok((key, entry))
    }

    /// Takes these keys away: all of them or, if one is not there, none. Gives what they were.
    pub fn revoke(&self, ids: &[KeyId]) -> Result<Vec<KeyEntry>, KeyFileError> {
        let ids: BTreeSet<&KeyId> = ids.iter().collect();
        self.change(|entries| {
            let missing = |id: &&&KeyId| entries.iter().all(|entry| entry.id != ***id);
            if let Some(id) = ids.iter().find(missing) {
                return Err(KeyFileError::NotFound { id: (*id).clone(), path: self.path.clone() });
            }
            Ok(entries.extract_if(.., |entry| ids.contains(&entry.id)).collect())
        })
    }

    /// The file as it is now; `None` if there is none.
    pub(crate) fn load(&self) -> Result<Option<Loaded>, KeyFileError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io("reading", error)),
        };
        let found = file.metadata().map_err(|e| self.io("reading", e))?;
        if found.mode() & 0o002 != 0 {
            return Err(KeyFileError::Exposed { path: self.path.clone() });
        }
        let mut text = String::new();
        let read = Read::by_ref(&mut file).take(BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(|e| self.io("reading", e))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(self.damaged(format!("it is larger than {BYTES_MAX} bytes")));
        }
        let entries = self.parse(&text)?;
        Ok(Some(Loaded { entries, fingerprint: Fingerprint::of(&found), _open: file }))
    }

    /// What tells whether [`load`](Self::load) would give the same again; `None` if there is no file.
    pub(crate) fn fingerprint(&self) -> Result<Option<Fingerprint>, KeyFileError> {
        Fingerprint::at(&self.path)
    }

    fn parse(&self, text: &str) -> Result<Vec<KeyEntry>, KeyFileError> {
        let damaged = |error: serde_json::Error| self.damaged(error.to_string());
        let Versioned { version } = serde_json::from_str(text).map_err(damaged)?;
        if version != u64::from(VERSION) {
            return Err(KeyFileError::Version { path: self.path.clone(), version });
        }
        let Contents { mut keys, .. } = serde_json::from_str(text).map_err(damaged)?;
        if keys.len() > KEYS_MAX {
            return Err(self.damaged(format!("it holds more than {KEYS_MAX} keys")));
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = keys.iter().find(|entry| !ids.insert(&entry.id)) {
            return Err(self.damaged(format!("key {} stands in it twice", twice.id)));
        }
        keys.sort_by(|a, b| a.created.cmp(&b.created).then_with(|| a.id.cmp(&b.id)));
        Ok(keys)
    }

    /// Reads, changes and writes while no other process does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<KeyEntry>) -> Result<T, KeyFileError>,
    ) -> Result<T, KeyFileError> {
        disk::change(&self.path, || {
            let mut keys = self.read()?;
            let done = change(&mut keys)?;
            let mut text = serde_json::to_string_pretty(&Contents { version: VERSION, keys })
                .map_err(|error| self.io("writing", error.into()))?;
            text.push('\n');
            Ok((text.into(), done))
        })
    }

    fn io(&self, what: &'static str, error: io::Error) -> KeyFileError {
        KeyFileError::Io { what, path: self.path.clone(), error }
    }

    fn damaged(&self, reason: String) -> KeyFileError {
        KeyFileError::Damaged { path: self.path.clone(), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn new(role: Role) -> NewKey {
        NewKey {
            roles: role.into(),
            hub: HubScope::All,
            functions: None,
            note: Note::default(),
            expires: None,
        }
    }

    fn now() -> Timestamp {
        "2026-01-31T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn keys_are_found_again_in_a_file_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(&dir.path().join("new").join("place"));
        assert!(file.read().unwrap().is_empty());
        let (key, made) = file.create(new(Role::Worker), now()).unwrap();
        file.create(new(Role::Client), now() + jiff::SignedDuration::from_secs(1)).unwrap();
        let found = file.read().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].id, found[0].created), (key.id(), now()));
        assert!(found[0].grants_as(&made) && found[0].sha256.matches(&key.digest()));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(file.path()).unwrap();
        let secret = key.reveal().rsplit_once(key.id().as_str()).unwrap().1;
        assert!(!text.contains(secret));
    }

    #[test]
    fn several_are_revoked_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        let ids: Vec<_> = (0..3).map(|_| file.create(new(Role::Client), now()).unwrap().1.id).collect();
        let unknown = KeyId::try_from("000000000000".to_owned()).unwrap();
        let refused = file.revoke(&[ids[0].clone(), unknown.clone()]).unwrap_err();
        assert!(matches!(refused, KeyFileError::NotFound { id, .. } if id == unknown));
        assert_eq!(file.read().unwrap().len(), 3);
        let gone = file.revoke(&[ids[0].clone(), ids[2].clone(), ids[0].clone()]).unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(file.read().unwrap()[0].id, ids[1]);
    }

    #[test]
    fn what_two_processes_do_at_once_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..8).for_each(|_| drop(file.create(new(Role::Client), now()).unwrap())));
            }
        });
        assert_eq!(file.read().unwrap().len(), 32);
    }

    #[test]
    fn an_interrupted_change_is_no_obstacle_and_a_link_stays_one() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("keys.json"));
        KeyFile::at(&real).create(new(Role::Admin), now()).unwrap();
        fs::write(dir.path().join("real.json.new"), "half of a fi").unwrap();
        symlink("real.json", &link).unwrap();
        KeyFile::in_directory(dir.path()).create(new(Role::Admin), now()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(KeyFile::at(&real).read().unwrap().len(), 2);
        assert!(!dir.path().join("real.json.new").exists());
    }

    #[test]
    fn a_file_that_says_something_else_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        file.create(new(Role::Client), now()).unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        let body = good.split_once('[').unwrap().1.rsplit_once(']').unwrap().0.to_owned();
        let sets: [(&str, String); 9] = [
            ("EOF", String::new()),
            ("missing field `version`", "{\"keys\": []}".to_owned()),
            ("version 2, this program knows version 1", good.replace("\"version\": 1", "\"version\": 2")),
            ("unknown field `address`", good.replace("\"note\"", "\"address\": \"\", \"note\"")),
            ("unknown variant `owner`", good.replace("\"client\"", "\"owner\"")),
            ("no role", good.replace("\"client\"", "")),
            ("task hub's name", good.replace("\"*\"", "\"a/b\"")),
            ("missing field `hub`", good.replace("\"hub\": \"*\",", "")),
            ("twice", format!("{{\"version\": 1, \"keys\": [{body}, {body}]}}")),
        ];
        for (reason, text) in sets {
            fs::write(file.path(), &text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("keys.json"), "{reason}: {error}");
            assert!(file.create(new(Role::Client), now()).is_err());
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn a_file_that_anybody_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        file.create(new(Role::Client), now()).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(file.read(), Err(KeyFileError::Exposed { .. })));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(file.read().unwrap().len(), 1);
    }

    #[test]
    fn a_key_is_replaced_by_one_like_it_and_two_are_good_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        let functions = Some(Functions::try_from(vec!["Order".to_owned()]).unwrap());
        let limited = NewKey { functions: functions.clone(), ..new(Role::Client) };
        let (_, first) = file.create(limited, now()).unwrap();
        let (_, second, old) = file.rotate(&first.id, None, None, now()).unwrap();
        assert_eq!((&second.functions, &second.hub, old.expires), (&functions, &first.hub, None));
        for id in [&first.id, &second.id] {
            let refused = file.rotate(id, None, None, now());
            assert!(matches!(refused, Err(KeyFileError::TwoLive { .. })), "{refused:?}");
        }
        file.revoke(std::slice::from_ref(&first.id)).unwrap();
        let soon = now() + std::time::Duration::from_secs(60);
        let (_, third, old) = file.rotate(&second.id, None, Some(soon), now()).unwrap();
        assert_eq!((old.expires, third.expires), (Some(soon), None));
        // What is over is in nobody's way, and is not replaced.
        assert!(file.rotate(&third.id, None, None, soon).is_ok());
        assert!(matches!(file.rotate(&second.id, None, None, soon), Err(KeyFileError::Over { .. })));
        let of_workers = NewKey { functions, ..new(Role::Worker) };
        assert!(matches!(file.create(of_workers, now()), Err(KeyFileError::FunctionsOfClients)));
    }

    #[test]
    fn files_of_before_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        let digest = "00".repeat(32);
        let text = format!(
            r#"{{"version": 1, "keys": [{{"id": "0123456789ab", "roles": ["client"], "hub": "*", "note": "",
               "created": "2026-01-31T12:00:00Z", "expires": null, "sha256": "{digest}"}}]}}"#
        );
        fs::write(file.path(), text).unwrap();
        let entries = file.read().unwrap();
        assert_eq!((&entries[0].functions, &entries[0].replaces), (&None, &None));
    }

    #[test]
    fn there_is_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        file.change(|entries| {
            let sha256 = Key::generate().map_err(KeyFileError::NoRandomness)?.digest();
            entries.extend((0..KEYS_MAX).map(|n| KeyEntry {
                id: KeyId::try_from(format!("{n:012x}")).unwrap(),
                roles: Role::Admin.into(),
                hub: HubScope::one(&"h".repeat(64)).unwrap(),
                // As large as a note can be.
                note: Note::try_from("\u{1f511}".repeat(super::super::NOTE_MAX)).unwrap(),
                functions: None,
                created: now(),
                expires: Some(now()),
                replaces: None,
                sha256: sha256.clone(),
            }));
            Ok(())
        })
        .unwrap();
        assert_eq!(file.read().unwrap().len(), KEYS_MAX);
        assert!(matches!(file.create(new(Role::Client), now()), Err(KeyFileError::Full { .. })));
    }
}
