//! Requests over real sockets.

use strandline::http::{HTTP_ACTIVITY, HttpPolicy, HttpRequestError, Resolve, Resolving};
use strandline::prelude::*;
use strandline::{EventKind, Registry, RuntimeStatus};

use crate::stub::{Answer, Stub};
use crate::support::{call, call_once, calls, reaching};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_followed_to_its_result() {
    let mut looks = 0;
    let stub = Stub::start(move |_| {
        looks += 1;
        match looks {
            4 => Answer::new(200).header("x-made-by", "me").body("made"),
            _ => Answer::new(202).header("location", "jobs/7").header("retry-after", "1"),
        }
    })
    .await;
    let request =
        HttpRequest::post(stub.url("/a/start?x=1")).header("X-Functions-Key", "k").content("make it");
    let called = call_once(reaching(&[&stub]), request).await;
    assert_eq!((called.response().status_code, called.response().content.as_str()), (200, "made"));
    assert_eq!(called.response().header("X-Made-By"), Some("me"));
    let received = stub.received();
    assert_eq!(stub.lines()[..2], ["POST /a/start?x=1", "GET /a/jobs/7"]);
    assert_eq!(received.len(), 4);
    assert_eq!(
        (received[0].body.as_str(), received[0].header("content-type")),
        ("make it", Some("text/plain"))
    );
    assert_eq!((received[1].header("x-functions-key"), received[1].header("content-type")), (None, None));
    assert!(received[0].header("user-agent").unwrap().starts_with("strandline/"));
    assert_eq!((called.count("TimerFired"), called.count("TaskCompleted")), (3, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_is_an_answer_unless_it_is_retried() {
    let stub = Stub::start(|received| match received.target.as_str() {
        "/404" => Answer::new(404).body("no"),
        "/304" => Answer::new(304),
        _ => Answer::new(503),
    })
    .await;
    let once = || HttpRetryOptions::new(millis(1), 2);
    let get = |path: &str| HttpRequest::get(stub.url(path));
    let requests = vec![
        get("/404"),
        get("/503"),
        get("/503").retry(once()),
        get("/304").retry(once()),
        get("/404").retry(once().status_codes([503])),
        get("/503").retry(once().status_codes([503])),
    ];
    let called = calls(reaching(&[&stub]), requests).await;
    let statuses = |n: usize| called[n].response().status_code;
    assert_eq!((statuses(0), statuses(1), statuses(4)), (404, 503, 404));
    for n in [2, 3, 5] {
        assert!(called[n].error().is::<HttpRequestError>() && !called[n].error().is_non_retriable());
        assert_eq!(called[n].count("TaskFailed"), 2);
    }
    assert_eq!(
        called[2].error().message(),
        "Response status code does not indicate success: 503 (Service Unavailable)."
    );
    assert_eq!(called[5].error().message(), "Status code 503 received, retry requested.");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_with_the_first_answer() {
    let mut asked = 0;
    let stub = Stub::start(move |_| {
        asked += 1;
        Answer::new(if asked < 3 { 500 } else { 200 })
    })
    .await;
    let request = HttpRequest::put(stub.url("/")).content("x").retry(HttpRetryOptions::new(millis(1), 5));
    let called = call_once(reaching(&[&stub]), request).await;
    assert_eq!(called.response().status_code, 200);
    assert_eq!((called.count("TaskFailed"), called.count("TaskScheduled")), (2, 3));
    assert_eq!(stub.lines(), ["PUT /", "PUT /", "PUT /"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_in_time() {
    let stub = Stub::start(|_| Answer::none()).await;
    let get = || HttpRequest::get(stub.url("/"));
    let policy = reaching(&[&stub]).timeout(millis(300));
    let called = calls(policy, vec![get().timeout(millis(50)), get(), get().timeout(hours(1))]).await;
    for called in &called {
        assert!(called.error().is::<TimeoutError>() && !called.error().is_non_retriable());
    }
    let text = called[0].error().message();
    assert!(text.ends_with("Reached user specified timeout: 00:00:00.0500000."), "{text}");
    assert!(called[2].error().message().contains("call_http.timeout"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_others_counts_in_the_timeout() -> Result<()> {
    let stub = Stub::start(|_| Answer::none()).await;
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((call, reaching(&[&stub]).max_requests(1).timeout(hours(1)))).start()?;
    let first = hub.client().start(call, HttpRequest::get(stub.url("/first"))).await?;
    while stub.lines().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = HttpRequest::get(stub.url("/second")).timeout(millis(50));
    let error = hub.client().start(call, waiting).await?.output().await.unwrap_err();
    assert!(error.is::<TimeoutError>(), "{error}");
    assert_eq!(stub.lines(), ["GET /first"]);
    assert_eq!(first.status().await?.unwrap().status, RuntimeStatus::Running);
    // Not closed: that would wait for the first.
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_a_few_times() {
    let other = Stub::start(|_| Answer::new(200).body("there")).await;
    let there = other.url("/there");
    let stub = Stub::start(move |received| match received.target.as_str() {
        "/moved" => Answer::new(301).header("location", "/here"),
        "/kept" => Answer::new(307).header("location", "/here"),
        "/far" => Answer::new(308).header("location", there.clone()),
        "/round" => Answer::new(302).header("location", "/round"),
        "/nowhere" => Answer::new(302),
        _ => Answer::new(200).body(format!("{} {}", received.method, received.body)),
    })
    .await;
    let post = |path: &str| HttpRequest::post(stub.url(path)).content("x");
    let far = post("/far").header("Authorization", "Bearer x").header("Accept", "text/plain");
    let requests = vec![post("/moved"), post("/kept"), far, post("/round"), post("/nowhere")];
    let called = calls(reaching(&[&stub, &other]), requests).await;
    let content = |n: usize| called[n].response().content.as_str();
    assert_eq!((content(0), content(1), content(2)), ("GET ", "POST x", "there"));
    assert_eq!((called[3].response().status_code, called[4].response().status_code), (302, 302));
    assert_eq!(stub.lines().iter().filter(|line| line.ends_with("/round")).count(), 6, "one and five more");
    let received = &other.received()[0];
    assert_eq!((received.line().as_str(), received.body.as_str()), ("POST /there", "x"));
    assert_eq!((received.header("authorization"), received.header("accept")), (None, Some("text/plain")));

    let none = call_once(reaching(&[&stub]).max_redirects(0), post("/moved")).await;
    assert_eq!(none.response().status_code, 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_202_says_when_and_where_to_look() {
    let stub = Stub::start(|received| match received.target.as_str() {
        "/start" => Answer::new(307).header("location", "/deep/start"),
        "/deep/start" => Answer::new(202).header("location", "7"),
        _ => Answer::new(200).body("made"),
    })
    .await;
    let policy = || reaching(&[&stub]).async_request_sleep(millis(700));
    let called = call_once(policy(), HttpRequest::post(stub.url("/start"))).await;
    assert_eq!(called.response().content, "made");
    assert_eq!(stub.lines(), ["POST /start", "POST /deep/start", "GET /deep/7"]);
    for (said, becomes) in
        [(None, "1"), (Some("Wed, 21 Oct 2015 07:28:00 GMT"), "1"), (Some("-1"), "1"), (Some("2"), "2")]
    {
        let stub = Stub::start(move |received| match (received.method.as_str(), said) {
            ("GET", _) => Answer::new(200),
            (_, None) => Answer::new(202).header("location", "/7"),
            (_, Some(said)) => Answer::new(202).header("location", "/7").header("retry-after", said),
        })
        .await;
        let policy = reaching(&[&stub]).async_request_sleep(millis(700));
        let called = call_once(policy, HttpRequest::post(stub.url("/start"))).await;
        let accepted = called.history.iter().find_map(|event| match event.kind() {
            EventKind::TaskCompleted(task) => task.result.clone(),
            _ => None,
        });
        let accepted: HttpResponse = serde_json::from_str(&accepted.unwrap()).unwrap();
        assert_eq!(accepted.headers.all("retry-after").collect::<Vec<_>>(), [becomes], "{said:?}");
    }
    let as_it_is = call_once(policy(), HttpRequest::get(stub.url("/deep/start")).without_polling()).await;
    assert_eq!(as_it_is.response().header("retry-after"), None);
}

/// Fails at first, as a name server that is away does.
struct Away(std::sync::atomic::AtomicU32);

impl Resolve for Away {
    fn resolve(&self, _: &str) -> Resolving {
        let asked = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let found = (asked > 1).then(|| vec![[127, 0, 0, 1].into()]);
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("nobody answers")) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_found_is_looked_up_again() {
    let stub = Stub::start(|_| Answer::new(200)).await;
    let host = format!("build.internal:{}", stub.address.port());
    let policy = HttpPolicy::new().allow(&host).resolver(Away(0.into()));
    let request =
        HttpRequest::get(format!("http://{host}/?key=abc")).retry(HttpRetryOptions::new(millis(1), 3));
    let called = call_once(policy, request).await;
    assert_eq!((called.response().status_code, called.count("TaskFailed")), (200, 2));

    let policy = HttpPolicy::new().allow(&host).resolver(Away(0.into()));
    let called = call_once(policy, HttpRequest::get(format!("http://{host}/?key=abc"))).await;
    let text = called.error().message();
    assert!(called.error().is::<HttpRequestError>() && text.contains("not found"), "{text}");
    assert!(text.contains("build.internal") && !text.contains("abc"), "{text}");
}

#[orchestrator]
async fn as_others_write_it(ctx: OrchestrationContext, url: String) -> Result<Json> {
    const ANY: Activity<Json, Json> = Activity::named("builtin::HTTPACTIVITY");
    let retry = serde_json::json!({ "FirstRetryInterval": "00:00:05", "MaxNumberOfAttempts": 0 });
    let request = serde_json::json!([{ "method": { "Method": "GET" }, "uri": url, "headers": null }]);
    assert!(ctx.call(ANY, request).await.is_err(), "a method is a text");
    let request = serde_json::json!([{
        "method": "get", "uri": url, "headers": { "A": ["b", "c"] }, "retryOptions": retry, "other": 1,
    }]);
    ctx.call(ANY, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_what_other_sdks_ask_for() -> Result<()> {
    let stub = Stub::start(|received| Answer::new(200).body(received.header("a").unwrap_or("-"))).await;
    let hub = TaskHub::in_memory().await?;
    hub.worker().register((as_others_write_it, reaching(&[&stub]))).start()?;
    let answer = hub.client().start(as_others_write_it, stub.url("/")).await?.output().await?;
    assert_eq!((&answer["statusCode"], &answer["content"]), (&200.into(), &"b".into()));
    assert_eq!(answer["headers"]["content-length"], "1");
    hub.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_somebody_who_sends_it() -> Result<()> {
    let stub = Stub::start(|_| Answer::new(200)).await;
    let hub = TaskHub::in_memory().await?;
    hub.worker().register(call).start()?;
    let run = hub.client().start(call, HttpRequest::get(stub.url("/"))).await?;
    loop {
        let history = run.history().await?;
        if history.iter().any(|event| event.kind().name() == "TaskScheduled") {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(run.status().await?.unwrap().status, RuntimeStatus::Running);
    hub.worker().register((call, reaching(&[&stub]))).start()?;
    assert_eq!(run.output().await?.status_code, 200);
    hub.close().await
}

#[test]
fn a_wrong_policy_is_told_when_the_worker_is_built() {
    let wrong = HttpPolicy::new().allow("a b").timeout(Duration::ZERO);
    let error = Registry::new().register(wrong).build().unwrap_err();
    for part in [HTTP_ACTIVITY.name(), "\"a b\"", "timeout"] {
        assert!(error.message().contains(part), "{error}");
    }
}
