//! A server with a worker of its own.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use strandline::DataDirectory;
use strandline_server::access::Access;
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};

use crate::client::{Answer, Request};
use crate::functions;

/// Nothing here takes that long: a test that waits longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// A server with the hubs `default`, which has a worker, and `other`, which has none.
pub(crate) struct TestServer {
    server: Server,
    pub(crate) address: SocketAddr,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(Access::open(), Settings::default()).await
    }

    pub(crate) async fn with(access: Access, settings: Settings) -> Self {
        let directory = DataDirectory::in_memory().partitions(4).open().await.unwrap();
        let hub = directory.hub("default").await.unwrap();
        hub.worker().register(functions::all()).start().unwrap();
        directory.hub("other").await.unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let options =
            ServerOptions { unknown: UnknownHub::Refuse, reflection: Reflection::Off, access, settings };
        let server = Server::start(directory, vec![listener], options).await.unwrap();
        let address = server.addresses()[0];
        Self { server, address }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }

    /// A request to a path of the hub `default`.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Request {
        self.ask_at(method, &format!("/api/v1/hubs/default{path}"))
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

    /// Starts an instance; the answer's status is 201.
    pub(crate) async fn run(&self, new: Value) -> Value {
        self.ask("POST", "/instances").json(&new).send().await.json(201)
    }

    /// The instance once it is over.
    pub(crate) async fn ended(&self, id: &str) -> Value {
        self.get(&format!("/instances/{id}?waitFor=completed&timeout=100")).await.json(200)
    }

    /// Instances that are over: `id`s of this name with these inputs.
    pub(crate) async fn echoed(&self, ids: &[&str]) {
        for id in ids {
            self.run(json!({"name": "Echo", "instanceId": id, "input": id})).await;
        }
        for id in ids {
            assert_eq!(self.ended(id).await["runtimeStatus"], "Completed");
        }
    }
}
