//! The secrets that URLs are signed with, as last seen.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::keys::{Fingerprint, KeyFileError, SecretFile, Secrets};

/// The file is looked at when the last look is older than this.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// The secrets of a server.
pub(super) struct Vault {
    /// `None`: they end with the server.
    file: Option<SecretFile>,
    state: Mutex<State>,
}

struct State {
    secrets: Secrets,
    seen: Option<Fingerprint>,
    looked: Instant,
    /// The last complaint about the file, which is logged once.
    complaint: Option<String>,
}

impl Vault {
    /// Secrets that end with the server.
    pub(super) fn in_memory() -> Result<Self, KeyFileError> {
        Ok(Self::new(None, Secrets::generate()?, None))
    }

    /// Those in a file, which is made if it is not there.
    pub(super) fn open(file: SecretFile) -> Result<Self, KeyFileError> {
        let (secrets, seen) = file.read_or_make()?;
        Ok(Self::new(Some(file), secrets, Some(seen)))
    }

    fn new(file: Option<SecretFile>, secrets: Secrets, seen: Option<Fingerprint>) -> Self {
        let state = State { secrets, seen, looked: Instant::now(), complaint: None };
        Self { file, state: Mutex::new(state) }
    }

    /// Those that are good now.
    pub(super) fn secrets(&self) -> Secrets {
        let mut state = self.state.lock();
        if let Some(file) = &self.file
            && state.looked.elapsed() >= LOOK_AFTER
        {
            state.looked = Instant::now();
            state.look(file);
        }
        state.secrets.clone()
    }
}

impl State {
    /// What can't be read changes nothing. A look costs one `stat`, so it is done in place.
    fn look(&mut self, file: &SecretFile) {
        let found = match file.fingerprint() {
            Ok(found) if found == self.seen => return,
            Ok(_) => file.read_or_make(),
            Err(error) => Err(error),
        };
        match found {
            Ok((secrets, seen)) => (self.secrets, self.seen, self.complaint) = (secrets, Some(seen), None),
            Err(error) => {
                let complaint = error.to_string();
                if self.complaint.as_ref() != Some(&complaint) {
                    tracing::error!("the secrets of URLs stay as they were: {complaint}");
                    self.complaint = Some(complaint);
                }
            }
        }
    }
}
