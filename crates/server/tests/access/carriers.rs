//! Keys: where requests carry them, and what each lets its holder do.

use strandline_proto::wire;
use strandline_server::keys::Role;
use strandline_server::settings::Settings;
use tonic::Code;

use super::place::{API, Place};

#[tokio::test]
async fn a_key_is_taken_wherever_it_stands() {
    let place = Place::keyed(Settings::default()).await;
    let (key, _) = place.key(Role::Client, "*", &[]).await;
    let path = format!("{API}/instances/none/terminate");
    let bearer = format!("Bearer {}", key.reveal());
    for headers in [vec![("x-functions-key", key.reveal())], vec![("authorization", &*bearer)]] {
        assert_eq!(place.send("POST", &path, &headers).await.status, 404, "there is no such instance");
    }
    for query in [format!("code={}", key.reveal()), format!("taskHub=orders&CODE={}", key.reveal())] {
        assert_eq!(place.send("POST", &format!("{path}?{query}"), &[]).await.status, 404);
    }
    place.stop().await;
}

#[tokio::test]
async fn without_a_good_key_there_is_nothing_to_learn() {
    let place = Place::keyed(Settings::default()).await;
    let (key, _) = place.key(Role::Client, "orders", &[]).await;
    let wrong = format!("{}x", key.reveal());
    let paths = ["instances/none/terminate", "makeprimary", "nonsense"].map(|path| format!("{API}/{path}"));
    for path in &paths {
        for query in ["", "?code=", "?code=x", "?sig=1.terminate.9999999999.AAAA"] {
            let answer = place.send("POST", &format!("{path}{query}"), &[]).await;
            let expected = if path.ends_with("nonsense") { vec![401, 404] } else { vec![401] };
            assert!(expected.contains(&answer.status), "{path}{query}: {answer:?}");
            assert_eq!(answer.body, "", "{path}{query}");
        }
        let answer = place.send("POST", path, &[("x-functions-key", &wrong)]).await;
        assert!([401, 404].contains(&answer.status) && answer.body.is_empty());
    }
    // A hub of somebody else is as absent as none.
    let with = |hub: &str| format!("{API}/makeprimary?taskHub={hub}&code={}", key.reveal());
    let (hidden, absent) =
        (place.send("POST", &with("default"), &[]).await, place.send("POST", &with("no"), &[]).await);
    assert_eq!((hidden.status, absent.status), (404, 404));
    assert_eq!(hidden.body.replace("default", "no"), absent.body);
    assert_eq!(place.send("POST", &with("orders"), &[]).await.status, 200);
    // Probes and answers of all kinds say nothing of where they came from.
    for answer in [hidden, place.send("GET", "/", &[]).await] {
        for header in
            ["referrer-policy: no-referrer", "x-content-type-options: nosniff", "cache-control: no-store"]
        {
            assert!(answer.head.contains(header), "{answer:?}");
        }
    }
    place.stop().await;
}

#[tokio::test]
async fn roles_may_what_they_are_for() {
    let place = Place::keyed(Settings::default()).await;
    // Role; what changing something over HTTP answers; what starting, reading and making a hub over gRPC do.
    let (no, yes) = (Code::PermissionDenied, Code::Ok);
    let sets = [
        (Role::Client, 200, [yes, yes, no]),
        (Role::Reader, 403, [no, yes, no]),
        (Role::Worker, 403, [no, no, no]),
        (Role::Admin, 200, [yes, yes, yes]),
    ];
    for (role, changing, expected) in sets {
        let (key, _) = place.key(role, "*", &[]).await;
        let (key, hub) = (key.reveal(), format!("made-by-{role}"));
        let answer = place.send("POST", &format!("{API}/makeprimary"), &[("x-functions-key", key)]).await;
        assert_eq!(answer.status, changing, "{role}: {answer:?}");
        let mut client = place.grpc().await;
        let code =
            |outcome: Result<(), tonic::Status>| outcome.map_or_else(|status| status.code(), |()| Code::Ok);
        let start = place.start(key, "Order", &format!("by-{role}")).await.map(drop);
        let read = wire::GetInstanceRequest { instance_id: "x".into(), ..Default::default() };
        let read = client.get_instance(super::place::with_key(read, key)).await.map(drop);
        let mut make = super::place::with_key(strandline_proto::wire::CreateTaskHubRequest::default(), key);
        make.metadata_mut().insert("taskhub", hub.parse().unwrap());
        let make = client.create_task_hub(make).await.map(drop);
        assert_eq!([code(start), code(read), code(make)], expected, "{role}");
    }
    place.stop().await;
}

#[tokio::test]
async fn a_key_for_functions_starts_and_signals_those() {
    let place = Place::keyed(Settings::default()).await;
    let (key, _) = place.key(Role::Client, "*", &["Order", "Cart"]).await;
    let key = key.reveal();
    place.start(key, "Order", "1").await.unwrap();
    let refused = place.start(key, "Refund", "2").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("some functions only"), "{refused}");
    let mut client = place.grpc().await;
    let mut signal = async |entity: &str| {
        let message = wire::SignalEntityRequest {
            instance_id: format!("@{entity}@1"),
            name: "add".to_owned(),
            ..Default::default()
        };
        client
            .signal_entity(super::place::with_key(message, key))
            .await
            .map(drop)
            .map_err(|status| status.code())
    };
    assert_eq!(signal("cart").await, Ok(()));
    assert_eq!(signal("wallet").await, Err(Code::PermissionDenied));
    // It takes the place of nothing: what is there may be an instance of another function.
    let (all, _) = place.key(Role::Client, "*", &[]).await;
    place.start(all.reveal(), "Refund", "over").await.unwrap();
    let end = format!("{API}/instances/over/terminate?code={}", all.reveal());
    assert_eq!(place.send("POST", &end, &[]).await.status, 202);
    let statuses =
        [wire::OrchestrationStatus::Terminated as i32, wire::OrchestrationStatus::Completed as i32];
    let replacing = wire::CreateInstanceRequest {
        name: "Order".to_owned(),
        instance_id: "over".to_owned(),
        orchestration_id_reuse_policy: Some(wire::OrchestrationIdReusePolicy {
            replaceable_status: statuses.to_vec(),
        }),
        ..Default::default()
    };
    let refused = client.start_instance(super::place::with_key(replacing.clone(), key)).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    let path = |key: &str| format!("{API}/orchestrators/Order/over?code={key}");
    assert_eq!(place.send("POST", &path(key), &[]).await.status, 409);
    assert_eq!(place.send("POST", &path(all.reveal()), &[]).await.status, 202);
    // It may look at nothing, not even at what it started.
    let read = wire::GetInstanceRequest { instance_id: "1".into(), ..Default::default() };
    let refused = client.get_instance(super::place::with_key(read, key)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let answer = place.send("POST", &format!("{API}/instances/1/terminate?code={key}"), &[]).await;
    assert_eq!(answer.status, 403);
    place.stop().await;
}
