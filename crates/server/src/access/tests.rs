//! Calls as a server meets them, on a real file of keys and in virtual time.

use std::fs;
use std::future::Future;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use http::{HeaderValue, Request, Response};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{Layer, ServiceExt, service_fn};

use super::ring::Ring;
use super::*;
use crate::keys::{HubScope, Key, KeyEntry, NewKey, Note, Permission, Role};

const START: &str = "/TaskHubSidecarService/StartInstance";
const WORK: &str = "/TaskHubSidecarService/GetWorkItems";
const CREATE_HUB: &str = "/TaskHubSidecarService/CreateTaskHub";
const LIST_HUBS: &str = "/strandline.v1.Management/ListHubs";
/// Revoked keys stop to work in at most this time.
const LATE_MAX: Duration = Duration::from_secs(5);

struct Place {
    _dir: TempDir,
    file: KeyFile,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = KeyFile::in_directory(dir.path());
        Self { _dir: dir, file }
    }

    fn key(&self, role: Role, hub: &str) -> (Key, KeyEntry) {
        self.expiring(role, hub, None)
    }

    fn expiring(&self, role: Role, hub: &str, expires: Option<Timestamp>) -> (Key, KeyEntry) {
        let hub = HubScope::try_from(hub.to_owned()).unwrap();
        let new = NewKey { roles: role.into(), hub, functions: None, note: Note::default(), expires };
        self.file.create(new, Timestamp::now()).unwrap()
    }

    fn revoke(&self, entry: &KeyEntry) {
        self.file.revoke(std::slice::from_ref(&entry.id)).unwrap();
    }

    fn access(&self) -> Access {
        Access::keyed(self.file.clone()).unwrap()
    }
}

type Metadata<'a> = &'a [(&'static str, &'a str)];

fn request(path: &str, metadata: Metadata<'_>) -> Request<()> {
    let mut request = Request::builder().uri(format!("http://host{path}")).body(()).unwrap();
    for (name, value) in metadata {
        request.headers_mut().append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request
}

/// Sends a request through the layer; the request as the service saw it, or why it did not.
async fn send(access: &Access, request: Request<()>) -> Result<Request<()>, Status> {
    let service = service_fn(|request: Request<()>| async move {
        let mut response = Response::new(String::new());
        response.extensions_mut().insert(std::sync::Arc::new(request));
        Ok::<_, std::convert::Infallible>(response)
    });
    let mut response = access.layer(|_| None).layer(service).oneshot(request).await.unwrap();
    match response.extensions_mut().remove::<std::sync::Arc<Request<()>>>() {
        Some(request) => Ok(std::sync::Arc::into_inner(request).unwrap()),
        None => Err(Status::from_header_map(response.headers()).unwrap()),
    }
}

async fn call(access: &Access, path: &str, metadata: Metadata<'_>) -> Result<Request<()>, Status> {
    send(access, request(path, metadata)).await
}

fn refused(outcome: Result<Request<()>, Status>) -> (Code, String) {
    let status = outcome.unwrap_err();
    (status.code(), status.message().to_owned())
}

fn bearer(key: &Key) -> String {
    format!("Bearer {}", key.reveal())
}

fn caller(request: &Request<()>) -> Caller {
    Caller::of(request.extensions()).unwrap().clone()
}

#[tokio::test]
async fn an_open_server_asks_nobody() {
    let seen = call(&Access::open(), CREATE_HUB, &[("authorization", "Bearer whatever")]).await.unwrap();
    let caller = caller(&seen);
    assert!(caller.principal().key().is_none() && caller.principal().sees("any"));
    assert_eq!(seen.headers()["taskhub"], "default");
    assert!(!seen.headers().contains_key("authorization"));
    assert!(!Access::open().needs_keys());
}

#[tokio::test]
async fn both_ways_to_send_a_key_work() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Client, "*");
    let access = place.access();
    let (plain, lower) = (bearer(&key), format!("bearer   {} ", key.reveal()));
    let ways: [Metadata<'_>; 5] = [
        &[("authorization", &plain)],
        &[("authorization", &lower)],
        &[("x-functions-key", key.reveal())],
        &[("authorization", "Basic eDp5"), ("x-functions-key", key.reveal())],
        &[("authorization", &plain), ("x-functions-key", "other")],
    ];
    for metadata in ways {
        let seen = call(&access, START, metadata).await.unwrap();
        assert_eq!(caller(&seen).principal().key(), Some(&entry.id));
        let left: Vec<_> = seen.headers().keys().collect();
        assert_eq!(left, ["taskhub"], "the service never sees a key");
    }
}

#[tokio::test]
async fn without_a_good_key_callers_are_told_how_to_give_one() {
    let place = Place::new();
    let (key, _) = place.key(Role::Admin, "*");
    let access = place.access();
    for metadata in [&[][..], &[("authorization", "Basic eDp5")], &[("authorization", "Bearer\u{e9} x")]] {
        let (code, message) = refused(call(&access, START, metadata).await);
        assert_eq!(code, Code::Unauthenticated);
        assert!(message.contains("authorization: Bearer KEY"), "{message}");
        assert!(message.contains("strandline keys create"), "{message}");
    }
    let other = Key::generate().unwrap();
    let swapped = key.reveal().replace(key.id().as_str(), "000000000000");
    let cut = &key.reveal()[..key.reveal().len() - 1];
    for wrong in [other.reveal(), &swapped, cut, "x", "", key.id().as_str()] {
        let (code, message) = refused(call(&access, START, &[("x-functions-key", wrong)]).await);
        assert_eq!(code, Code::Unauthenticated);
        assert!(message.starts_with("the access key is not valid"), "{message}");
        assert!(wrong.len() < 2 || !message.contains(wrong), "{message}");
    }
}

#[tokio::test]
async fn the_hub_of_somebody_else_is_as_absent_as_none() {
    let place = Place::new();
    let (key, _) = place.key(Role::Worker, "orders");
    let access = place.access();
    for hub in ["billing", "nowhere", "ORDERS", "default"] {
        // Whatever the method: roles are not looked at before.
        for path in [WORK, START, CREATE_HUB] {
            let metadata = [("x-functions-key", key.reveal()), ("taskhub", hub)];
            let (code, message) = refused(call(&access, path, &metadata).await);
            let expected = format!("there is no task hub {hub:?}: ");
            assert_eq!(code, Code::NotFound);
            assert!(message.starts_with(&expected), "{message}");
        }
    }
    let odd = [("x-functions-key", key.reveal()), ("taskhub", "\u{e9}")];
    assert_eq!(refused(call(&access, WORK, &odd).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn the_hub_that_was_judged_is_the_hub_that_is_used() {
    let place = Place::new();
    let (one, _) = place.key(Role::Worker, "orders");
    let (all, _) = place.key(Role::Worker, "*");
    let access = place.access();
    let hub = async |metadata: Metadata<'_>| {
        let seen = call(&access, WORK, metadata).await.unwrap();
        let hubs: Vec<_> = seen.headers().get_all("taskhub").iter().cloned().collect();
        assert_eq!(hubs.len(), 1);
        hubs[0].to_str().unwrap().to_owned()
    };
    let (one, all) = (("x-functions-key", one.reveal()), ("x-functions-key", all.reveal()));
    assert_eq!(hub(&[one]).await, "orders");
    assert_eq!(hub(&[one, ("taskhub", "")]).await, "orders");
    assert_eq!(hub(&[one, ("taskhub", "orders"), ("taskhub", "billing")]).await, "orders");
    assert_eq!(hub(&[all]).await, "default");
    assert_eq!(hub(&[all, ("taskhub", "billing")]).await, "billing");
}

#[tokio::test]
async fn a_role_that_is_too_small_is_told_which_it_takes() {
    let place = Place::new();
    let (worker, _) = place.key(Role::Worker, "*");
    let (client, _) = place.key(Role::Client, "*");
    let (admin, _) = place.key(Role::Admin, "orders");
    let access = place.access();
    let metadata = [("x-functions-key", worker.reveal())];
    let (code, message) = refused(call(&access, START, &metadata).await);
    assert_eq!(code, Code::PermissionDenied);
    assert_eq!(message, "StartInstance needs a key with the role client or admin; this key has worker");
    let metadata = [("x-functions-key", client.reveal())];
    for path in [WORK, CREATE_HUB] {
        assert_eq!(refused(call(&access, path, &metadata).await).0, Code::PermissionDenied);
    }
    for path in [WORK, CREATE_HUB, START, LIST_HUBS] {
        let seen = call(&access, path, &[("x-functions-key", admin.reveal())]).await.unwrap();
        assert!(caller(&seen).principal().sees("orders") && !caller(&seen).principal().sees("billing"));
    }
    let worker = call(&access, WORK, &[("x-functions-key", worker.reveal())]).await.unwrap();
    let denied = caller(&worker).principal().require(Permission::Read, "StreamInstanceHistory").unwrap_err();
    assert_eq!(Status::from(denied).code(), Code::PermissionDenied);
}

#[tokio::test]
async fn probes_need_no_key_and_unknown_methods_one() {
    let place = Place::new();
    let (key, _) = place.key(Role::Admin, "*");
    let access = place.access();
    assert!(call(&access, "/grpc.health.v1.Health/Check", &[]).await.is_ok());
    for path in ["/TaskHubSidecarService/Surprise", "/x", "/grpc.health.v1.Health/", "/"] {
        assert_eq!(refused(call(&access, path, &[]).await).0, Code::Unauthenticated, "{path}");
        let outcome = call(&access, path, &[("x-functions-key", key.reveal())]).await;
        assert_eq!(refused(outcome).0, Code::Unimplemented, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_running_server_sees_changes_within_a_second() {
    let place = Place::new();
    let access = place.access();
    let (key, entry) = place.key(Role::Client, "*");
    let metadata = [("x-functions-key", key.reveal())];
    tokio::time::advance(Duration::from_secs(1)).await;
    call(&access, START, &metadata).await.unwrap();

    let (second, _) = place.key(Role::Client, "*");
    place.revoke(&entry);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refused(call(&access, START, &metadata).await).0, Code::Unauthenticated);
    call(&access, START, &[("x-functions-key", second.reveal())]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_changes_nothing_and_what_is_gone_lets_nobody_in() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Client, "*");
    let access = place.access();
    let good = fs::read_to_string(place.file.path()).unwrap();
    let later = good.replace("\"version\": 1", "\"version\": 2");
    let metadata = [("x-functions-key", key.reveal())];
    for slip in ["", "{", later.as_str()] {
        fs::write(place.file.path(), slip).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        call(&access, START, &metadata).await.unwrap();
    }
    fs::write(place.file.path(), &good).unwrap();
    place.revoke(&entry);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refused(call(&access, START, &metadata).await).0, Code::Unauthenticated);

    fs::write(place.file.path(), &good).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    call(&access, START, &metadata).await.unwrap();
    fs::remove_file(place.file.path()).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refused(call(&access, START, &metadata).await).0, Code::Unauthenticated);
    assert!(access.needs_keys());
}

#[tokio::test(start_paused = true)]
async fn the_first_key_closes_an_open_server_for_good() {
    let place = Place::new();
    let access = Access::open_until_keyed(place.file.clone()).unwrap();
    assert!(!access.needs_keys());
    let early = caller(&call(&access, START, &[]).await.unwrap());

    let (key, entry) = place.key(Role::Client, "*");
    let began = Instant::now();
    assert_eq!(early.turned_away().await, AccessError::NoKey);
    assert!(began.elapsed() <= LATE_MAX);
    assert_eq!(refused(call(&access, START, &[]).await).0, Code::Unauthenticated);
    call(&access, START, &[("x-functions-key", key.reveal())]).await.unwrap();

    place.revoke(&entry);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(access.needs_keys());
    assert_eq!(refused(call(&access, START, &[]).await).0, Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_ends_streams() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Worker, "*");
    let (other, _) = place.key(Role::Worker, "*");
    let access = place.access();
    let open = async |key: &Key| {
        let seen = call(&access, WORK, &[("x-functions-key", key.reveal())]).await.unwrap();
        caller(&seen)
    };
    let idle: Vec<_> = futures::future::join_all((0..100).map(|_| open(&key))).await;
    let idle = idle.into_iter().map(|caller| caller.guard(stream::pending::<Result<u32, Status>>()));
    let ends: Vec<_> = idle.map(|stream| tokio::spawn(stream.collect::<Vec<_>>())).collect();
    // Always has an item, and is asked as often as it can.
    let mut busy = open(&key).await.guard(stream::repeat_with(|| Ok(1)));
    let mut untouched = open(&other).await.guard(stream::pending::<Result<u32, Status>>());
    assert_eq!(busy.next().await.unwrap().unwrap(), 1);

    // Long after the last call, when nobody but the streams looks at the file.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    place.revoke(&entry);
    let began = Instant::now();
    for end in ends {
        let items = end.await.unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap_err().code(), Code::Unauthenticated);
    }
    while let Some(Ok(_)) = busy.next().await {}
    assert!(busy.next().await.is_none());
    assert!(began.elapsed() <= LATE_MAX, "{:?}", began.elapsed());
    let still_open = tokio::time::timeout(Duration::from_secs(60), untouched.next()).await;
    assert!(still_open.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_stream_that_looks_for_all_may_end() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Worker, "*");
    let access = place.access();
    let seen = call(&access, WORK, &[("x-functions-key", key.reveal())]).await.unwrap();
    let caller = caller(&seen);
    let mut first = Box::pin(caller.turned_away());
    let mut second = Box::pin(caller.turned_away());
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    tokio::time::advance(Duration::from_secs(1)).await;
    drop(first);
    place.revoke(&entry);
    let began = Instant::now();
    assert_eq!(second.await, AccessError::WrongKey);
    assert!(began.elapsed() <= LATE_MAX);
}

#[tokio::test(start_paused = true)]
async fn an_expired_key_is_refused_and_ends_streams() {
    let place = Place::new();
    let began = Instant::now();
    let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
    let expires = at + jiff::SignedDuration::from_hours(2);
    let (key, _) = place.expiring(Role::Worker, "*", Some(expires));
    let clock = Box::new(move || at + jiff::SignedDuration::try_from(began.elapsed()).unwrap());
    let access = Access::new(Ring::keyed(place.file.clone(), clock).unwrap(), None);
    let metadata = [("x-functions-key", key.reveal())];
    let caller = caller(&call(&access, WORK, &metadata).await.unwrap());
    assert_eq!(caller.turned_away().await, AccessError::Expired(expires));
    let late = began.elapsed() - Duration::from_secs(2 * 3600);
    assert!(late <= LATE_MAX, "{late:?}");
    let (code, message) = refused(call(&access, WORK, &metadata).await);
    assert_eq!(code, Code::Unauthenticated);
    assert!(message.contains("expired at 2026-01-31T14:00:00Z"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_may_less_than_before_ends_streams() {
    let place = Place::new();
    let (key, _) = place.key(Role::Admin, "*");
    let access = place.access();
    let caller = caller(&call(&access, WORK, &[("x-functions-key", key.reveal())]).await.unwrap());
    let text = fs::read_to_string(place.file.path()).unwrap().replace("\"admin\"", "\"client\"");
    fs::write(place.file.path(), text).unwrap();
    assert_eq!(caller.turned_away().await, AccessError::WrongKey);
    assert!(caller.principal().may(Permission::Administer));
}

#[tokio::test]
async fn no_log_and_no_debug_text_holds_a_key() {
    let place = Place::new();
    let (key, _) = place.key(Role::Client, "orders");
    let wrong = Key::generate().unwrap();
    let access = place.access();
    let metadata = [("authorization", bearer(&key)), ("x-functions-key", wrong.reveal().to_owned())];
    let metadata = metadata.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (log, seen) = logged(async {
        for _ in 0..100 {
            call(&access, START, &[("x-functions-key", wrong.reveal())]).await.unwrap_err();
            call(&access, START, &[("authorization", "Bearer nonsense\\n")]).await.unwrap_err();
        }
        call(&access, WORK, &metadata).await.unwrap_err();
        call(&access, START, &metadata).await.unwrap()
    })
    .await;
    let shown = format!("{log} {access:?} {:?} {seen:?}", caller(&seen));
    for key in [&key, &wrong] {
        let secret = key.reveal().rsplit_once(key.id().as_str()).unwrap().1;
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(log.contains(wrong.id().as_str()), "a failed attempt names the key's id: {log}");
    assert!(log.lines().count() < 50, "a flood does not fill the log: {log}");
}

async fn identified(access: &Access, uri: &str) -> Result<Caller, AccessError> {
    let (mut parts, ()) = Request::builder().uri(uri).body(()).unwrap().into_parts();
    access.identify(&mut parts, None).await
}

fn wish(permission: Permission, hub: &'static str, instance: &'static str) -> Wish<'static> {
    Wish { what: "this", permission, hub: Some(hub), instance: Some(instance), function: None }
}

#[tokio::test]
async fn a_signed_url_opens_one_operation_on_one_instance() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Client, "*");
    let access = place.access();
    let client = identified(&access, &format!("/x?code={}", key.reveal())).await.unwrap();
    let signed = client.credential("orders", "7", Permission::Terminate).unwrap();
    assert_eq!(signed.name, "sig");
    let visitor =
        identified(&access, &format!("/x?taskHub=orders&sig={}", signed.value.as_str())).await.unwrap();
    assert_eq!(visitor.admit(&wish(Permission::Terminate, "orders", "7")).unwrap(), "orders");
    let no_instance = Wish { instance: None, ..wish(Permission::Terminate, "orders", "7") };
    for other in
        [wish(Permission::Terminate, "orders", "8"), wish(Permission::Terminate, "default", "7"), no_instance]
    {
        assert_eq!(visitor.admit(&other), Err(AccessError::WrongSignature), "{other:?}");
    }
    let refused = visitor.admit(&wish(Permission::Purge, "orders", "7")).unwrap_err();
    assert_eq!(refused.status(), http::StatusCode::FORBIDDEN);
    assert!(refused.to_string().contains("signed for the operation terminate"), "{refused}");
    // Outside of what is admitted it is nobody.
    assert!(!visitor.principal().sees("orders") && !visitor.principal().may(Permission::Connect));
    // The key is gone, the URL is not: it has a life of its own.
    place.revoke(&entry);
    assert!(visitor.admit(&wish(Permission::Terminate, "orders", "7")).is_ok());
    assert_eq!(identified(&access, "/x?sig=1.read").await.unwrap_err(), AccessError::WrongSignature);
    let open = identified(&Access::open(), &format!("/x?sig={}", signed.value.as_str())).await.unwrap();
    assert!(open.credential("orders", "7", Permission::Read).is_none(), "nothing to carry");
}

/// As a server has it, whose services are routes.
#[tokio::test]
async fn routes_are_guarded_whether_they_are_there_or_not() {
    let place = Place::new();
    let (key, entry) = place.key(Role::Client, "*");
    let service = |request: axum::extract::Request| async move {
        Caller::of(request.extensions()).unwrap().principal().key().unwrap().to_string()
    };
    let routes = axum::Router::new().route(START, axum::routing::post(service));
    let routes = routes.layer(place.access().layer(|_| None));
    let send = async |path: &str, key: Option<&Key>| {
        let mut request = Request::post(path).body(axum::body::Body::empty()).unwrap();
        if let Some(key) = key {
            request.headers_mut().insert("authorization", bearer(key).parse().unwrap());
        }
        let response = routes.clone().oneshot(request).await.unwrap();
        let status = Status::from_header_map(response.headers());
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        (status.map(|status| status.code()), String::from_utf8(body.to_vec()).unwrap())
    };
    assert_eq!(send(START, Some(&key)).await, (None, entry.id.to_string()));
    assert_eq!(send(START, None).await, (Some(Code::Unauthenticated), String::new()));
    assert_eq!(send("/else/Where", None).await, (Some(Code::Unauthenticated), String::new()));
    assert_eq!(send("/else/Where", Some(&key)).await, (Some(Code::Unimplemented), String::new()));
}

/// What is logged meanwhile, at every level.
async fn logged<T>(work: impl Future<Output = T>) -> (String, T) {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let done = work.await;
    drop(guard);
    let bytes = lines.0.lock().unwrap().clone();
    (String::from_utf8(bytes).unwrap(), done)
}
