//! A server to call.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use strandline::DataDirectory;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_server::access::Access;
use strandline_server::keys::{Functions, HubScope, Key, KeyEntry, KeyFile, NewKey, Note, Role, SecretFile};
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

/// Where the API of Durable Functions is.
pub(crate) const API: &str = "/runtime/webhooks/durabletask";
/// Longer than anything takes here; what waits so long waits in vain.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A server with two hubs, `default` and `orders`.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) keys: KeyFile,
    pub(crate) address: SocketAddr,
    server: Server,
    directory: DataDirectory,
}

/// An answer of HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Place {
    /// Lets everybody in until there is a key.
    pub(crate) async fn new(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyFile::in_directory(dir.path());
        let access = Access::open_until_keyed(keys.clone()).unwrap();
        let access = access.with_url_secrets(SecretFile::in_directory(dir.path())).unwrap();
        Self::of(dir, keys, access, settings).await
    }

    /// Asks for keys from the beginning.
    pub(crate) async fn keyed(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyFile::in_directory(dir.path());
        let access = Access::keyed(keys.clone()).unwrap();
        let access = access.with_url_secrets(SecretFile::in_directory(dir.path())).unwrap();
        Self::of(dir, keys, access, settings).await
    }

    async fn of(dir: TempDir, keys: KeyFile, access: Access, settings: Settings) -> Self {
        let directory = DataDirectory::in_memory().open().await.unwrap();
        directory.hub("orders").await.unwrap();
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let options =
            ServerOptions { unknown: UnknownHub::Refuse, reflection: Reflection::Off, access, settings };
        let server = Server::start(directory.clone(), vec![listener], options).await.unwrap();
        let address = server.addresses()[0];
        Self { dir, keys, address, server, directory }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
        self.directory.close().await.unwrap();
    }

    /// Makes a key, and waits until the server knows it.
    pub(crate) async fn key(&self, role: Role, hub: &str, functions: &[&str]) -> (Key, KeyEntry) {
        let (key, entry) = self.new_key(role, hub, functions);
        let path = format!("{API}/makeprimary?code={}", key.reveal());
        let known = async { while self.send("POST", &path, &[]).await.status == 401 {} };
        tokio::time::timeout(LONG, known).await.expect("the server does not see the key");
        (key, entry)
    }

    pub(crate) fn new_key(&self, role: Role, hub: &str, functions: &[&str]) -> (Key, KeyEntry) {
        let names: Vec<String> = functions.iter().map(|name| (*name).to_owned()).collect();
        let functions = (!names.is_empty()).then(|| Functions::try_from(names).unwrap());
        let hub = HubScope::try_from(hub.to_owned()).unwrap();
        let new = NewKey { roles: role.into(), hub, functions, note: Note::default(), expires: None };
        self.keys.create(new, jiff::Timestamp::now()).unwrap()
    }

    /// Sends a request without a body.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            text += "Content-Length: 0\r\n";
        }
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.raw(&(text + "\r\n")).await
    }

    /// Sends bytes, and reads until the server closes the connection.
    pub(crate) async fn raw(&self, text: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    }

    pub(crate) async fn grpc(&self) -> TaskHubSidecarServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        TaskHubSidecarServiceClient::new(endpoint.connect().await.unwrap())
    }

    /// Starts an instance over gRPC.
    pub(crate) async fn start(&self, key: &str, function: &str, id: &str) -> Result<String, tonic::Status> {
        let message = wire::CreateInstanceRequest {
            name: function.to_owned(),
            instance_id: id.to_owned(),
            ..Default::default()
        };
        let started = self.grpc().await.start_instance(with_key(message, key)).await?;
        Ok(started.into_inner().instance_id)
    }
}

impl Answer {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // What is answered before all was read may come with a reset after it.
        let _ = tokio::time::timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("no answer");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }
}

pub(crate) fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}
