//! What the tests share.

use std::sync::Arc;

use strandline::http::HttpPolicy;
use strandline::prelude::*;
use strandline::{EventKind, HistoryEvent};

use crate::stub::Stub;

/// Makes the call it is given.
#[orchestrator]
pub(crate) async fn call(ctx: OrchestrationContext, request: HttpRequest) -> Result<HttpResponse> {
    ctx.call_http(request).await
}

/// What may reach these servers, and nothing else.
pub(crate) fn reaching(stubs: &[&Stub]) -> HttpPolicy {
    stubs.iter().fold(HttpPolicy::new(), |policy, stub| policy.allow(stub.address.to_string()))
}

/// What came of a call, and its history.
pub(crate) struct Called {
    pub(crate) result: Result<HttpResponse>,
    pub(crate) history: Vec<Arc<HistoryEvent>>,
}

impl Called {
    pub(crate) fn response(&self) -> &HttpResponse {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error:?}"))
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &Error {
        match &self.result {
            Err(error) => error,
            Ok(response) => panic!("answered {}: {}", response.status_code, response.content),
        }
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.history.iter().filter(|event| event.kind().name() == name).count()
    }
}

/// Makes calls, on a hub in memory.
pub(crate) async fn calls(policy: HttpPolicy, requests: Vec<HttpRequest>) -> Vec<Called> {
    let hub = TaskHub::in_memory().await.unwrap();
    hub.worker().register((call, policy)).start().unwrap();
    let mut called = Vec::new();
    for request in requests {
        let run = hub.client().start(call, request).await.unwrap();
        let result = run.output().await;
        called.push(Called { result, history: run.history().await.unwrap() });
    }
    hub.close().await.unwrap();
    called
}

pub(crate) async fn call_once(policy: HttpPolicy, request: HttpRequest) -> Called {
    calls(policy, vec![request]).await.remove(0)
}

/// The requests in a history.
pub(crate) fn requests(history: &[Arc<HistoryEvent>]) -> Vec<String> {
    let inputs = history.iter().filter_map(|event| match event.kind() {
        EventKind::TaskScheduled(task) => task.input.clone(),
        _ => None,
    });
    inputs.collect()
}
