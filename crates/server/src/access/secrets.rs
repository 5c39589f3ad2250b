//! The secrets that URLs are signed with, as last seen.

use std::time::Duration;

use parking_lot::Mutex;

use crate::keys::{Fingerprint, KeyFileError, SecretFile, Secrets};
use crate::lookout::Lookout;

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
    lookout: Lookout,
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
        let state = State { secrets, seen, lookout: Lookout::new() };
        Self { file, state: Mutex::new(state) }
    }

    /// Those that are good now.
    pub(super) fn secrets(&self) -> Secrets {
        let mut state = self.state.lock();
        if let Some(file) = &self.file
            && state.lookout.is_due(LOOK_AFTER)
        {
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
            Ok((secrets, seen)) => {
                (self.secrets, self.seen) = (secrets, Some(seen));
                self.lookout.praise();
            }
            Err(error) => self.lookout.complain("the secrets of URLs stay as they were", &error),
        }
    }
}
