//! The secrets that URLs are signed with, and the file they are kept in.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::KeyFileError;
use super::disk::{self, Fingerprint, io_error};

/// What the file is called in a data directory.
const NAME: &str = "url-secrets.json";
const VERSION: u32 = 1;
/// As many as a block of SHA-256: a longer one would be hashed first, a shorter one filled up.
const BYTES: usize = 64;
/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// What a URL is signed with. Wiped from memory when dropped.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<[u8; BYTES]>);

/// Those that are good.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    /// What is signed with.
    pub(crate) newest: Secret,
    /// What is recognised besides.
    pub(crate) older: Option<Secret>,
}

/// Where they are kept, for the server's user alone.
#[derive(Clone, Debug)]
pub struct SecretFile {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    newest: Secret,
    older: Option<Secret>,
}

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    fn generate() -> Result<Self, KeyFileError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        getrandom::fill(&mut *bytes).map_err(KeyFileError::NoRandomness)?;
        Ok(Self(bytes))
    }
}

/// In base64.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(*self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |_| de::Error::custom("a secret is 64 bytes in base64");
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(STANDARD.decode(&*text).map_err(|_| wrong(()))?);
        Ok(Self(Zeroizing::new(bytes.as_slice().try_into().map_err(|_| wrong(()))?)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

impl Secrets {
    /// One that nobody had before.
    pub(crate) fn generate() -> Result<Self, KeyFileError> {
        Ok(Self { newest: Secret::generate()?, older: None })
    }
}

impl SecretFile {
    /// The secrets of a data directory: `url-secrets.json` in it.
    pub fn in_directory(dir: &Path) -> Self {
        Self { path: dir.join(NAME) }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a new secret, which URLs are signed with from now on. URLs of the one before stay good until the
    /// next time.
    pub fn rotate(&self) -> Result<(), KeyFileError> {
        disk::change(&self.path, || {
            let older = self.read()?.map(|(secrets, _)| secrets.newest);
            let secrets = Secrets { newest: Secret::generate()?, older };
            Ok((self.text(&secrets)?, ()))
        })
    }

    /// What is in it; made now if there is no file.
    pub(crate) fn read_or_make(&self) -> Result<(Secrets, Fingerprint), KeyFileError> {
        if let Some(found) = self.read()? {
            return Ok(found);
        }
        disk::change(&self.path, || {
            // Somebody else may have been quicker.
            let secrets = match self.read()? {
                Some((secrets, _)) => secrets,
                None => Secrets::generate()?,
            };
            Ok((self.text(&secrets)?, ()))
        })?;
        self.read()?.ok_or_else(|| io_error("reading", &self.path)(io::ErrorKind::NotFound.into()))
    }

    /// What tells whether it would be read the same again; `None` if there is no file.
    pub(crate) fn fingerprint(&self) -> Result<Option<Fingerprint>, KeyFileError> {
        Fingerprint::at(&self.path)
    }

    /// `None` if there is no file.
    pub(crate) fn read(&self) -> Result<Option<(Secrets, Fingerprint)>, KeyFileError> {
        let failed = io_error("reading", &self.path);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let found = file.metadata().map_err(&failed)?;
        if found.mode() & 0o077 != 0 {
            return Err(KeyFileError::Readable { path: self.path.clone() });
        }
        // As large as it may get: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(
            usize::try_from(found.len().min(FILE_MAX)).unwrap_or(0) + 1,
        ));
        file.take(FILE_MAX).read_to_string(&mut text).map_err(&failed)?;
        // What the parser says could quote a secret.
        let Contents { version, newest, older } =
            serde_json::from_str(&text).map_err(|_| KeyFileError::Damaged {
                path: self.path.clone(),
                reason: "it is no file of URL secrets".to_owned(),
            })?;
        if version != VERSION {
            return Err(KeyFileError::Version { path: self.path.clone(), version: version.into() });
        }
        Ok(Some((Secrets { newest, older }, Fingerprint::of(&found))))
    }

    fn text(&self, secrets: &Secrets) -> Result<Zeroizing<String>, KeyFileError> {
        let Secrets { newest, older } = secrets.clone();
        let contents = Contents { version: VERSION, newest, older };
        let text = serde_json::to_string(&contents);
        text.map(Zeroizing::new).map_err(|error| io_error("writing", &self.path)(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn they_are_made_once_and_two_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let file = SecretFile::in_directory(dir.path());
        let (first, seen) = file.read_or_make().unwrap();
        assert!(first.older.is_none());
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, _) = file.read_or_make().unwrap();
        assert_eq!(again.newest.bytes(), first.newest.bytes());
        file.rotate().unwrap();
        let (second, _) = file.read().unwrap().unwrap();
        assert_ne!(file.fingerprint().unwrap(), Some(seen));
        assert_ne!(second.newest.bytes(), first.newest.bytes());
        assert_eq!(second.older.unwrap().bytes(), first.newest.bytes());
        file.rotate().unwrap();
        let (third, _) = file.read().unwrap().unwrap();
        assert_eq!(third.older.unwrap().bytes(), second.newest.bytes());
    }

    #[test]
    fn a_file_that_others_read_or_that_is_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = SecretFile::in_directory(dir.path());
        file.rotate().unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let exposed = file.read_or_make().unwrap_err();
        assert!(matches!(exposed, KeyFileError::Readable { .. }), "{exposed}");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        for (text, reason) in [
            (String::new(), "no file of URL secrets"),
            (good.replace("\"newest\":\"", "\"newest\":\"AAAA"), "no file of URL secrets"),
            (good.replace("\"version\":1", "\"version\":2"), "version 2"),
        ] {
            fs::write(file.path(), text).unwrap();
            let error = file.read_or_make().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("url-secrets.json"), "{error}");
        }
    }
}
