//! Servers that can't be reached, and addresses that can't be.

use strandline::RemoteHub;
use strandline::prelude::*;

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // Bound and closed again: nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = RemoteHub::connect(nobody.to_string()).patience(millis(200)).await.unwrap_err();
    assert_eq!(error.error_type(), "ServerUnavailable");
    assert!(error.message().contains(&format!("the server at {nobody} can't be reached")), "{error}");
}

#[tokio::test]
async fn what_is_no_address_is_refused_at_once() {
    for (address, why) in [
        ("ftp://localhost", "'ftp' is not possible"),
        ("http://", "address 'http://'"),
        ("https://localhost", "https needs the cargo feature `tls`"),
    ] {
        let error = RemoteHub::connect(address).await.unwrap_err();
        assert_eq!(error.error_type(), "InvalidRequest");
        assert!(error.message().contains(why), "{error}");
    }
    let error = RemoteHub::connect("localhost:1").key("with\nbreak").await.unwrap_err();
    assert!(error.message().contains("the key has characters"), "{error}");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_created_on_demand_only() {
    let server = crate::server::Server::start();
    let hub = server.connect().task_hub("new").await.unwrap();
    let error = hub.client().query().page(None).await.unwrap_err();
    assert_eq!(error.error_type(), "HubNotFound", "{error}");
    let error = hub.client().instance::<()>("i").unwrap().wait().await.unwrap_err();
    assert_eq!(error.error_type(), "HubNotFound", "{error}");
    let hub = server.connect().task_hub("new").create_if_absent().await.unwrap();
    assert_eq!(hub.client().query().count().await.unwrap(), 0);
    server.connect().task_hub("new").create_if_absent().await.unwrap();
}
