//! That what is said takes effect, in the program as operators start it.

use strandline::prelude::*;
use strandline_proto::wire;
use strandline_proto::wire::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use tonic::transport::Endpoint;

use crate::bounds_of::{Tally, work_there};
use crate::place::{Place, Running};

#[orchestrator]
async fn version_of(ctx: OrchestrationContext, _: ()) -> Result<Option<String>> {
    Ok(ctx.version())
}

#[orchestrator]
async fn fans_out(ctx: OrchestrationContext, tally: usize) -> Result<()> {
    try_join_all((0..40).map(|_| ctx.call(work_there, tally))).await?;
    Ok(())
}

/// All an operator needs.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_all_a_server_needs() {
    let file = "[server]\ndir = 'data'\nlisten = ['127.0.0.1:0']\n\n\
                [hub]\nname = 'orders'\npartitions = 3\ndefault_version = '7'\nmax_concurrent_activities = 2\n";
    let place = Place::new().with("server.toml", file);
    let server = Running::start(&mut place.command(&["serve", "--config", "server.toml"]));
    assert!(place.path().join("data").is_dir());

    let hub = TaskHub::connect(&server.address).task_hub("orders").await.unwrap();
    let tally = Tally::new();
    hub.worker().register((version_of, fans_out, work_there)).start().await.unwrap();
    let client = hub.client();
    // Whoever names no hub gets this one.
    let channel = Endpoint::try_from(server.address.clone()).unwrap().connect().await.unwrap();
    let mut anybody = TaskHubSidecarServiceClient::new(channel);
    let start = wire::CreateInstanceRequest { name: "version_of".to_owned(), ..Default::default() };
    let id = anybody.start_instance(start).await.unwrap().into_inner().instance_id;
    let version = client.instance::<Option<String>>(&id).unwrap().output().await.unwrap();
    assert_eq!(version.as_deref(), Some("7"));
    let said = client.start(version_of, ()).version("8").await.unwrap().output().await.unwrap();
    assert_eq!(said.as_deref(), Some("8"));
    client.start(fans_out, tally.number()).await.unwrap().output().await.unwrap();
    assert_eq!((tally.done(), tally.most()), (40, 2));
    hub.close().await.unwrap();

    let hubs = place.run(&["hub", "list", "-o", "json", "--server", &server.address]).ok();
    assert!(hubs.contains("\"orders\"") && hubs.contains('3') && !hubs.contains("\"default\""), "{hubs}");
}

/// So that keys are made where the server looks for them.
#[test]
fn keys_are_made_where_the_configuration_says() {
    let place = Place::new().with("strandline.toml", "[server]\ndir = 'data'\n");
    place.run(&["keys", "create", "--role", "admin"]);
    assert!(place.path().join("data/keys.json").is_file());
    let place = Place::new().with("named.toml", "[server]\nkeys = 'keys/ours.json'\n");
    let made = place.run(&["keys", "create", "--role", "admin", "--config", "named.toml"]);
    assert!(place.path().join("keys/ours.json").is_file() || made.err.contains("keys/ours.json"), "{made:?}");
    let wrong = place.run(&["keys", "list", "--config", "nowhere.toml"]).failed(6);
    assert!(wrong.contains("nowhere.toml can't be read"), "{wrong}");
}
