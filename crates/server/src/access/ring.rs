//! The keys that are good now: the file of keys as last seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::keys::{Key, KeyEntry, KeyFile, KeyFileError, KeyId, Loaded};
use crate::lookout::Lookout;

use super::principal::Who;
use super::{AccessError, Principal};

/// Calls look at the file when the last look is older than this.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// Streams see to it that somebody looks at least this often.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// Longest time that a stream trusts the clock to run on evenly.
const CLOCK_TRUST: Duration = Duration::from_secs(3600);

/// Tells the time of day; a test has its own.
pub(super) type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Whether callers need keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// Never.
    Open,
    /// Not before there was one.
    UntilKeyed,
    /// Always.
    Keyed,
}

/// The keys of a server.
pub(super) struct Ring {
    file: Option<KeyFile>,
    state: Mutex<State>,
    /// Counts changes, for who waits for one.
    changes: watch::Sender<u64>,
    /// Held by the one stream that looks at the file for all.
    lookout: tokio::sync::Mutex<()>,
    clock: Clock,
}

struct State {
    guard: Guard,
    keys: HashMap<KeyId, Arc<KeyEntry>>,
    /// What the keys were read from; `None`: there was no file.
    loaded: Option<Loaded>,
    lookout: Lookout,
}

/// Why somebody was not let in, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoKey,
    Malformed,
    Unknown,
    WrongSecret,
    /// A token is signed in a way that is not taken.
    Algorithm,
    /// A token of an issuer whose key is not known.
    UnknownIssuerKey,
    /// A token's signature, issuer or audience.
    WrongToken,
    NotYet,
    Expired,
}

impl Ring {
    pub(super) fn open(clock: Clock) -> Self {
        Self::new(None, Guard::Open, None, clock)
    }

    /// Needs keys; those in `file`.
    pub(super) fn keyed(file: KeyFile, clock: Clock) -> Result<Self, KeyFileError> {
        let loaded = file.load()?;
        Ok(Self::new(Some(file), Guard::Keyed, loaded, clock))
    }

    /// Needs keys as soon as `file` holds one.
    pub(super) fn open_until_keyed(file: KeyFile, clock: Clock) -> Result<Self, KeyFileError> {
        let loaded = file.load()?;
        Ok(Self::new(Some(file), Guard::UntilKeyed, loaded, clock))
    }

    fn new(file: Option<KeyFile>, guard: Guard, loaded: Option<Loaded>, clock: Clock) -> Self {
        let lookout = Lookout::new();
        let mut state = State { guard, keys: HashMap::new(), loaded: None, lookout };
        state.take(loaded);
        Self {
            file,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            lookout: tokio::sync::Mutex::new(()),
            clock,
        }
    }

    /// From now on callers need something to be let in by, be it no key.
    pub(super) fn close(&self) {
        self.state.lock().guard = Guard::Keyed;
    }

    /// Whether callers need keys now.
    pub(super) fn needs_keys(&self) -> bool {
        self.look();
        self.state.lock().guard == Guard::Keyed
    }

    /// Who has this key.
    pub(super) fn identify(&self, key: Option<&str>) -> Result<Principal, (Reason, AccessError)> {
        self.look();
        let state = self.state.lock();
        if state.guard != Guard::Keyed {
            return Ok(Principal::new(Who::Anybody));
        }
        let text = key.ok_or((Reason::NoKey, AccessError::NoKey))?;
        let key = Key::parse(text).map_err(|_| (Reason::Malformed, AccessError::WrongKey))?;
        let digest = key.digest();
        let entry = state.keys.get(key.id()).ok_or((Reason::Unknown, AccessError::WrongKey))?;
        if !entry.sha256.matches(&digest) {
            return Err((Reason::WrongSecret, AccessError::WrongKey));
        }
        match entry.expires {
            Some(at) if entry.is_expired(self.now()) => Err((Reason::Expired, AccessError::Expired(at))),
            _ => Ok(Principal::new(Who::Holder(entry.clone()))),
        }
    }

    /// Whether somebody who was let in would be again.
    fn recheck(&self, principal: &Principal) -> Result<(), AccessError> {
        let state = self.state.lock();
        let then = match principal.who() {
            Who::Anybody if state.guard == Guard::Keyed => return Err(AccessError::NoKey),
            Who::Anybody => return Ok(()),
            Who::Visitor(claim) => return claim.in_time(self.now()),
            Who::Bearer(token) => return token.in_time(self.now()),
            Who::Holder(entry) => entry,
        };
        let now = state.keys.get(&then.id).filter(|now| then.grants_as(now)).ok_or(AccessError::WrongKey)?;
        match now.expires {
            Some(at) if now.is_expired(self.now()) => Err(AccessError::Expired(at)),
            _ => Ok(()),
        }
    }

    /// Waits until somebody who was let in would not be any more.
    pub(super) async fn turned_away(&self, principal: &Principal) -> AccessError {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            self.look();
            if let Err(error) = self.recheck(principal) {
                return error;
            }
            tokio::select! {
                // Can't fail: the sender is ours.
                _ = changes.changed() => {}
                () = tokio::time::sleep(self.until_expiry(principal)) => {}
                () = self.watch() => {}
            }
        }
    }

    /// The time of day.
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn until_expiry(&self, principal: &Principal) -> Duration {
        let expires = match principal.who() {
            Who::Holder(then) => self.state.lock().keys.get(&then.id).and_then(|now| now.expires),
            Who::Visitor(claim) => Some(claim.expires),
            Who::Bearer(token) => Some(token.expires),
            Who::Anybody => None,
        };
        let left = expires.map(|at| Duration::try_from(at.duration_since(self.now())).unwrap_or_default());
        left.map_or(CLOCK_TRUST, |left| left.min(CLOCK_TRUST))
    }

    /// Looks at the file when it is time to. However many wait here, one does it.
    async fn watch(&self) {
        if self.file.is_none() {
            return std::future::pending().await;
        }
        let _lookout = self.lookout.lock().await;
        let next = self.state.lock().lookout.looked() + WATCH_EVERY;
        tokio::time::sleep_until(next).await;
        self.look();
    }

    /// Reads the file again if it changed. A look costs one `stat`, so it is done in place.
    fn look(&self) {
        let Some(file) = &self.file else { return };
        let mut state = self.state.lock();
        if !state.lookout.is_due(LOOK_AFTER) {
            return;
        }
        let loaded = match file.fingerprint() {
            Ok(found) if found.as_ref() == state.loaded.as_ref().map(|loaded| &loaded.fingerprint) => {
                state.lookout.praise();
                return;
            }
            Ok(_) => file.load(),
            Err(error) => Err(error),
        };
        match loaded {
            Ok(loaded) => {
                state.take(loaded);
                self.changes.send_modify(|changes| *changes += 1);
                let keys = state.keys.len();
                tracing::info!(file = %file.path().display(), keys, "access keys were changed");
            }
            // A slip in the file must not lock everybody out.
            Err(error) => {
                state.lookout.complain("access keys stay as they were, changes to them are not seen", &error);
            }
        }
    }
}

impl State {
    /// From now on these keys are good. Where there was one, no key is ever needless again: revoking the
    /// last one must not open the server.
    fn take(&mut self, loaded: Option<Loaded>) {
        // A file, be it empty, says that there were keys.
        let keyed = loaded.is_some();
        let entries = loaded.as_ref().map(|loaded| loaded.entries.as_slice()).unwrap_or_default();
        self.keys = entries.iter().map(|entry| (entry.id.clone(), Arc::new(entry.clone()))).collect();
        self.loaded = loaded;
        self.lookout.praise();
        if self.guard == Guard::UntilKeyed && keyed {
            self.guard = Guard::Keyed;
        }
    }
}
