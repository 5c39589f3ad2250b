//! What connections are encrypted with. Certificate and key are read again when their files change.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::lookout::Lookout;
use crate::settings::Tls;

/// New connections look at the files when the last look is older than this.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Largest file that is read, in bytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Why connections can't be encrypted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// One of two.
    #[error("tls.{missing} is missing: give certificate and key, or neither")]
    Incomplete {
        /// The field.
        missing: &'static str,
    },
    /// The file system refuses.
    #[error("tls.{field}: reading {}: {error}", path.display())]
    Io {
        /// The field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("tls.{field}: {} holds no {wanted} in PEM form{reason}", path.display())]
    Content {
        /// The field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// More, if there is more to say.
        reason: String,
    },
    /// Each is good, but not together; or the library knows better.
    #[error("the certificate {} and the key {} can't be used: {error}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        error: rustls::Error,
    },
    /// Nobody could be checked by it.
    #[error("tls.client_ca: {} can't be used: {reason}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
}

/// What connections are encrypted with.
pub(crate) struct Encryption {
    files: Files,
    state: Mutex<State>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

struct State {
    config: Arc<ServerConfig>,
    /// Of what `config` was read from.
    seen: Vec<Fingerprint>,
    lookout: Lookout,
}

/// Tells one state of a file from another; `None` if it can't be looked at.
type Fingerprint = Option<(SystemTime, u64)>;

impl Encryption {
    /// `None` where the settings name no files.
    pub(crate) fn open(settings: &Tls) -> Result<Option<Self>, TlsError> {
        let (certificate, key) = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (Some(_), None) => return Err(TlsError::Incomplete { missing: "key" }),
            (None, Some(_)) => return Err(TlsError::Incomplete { missing: "certificate" }),
            (None, None) if settings.client_ca.is_some() => {
                return Err(TlsError::Incomplete { missing: "certificate" });
            }
            (None, None) => return Ok(None),
        };
        let files = Files { certificate, key, client_ca: settings.client_ca.clone() };
        let seen = files.fingerprints();
        let config = files.load()?;
        let state = State { config, seen, lookout: Lookout::new() };
        Ok(Some(Self { files, state: Mutex::new(state) }))
    }

    /// For the next connection. A look at the files costs a few `stat`s, so it is done in place.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock();
        if state.lookout.is_due(LOOK_AFTER) {
            let found = self.files.fingerprints();
            if found != state.seen {
                state.take(self.files.load(), found);
            }
        }
        state.config.clone()
    }
}

impl State {
    /// What can't be used changes nothing, and is looked at again: of two files one is written first.
    fn take(&mut self, loaded: Result<Arc<ServerConfig>, TlsError>, seen: Vec<Fingerprint>) {
        match loaded {
            Ok(config) => {
                tracing::info!("new connections use the changed certificate");
                (self.config, self.seen) = (config, seen);
                self.lookout.praise();
            }
            Err(error) => self.lookout.complain("the certificate stays as it was", &error),
        }
    }
}

impl Files {
    fn fingerprints(&self) -> Vec<Fingerprint> {
        let files = [Some(&self.certificate), Some(&self.key), self.client_ca.as_ref()];
        let fingerprint = |path: &PathBuf| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        files.into_iter().flatten().map(fingerprint).collect()
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates("certificate", &self.certificate)?;
        let text = read("key", &self.key)?;
        // The reason could quote what it read.
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::Content {
            field: "key",
            path: self.key.clone(),
            wanted: "private key",
            reason: String::new(),
        })?;
        let unusable = |error| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let ca = |reason| TlsError::ClientCa { path: path.clone(), reason };
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client_ca", path)? {
                    roots.add(certificate).map_err(|error| ca(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| ca(error.to_string()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(field: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(field, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let wrong = |reason| TlsError::Content { field, path: path.to_owned(), wanted: "certificate", reason };
    match found {
        Ok(found) if found.is_empty() => Err(wrong(String::new())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(format!(": {error}"))),
    }
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
    read.map(|_| text).map_err(|error| TlsError::Io { field, path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<Encryption>, TlsError> {
        let (certificate, key) = (certificate.map(Path::to_owned), key.map(Path::to_owned));
        Encryption::open(&Tls { certificate, key, client_ca: None })
    }

    #[test]
    fn what_is_wrong_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other, text] = ["one.pem", "other.pem", "text.pem"].map(|name| dir.path().join(name));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&one, made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
        let another = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(&other, another.signing_key.serialize_pem()).unwrap();
        fs::write(&text, "hello").unwrap();
        let absent = dir.path().join("absent.pem");
        assert!(open(None, None).unwrap().is_none());
        assert!(open(Some(&one), Some(&one)).unwrap().is_some());
        let sets: [(Option<&Path>, Option<&Path>, &str); 6] = [
            (Some(&one), None, "tls.key is missing"),
            (None, Some(&one), "tls.certificate is missing"),
            (Some(&absent), Some(&one), "absent.pem"),
            (Some(&text), Some(&one), "text.pem holds no certificate"),
            (Some(&one), Some(&text), "text.pem holds no private key"),
            (Some(&one), Some(&other), "other.pem can't be used"),
        ];
        for (certificate, key, expected) in sets {
            let error = open(certificate, key).err().unwrap().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_are_read_again_if_they_can_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("both.pem");
        let write = || {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let text = made.cert.pem() + &made.signing_key.serialize_pem();
            fs::write(&path, text + &" \n".repeat(rand())).unwrap();
        };
        // Files differ in length, whatever the clock's grain.
        fn rand() -> usize {
            use std::sync::atomic::{AtomicUsize, Ordering};
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(100, Ordering::Relaxed)
        }
        write();
        let encryption = open(Some(&path), Some(&path)).unwrap().unwrap();
        let first = encryption.config();
        tokio::time::advance(LOOK_AFTER).await;
        assert!(Arc::ptr_eq(&first, &encryption.config()));
        fs::write(&path, "half a file").unwrap();
        tokio::time::advance(LOOK_AFTER).await;
        assert!(Arc::ptr_eq(&first, &encryption.config()), "what can't be used changes nothing");
        write();
        tokio::time::advance(LOOK_AFTER).await;
        assert!(!Arc::ptr_eq(&first, &encryption.config()));
    }
}
