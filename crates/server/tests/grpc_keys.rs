//! Keys, as callers of a server meet them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use strandline::DataDirectory;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use strandline_server::access::Access;
use strandline_server::keys::{HubScope, KeyFile, NewKey, Note, Role};
use strandline_server::settings::Settings;
use strandline_server::{Reflection, Server, ServerOptions, UnknownHub, bind};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

fn with_key<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

async fn client(server: &Server) -> TaskHubSidecarServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.addresses()[0])).unwrap();
    TaskHubSidecarServiceClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn a_server_with_keys_asks_for_them() {
    let place = tempfile::tempdir().unwrap();
    let file = KeyFile::in_directory(place.path());
    let key = |role: Role, hub: HubScope| {
        let new = NewKey { roles: role.into(), hub, functions: None, note: Note::default(), expires: None };
        file.create(new, jiff::Timestamp::now()).unwrap()
    };
    let (worker, worker_entry) = key(Role::Worker, HubScope::All);
    let (client_key, _) = key(Role::Client, HubScope::one("orders").unwrap());
    let directory = DataDirectory::in_memory().open().await.unwrap();
    directory.hub("orders").await.unwrap();
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let access = Access::open_until_keyed(file.clone()).unwrap();
    let options = ServerOptions {
        unknown: UnknownHub::Refuse,
        reflection: Reflection::Off,
        access,
        settings: Settings::default(),
    };
    let server = Server::start(directory.clone(), vec![listener], options).await.unwrap();
    let mut client = client(&server).await;
    let start = || wire::CreateInstanceRequest { name: "Order".to_owned(), ..Default::default() };

    // No key, a wrong one, one of too small a role.
    let refused = client.start_instance(start()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let refused = client.start_instance(with_key(start(), "strandline_nonsense")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert!(!refused.message().contains("nonsense"));
    let refused = client.start_instance(with_key(start(), worker.reveal())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");

    // A key of one hub finds no other.
    let mut elsewhere = with_key(start(), client_key.reveal());
    elsewhere.metadata_mut().insert("taskhub", "default".parse().unwrap());
    let hidden = client.start_instance(elsewhere).await.unwrap_err();
    let mut nowhere = with_key(start(), client_key.reveal());
    nowhere.metadata_mut().insert("taskhub", "nowhere".parse().unwrap());
    let unknown = client.start_instance(nowhere).await.unwrap_err();
    assert_eq!((hidden.code(), unknown.code()), (Code::NotFound, Code::NotFound), "{hidden} {unknown}");
    client.start_instance(with_key(start(), client_key.reveal())).await.unwrap();

    // A key that is revoked ends the streams it opened.
    let open = client.get_work_items(with_key(wire::GetWorkItemsRequest::default(), worker.reveal())).await;
    let mut items = open.unwrap().into_inner();
    file.revoke(std::slice::from_ref(&worker_entry.id)).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(60), items.message()).await.unwrap();
    assert_eq!(end.unwrap_err().code(), Code::Unauthenticated);

    server.stop().await;
    directory.close().await.unwrap();
}

/// To revoke the last key closes a server, also one that is started afterwards.
#[tokio::test]
async fn without_its_last_key_a_server_lets_nobody_in() {
    let place = tempfile::tempdir().unwrap();
    let file = KeyFile::in_directory(place.path());
    let new = NewKey {
        roles: Role::Admin.into(),
        hub: HubScope::All,
        functions: None,
        note: Note::default(),
        expires: None,
    };
    let (_, entry) = file.create(new, jiff::Timestamp::now()).unwrap();
    file.revoke(std::slice::from_ref(&entry.id)).unwrap();
    assert!(Access::open_until_keyed(file).unwrap().needs_keys());
}
