//! Hubs come and go while their node runs.

use std::sync::Arc;

use parking_lot::Mutex;
use strandline_store::{HubInfo, StoreError};
use tokio::sync::watch;

use super::{Hub, HubState, Incarnation, Inner, Node, Phase};
use crate::runtime::{HubOptions, OpenError};

/// Room in the log for what is said of a hub, in bytes.
const RECORD: u64 = 1 << 10;

impl Node {
    /// Runs the hub `name`; creates it if the store has none of that name.
    pub fn hub(&self, name: &str, options: HubOptions) -> Result<Hub, OpenError> {
        let opened = self.change(|inner, current| {
            let existing = inner.hubs.lock().iter().find(|h| h.info.name == name).cloned();
            if let Some(state) = existing {
                return Ok(Hub { state, node: self.inner.clone() });
            }
            let known = current.store.hubs()?.into_iter().find(|h| h.name == name);
            let info = match known {
                Some(info) => info,
                None => inner.told(current, current.store.create_hub(name, options.partitions))?,
            };
            self.begin(info, options, current)
        });
        Ok(opened?)
    }

    /// Creates the hub `name` and runs it. Blocks for a sync of the log; no flush is waited for.
    ///
    /// # Errors
    /// `HubExists` when there is one of that name; `Format` for a name or a number of partitions that is
    /// not possible; `Full` when the disk has no room for it.
    pub fn create_hub(&self, name: &str, options: HubOptions) -> Result<Hub, OpenError> {
        let created = self.change(|inner, current| {
            let info = inner.told(current, current.store.create_hub(name, options.partitions))?;
            self.begin(info, options, current)
        });
        Ok(created?)
    }

    /// Deletes the hub `name` with all that is in it, whatever it does. Its handles say so from then on,
    /// and whoever waits for an answer learns it. The name can be used again at once: nothing that was
    /// meant for the old hub reaches the new one. Activities that run are cancelled; one that does not
    /// look runs to its end, for nothing. Blocks for a sync of the log; no flush is waited for.
    ///
    /// # Errors
    /// `NoSuchHub`; `Full` when the disk has no room to note it: then the hub goes on. After any other
    /// error, it is gone or will be found again when it is asked for.
    pub fn delete_hub(&self, name: &str) -> Result<(), StoreError> {
        self.change(|inner, current| {
            if !current.store.hubs()?.iter().any(|h| h.name == name) {
                return Err(StoreError::NoSuchHub(name.to_owned()));
            }
            current.store.reserve(RECORD)?;
            let state = {
                let mut hubs = inner.hubs.lock();
                hubs.iter().position(|h| h.info.name == name).map(|at| hubs.remove(at))
            };
            let stopped = state.and_then(|state| {
                let phase = state.phase.send_replace(Phase::Deleted);
                *state.worker.lock() = None;
                if let Phase::Running(running) = phase { Some(running) } else { None }
            });
            if let Some(running) = stopped {
                running.stop();
                // What the store is told of a hub after its end would count as a failure of the store.
                current.log.retire(running.info.number);
                // There may be much to free.
                inner.shared.runtime.spawn_blocking(move || running.clear());
            }
            inner.shared.metrics.forget(name);
            inner.told(current, current.store.delete_hub(name))
        })
    }

    /// One at a time, and not while the store is opened or closed.
    fn change<T>(
        &self,
        change: impl FnOnce(&Inner, &Incarnation) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let incarnation = self.inner.incarnation.lock();
        let current = incarnation.as_ref();
        let current =
            current.ok_or_else(|| StoreError::Failed("the node is closed or recovering".to_owned()))?;
        change(&self.inner, current)
    }

    fn begin(&self, info: HubInfo, options: HubOptions, current: &Incarnation) -> Result<Hub, StoreError> {
        let running = self.inner.run(info.clone(), &options, current)?;
        let phase = watch::Sender::new(Phase::Running(running));
        let state = Arc::new(HubState { info, options, worker: Mutex::default(), phase });
        self.inner.hubs.lock().push(state.clone());
        Ok(Hub { state, node: self.inner.clone() })
    }
}

impl Inner {
    /// Passes on what became of a change of the log. A store that failed is opened anew at once, not
    /// when it is used next.
    fn told<T>(&self, current: &Incarnation, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ (StoreError::Io { .. } | StoreError::Corrupt { .. } | StoreError::Failed(_))) =
            &result
        {
            self.shared.fail(current.number, error.to_string());
        }
        result
    }
}
