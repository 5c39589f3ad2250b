//! The table of routes as a whole.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use parking_lot::Mutex;
use strandline::DataDirectory;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

use super::INVOCATION_ID;
use super::route::ROUTES;
use crate::access::Access;
use crate::hubs::{Hubs, UnknownHub};
use crate::keys::KeyFile;
use crate::web::{self, App};

async fn routes(access: Access) -> Router {
    let directory = DataDirectory::in_memory().partitions(1).open().await.unwrap();
    let hubs = Hubs::new(directory, UnknownHub::Refuse, "default", None).await.unwrap();
    web::routes(App::new(hubs, access, Default::default(), CancellationToken::new()))
}

fn request(method: &str, path: &str) -> Request<Body> {
    let target = format!("/runtime/webhooks/durabletask/{}", path.replace(['{', '}'], ""));
    Request::builder().method(method).uri(target).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn nothing_answers_without_a_key_where_there_are_keys() {
    let place = tempfile::tempdir().unwrap();
    let keyed = routes(Access::keyed(KeyFile::in_directory(place.path())).unwrap()).await;
    let open = routes(Access::open()).await;
    for route in &ROUTES {
        let method = route.method.as_ref().map_or("GET", |method| method.as_str());
        let refused = keyed.clone().oneshot(request(method, route.path)).await.unwrap();
        assert_eq!(refused.status(), 401, "{method} {}", route.path);
        assert_eq!(refused.headers().get("content-type"), None);
        // It is the key that is missing, not the route.
        let let_in = open.clone().oneshot(request(method, route.path)).await.unwrap();
        assert_ne!(let_in.status(), 401, "{method} {}", route.path);
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().write(bytes)
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

#[tokio::test]
async fn invocations_are_logged_by_their_ids_and_nothing_else_of_requests_is() {
    let lines = Lines::default();
    let logging = tracing_subscriber::fmt().with_writer(lines.clone()).with_max_level(tracing::Level::TRACE);
    let _guard = tracing::subscriber::set_default(logging.with_ansi(false).finish());
    let routes = routes(Access::open()).await;
    for (invocation, instance) in [("0F8FAD5B-D9CB-469F-A165-70867728950E", "a"), ("not-a-guid", "b")] {
        let mut start =
            request("POST", &format!("orchestrators/Name/{instance}?code=hunter2&version=hunter2"));
        start.headers_mut().insert(INVOCATION_ID, invocation.parse().unwrap());
        *start.body_mut() = Body::from("\"hunter2\"");
        assert_eq!(routes.clone().oneshot(start).await.unwrap().status(), 202);
    }
    let logged = String::from_utf8(lines.0.lock().clone()).unwrap();
    let line = |instance: &str| {
        let instance = format!("instance_id=\"{instance}\"");
        logged.lines().find(|line| line.contains(&instance)).unwrap_or_else(|| panic!("{logged}"))
    };
    assert!(line("a").contains("StartOrchestration") && line("a").contains("INFO"), "{logged}");
    assert!(line("a").contains("invocation_id=0f8fad5b-d9cb-469f-a165-70867728950e"), "{logged}");
    assert!(line("b").contains("StartOrchestration") && line("b").contains("DEBUG"), "{logged}");
    assert!(!logged.contains("not-a-guid") && !logged.contains("hunter2"), "{logged}");
}
