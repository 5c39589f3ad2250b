//! The task hubs of a server: found by name, opened when first asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use strandline::{DataDirectory, RustWorker};
use strandline_engine::runtime::{Hub, Node};
use strandline_store::{HUB_NAME_MAX, HubInfo, StoreError, is_hub_name};
use tokio::sync::Mutex;

use crate::access::AccessError;

/// The hub of calls that name none, unless settings say another.
pub(crate) const DEFAULT_HUB: &str = "default";

/// What happens to a call for a hub that does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownHub {
    /// It is refused.
    Refuse,
    /// The hub is created.
    Create,
}

/// The hubs of one data directory.
pub(crate) struct Hubs {
    directory: DataDirectory,
    unknown: UnknownHub,
    default: String,
    /// Serves what the server does itself, in every hub.
    worker: Option<Arc<RustWorker>>,
    /// Held while one is opened, so that each is opened once.
    open: Mutex<BTreeMap<String, Hub>>,
}

/// Why there is no such hub.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubsError {
    /// In the words in which a key of another hub is refused, for that must not be told apart.
    #[error("{}", AccessError::NoHub(.0.clone()))]
    NotFound(String),
    #[error("task hub {0:?} exists already")]
    Exists(String),
    #[error("task hub name {0:?}: give 1 to {HUB_NAME_MAX} of A-Z a-z 0-9 _ -")]
    Name(String),
    #[error("the task hub can't be opened: {0}")]
    Failed(String),
}

impl Hubs {
    /// The default hub exists from now on.
    pub(crate) async fn new(
        directory: DataDirectory,
        unknown: UnknownHub,
        default: &str,
        worker: Option<RustWorker>,
    ) -> Result<Arc<Self>, HubsError> {
        let worker = worker.map(Arc::new);
        let hubs = Self { directory, unknown, default: default.to_owned(), worker, open: Mutex::default() };
        hubs.open(&mut *hubs.open.lock().await, default).await?;
        Ok(Arc::new(hubs))
    }

    /// The name of the hub of calls that name none.
    pub(crate) fn default_name(&self) -> &str {
        &self.default
    }

    /// What the hubs run on.
    pub(crate) fn node(&self) -> &Arc<Node> {
        self.directory.node()
    }

    /// The hub of this name.
    pub(crate) async fn get(&self, name: &str) -> Result<Hub, HubsError> {
        let mut open = self.open.lock().await;
        if let Some(hub) = open.get(name) {
            return Ok(hub.clone());
        }
        check_name(name)?;
        if self.unknown == UnknownHub::Refuse && !self.names()?.iter().any(|known| known == name) {
            return Err(HubsError::NotFound(name.to_owned()));
        }
        self.open(&mut open, name).await
    }

    /// Makes a hub that does not exist.
    pub(crate) async fn create(&self, name: &str) -> Result<(), HubsError> {
        let mut open = self.open.lock().await;
        check_name(name)?;
        if self.names()?.iter().any(|known| known == name) {
            return Err(HubsError::Exists(name.to_owned()));
        }
        self.open(&mut open, name).await.map(drop)
    }

    /// Makes a hub; one of that name goes first, with all that is in it.
    pub(crate) async fn recreate(&self, name: &str) -> Result<(), HubsError> {
        let mut open = self.open.lock().await;
        check_name(name)?;
        if self.names()?.iter().any(|known| known == name) {
            self.remove(&mut open, name).await?;
        }
        self.open(&mut open, name).await.map(drop)
    }

    /// Deletes a hub with all that is in it.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), HubsError> {
        let mut open = self.open.lock().await;
        check_name(name)?;
        self.remove(&mut open, name).await
    }

    async fn open(&self, open: &mut BTreeMap<String, Hub>, name: &str) -> Result<Hub, HubsError> {
        let hub = self.directory.hub(name).await.map_err(|error| HubsError::Failed(error.to_string()))?;
        let hub = hub.engine().clone();
        // One that runs the hub's own code in this process, as a demonstration does, stays.
        if let Some(worker) = &self.worker
            && hub.worker().is_none()
        {
            hub.attach(Some(worker.clone()));
        }
        open.insert(name.to_owned(), hub.clone());
        Ok(hub)
    }

    async fn remove(&self, open: &mut BTreeMap<String, Hub>, name: &str) -> Result<(), HubsError> {
        // First: whoever calls may not wait for the end.
        open.remove(name);
        let (node, doomed) = (self.directory.node().clone(), name.to_owned());
        let deleted = tokio::task::spawn_blocking(move || node.delete_hub(&doomed)).await;
        match deleted {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StoreError::NoSuchHub(name))) => Err(HubsError::NotFound(name)),
            Ok(Err(error)) => Err(HubsError::Failed(error.to_string())),
            Err(error) => Err(HubsError::Failed(error.to_string())),
        }
    }

    /// All hubs by name; with a handle if open.
    pub(crate) async fn list(&self) -> Result<Vec<(HubInfo, Option<Hub>)>, HubsError> {
        let open = self.open.lock().await;
        let infos = self.directory.node().hubs().map_err(|error| HubsError::Failed(error.to_string()))?;
        let with_handle = |info: HubInfo| {
            let hub = open.get(&info.name).cloned();
            (info, hub)
        };
        let mut hubs: Vec<_> = infos.into_iter().map(with_handle).collect();
        hubs.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(hubs)
    }

    /// All hubs, open or not, by name.
    pub(crate) fn names(&self) -> Result<Vec<String>, HubsError> {
        let mut names = self.directory.hubs().map_err(|error| HubsError::Failed(error.to_string()))?;
        names.sort();
        Ok(names)
    }
}

fn check_name(name: &str) -> Result<(), HubsError> {
    if is_hub_name(name) { Ok(()) } else { Err(HubsError::Name(name.chars().take(100).collect())) }
}
