//! A server with a worker of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strandline::{DataDirectory, TaskHub};
use strandline_engine::pipeline::{Answer as Found, Read};
use strandline_hub::InstanceStatus;
use strandline_model::{EventKind, HistoryEvent, InstanceId};
use strandline_server::access::Access;
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};

use crate::client::{Answer, Request};
use crate::functions::{self, Mended};
use crate::samples;

/// Where the API is.
pub(crate) const API: &str = "/runtime/webhooks/durabletask";
/// Nothing here takes that long: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks until the answer is as it must become.
pub(crate) async fn until(ask: impl AsyncFn() -> Answer, is: impl Fn(&Answer) -> bool) -> Answer {
    let mut last = None;
    let asking = async {
        loop {
            let answer = ask().await;
            if is(&answer) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("it went on answering {last:?}"),
    }
}

/// A server that asks nobody for a key, with one hub, `default`.
pub(crate) struct TestServer {
    server: Option<Server>,
    hub: TaskHub,
    pub(crate) address: SocketAddr,
    pub(crate) mended: Mended,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::letting_in(Access::open(), settings).await
    }

    pub(crate) async fn letting_in(access: Access, settings: Settings) -> Self {
        let mut directory = DataDirectory::in_memory().partitions(4);
        if let Some(version) = &settings.hub.default_version {
            directory = directory.default_version(version);
        }
        let directory = directory.open().await.unwrap();
        let hub = directory.hub("default").await.unwrap();
        let mended = Mended::default();
        hub.worker()
            .register(functions::all())
            .state(mended.clone())
            .state(samples::Attempts::default())
            .start()
            .unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let options =
            ServerOptions { unknown: UnknownHub::Refuse, reflection: Reflection::Off, access, settings };
        let server = Server::start(directory, vec![listener], options).await.unwrap();
        let address = server.addresses()[0];
        Self { server: Some(server), hub, address, mended }
    }

    pub(crate) fn hub(&self) -> &TaskHub {
        &self.hub
    }

    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    /// A request to a path behind the API's.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Request {
        self.ask_at(method, &format!("{API}{path}"))
    }

    pub(crate) fn ask_at(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path).send().await
    }

    /// Asks until the answer is as it must become.
    pub(crate) async fn until(&self, path: &str, is: impl Fn(&Answer) -> bool) -> Answer {
        until(async || self.get(path).await, is).await
    }

    /// Starts an instance of this name under this id.
    pub(crate) async fn run(&self, name: &str, id: &str) {
        assert_eq!(self.post(&format!("/orchestrators/{name}/{id}")).await.status, 202);
    }

    /// The same, and waits until its code has begun.
    pub(crate) async fn run_on(&self, name: &str, id: &str) {
        self.run(name, id).await;
        self.reaches(id, Read::Started).await;
    }

    /// The same, and waits until it is over.
    pub(crate) async fn run_out(&self, name: &str, id: &str) -> InstanceStatus {
        self.run(name, id).await;
        self.reaches(id, Read::Ended).await
    }

    /// What an instance is once it got there.
    pub(crate) async fn reaches(&self, id: &str, there: Read) -> InstanceStatus {
        match soon(id, self.hub.engine().read(&InstanceId::trusted(id), there)).await.unwrap() {
            Found::Status(Some(status)) => *status,
            other => panic!("{id}: {other:?}"),
        }
    }

    pub(crate) async fn history(&self, id: &str) -> Vec<Arc<HistoryEvent>> {
        let read = Read::History { from: 0, max: usize::MAX };
        match self.hub.engine().read(&InstanceId::trusted(id), read).await.unwrap() {
            Found::History(Some(page)) => page.events,
            other => panic!("{id}: {other:?}"),
        }
    }

    /// Names and payloads of the events that reached an instance.
    pub(crate) async fn raised(&self, id: &str) -> Vec<(String, Option<String>)> {
        let events = self.history(id).await;
        let raised = events.iter().filter_map(|event| match event.kind() {
            EventKind::EventRaised(raised) => Some((raised.name.clone(), raised.input.clone())),
            _ => None,
        });
        raised.collect()
    }
}
