//! What the orchestrator does, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;

use strandline::http::{HTTP_ACTIVITY, HttpRefused, HttpRequestError};
use strandline::prelude::*;
use strandline::{RuntimeStatus, TaskCanceledError};

use crate::support::{call, requests};

const JOB: &str = "https://jobs.example/start";

type Log = Rc<RefCell<Vec<HttpRequest>>>;

/// Answers in this order, the last one for ever, and remembers the requests.
fn answering(answers: Vec<HttpResponse>) -> (TestHub, Log) {
    let log = Log::default();
    let asked = log.clone();
    let mut answers = answers.into_iter().peekable();
    let hub = TestHub::new().register((call, both, hurried, race)).fake(HTTP_ACTIVITY, move |request| {
        asked.borrow_mut().push(request);
        let answer = answers.next().context("no answer is left")?;
        if answers.peek().is_none() {
            answers = vec![answer.clone()].into_iter().peekable();
        }
        Ok(answer)
    });
    (hub, log)
}

fn accepted(location: &str) -> HttpResponse {
    HttpResponse::new(202).with_header("Location", location)
}

#[test]
fn looks_again_until_it_is_done() {
    let wait = || accepted("/jobs/7").with_header("Retry-After", "2");
    let done = HttpResponse::new(200).with_content("made");
    let (hub, log) = answering(vec![wait(), wait(), wait(), done]);
    let request = HttpRequest::post(JOB)
        .header("Accept", "text/plain")
        .header("X-Functions-Key", "for one function")
        .header("Authorization", "Bearer x")
        .content("make it");
    let run = hub.start(call, request);
    for looks in 1..=3 {
        assert_eq!(log.borrow().len(), looks);
        hub.advance(millis(1999));
        assert_eq!(log.borrow().len(), looks);
        hub.advance(millis(1));
    }
    assert_eq!(run.output().content, "made");
    let log = log.borrow();
    assert_eq!((log[0].method.as_str(), log[0].content.as_deref()), ("POST", Some("make it")));
    assert_eq!(log[0].headers.get("x-functions-key"), Some("for one function"));
    for look in &log[1..] {
        assert_eq!((look.method.as_str(), look.uri.as_str()), ("GET", "https://jobs.example/jobs/7"));
        assert_eq!(look.headers.get("accept"), Some("text/plain"));
        assert_eq!(look.headers.get("authorization"), Some("Bearer x"));
        assert_eq!((look.headers.get("x-functions-key"), &look.content), (None, &None));
    }
}

#[test]
fn histories_look_like_those_of_durable_functions() {
    let (hub, _) = answering(vec![accepted("https://jobs.example/7"), HttpResponse::new(200)]);
    let run = hub.start(call, HttpRequest::post(JOB).header("A", "b").content("c"));
    hub.advance(secs(30));
    assert_eq!(run.output().status_code, 200);
    assert_eq!(
        requests(run.history().events()),
        [
            r#"{"method":"POST","uri":"https://jobs.example/start","headers":{"A":"b"},"content":"c","tokenSource":null,"asynchronousPatternEnabled":true,"retryOptions":null,"timeout":null}"#,
            r#"{"method":"GET","uri":"https://jobs.example/7","headers":{"A":"b"},"content":null,"tokenSource":null,"asynchronousPatternEnabled":true,"retryOptions":null,"timeout":null}"#,
        ]
    );
}

#[test]
fn waits_as_long_as_it_is_told_within_bounds() {
    let cases = [(None, secs(30)), (Some("0"), secs(1)), (Some("86400"), hours(1)), (Some("soon"), secs(30))];
    for (retry_after, pause) in cases {
        let first = accepted("/7");
        let first = match retry_after {
            Some(text) => first.with_header("retry-after", text),
            None => first,
        };
        let (hub, log) = answering(vec![first, HttpResponse::new(204)]);
        let run = hub.start(call, HttpRequest::get(JOB));
        hub.advance(pause - millis(1));
        assert_eq!(log.borrow().len(), 1, "{retry_after:?}");
        hub.advance(millis(1));
        assert_eq!(run.output().status_code, 204);
    }
}

#[test]
fn takes_202_as_an_answer_when_told_to() {
    let (hub, _) = answering(vec![HttpResponse::new(202)]);
    let run = hub.start(call, HttpRequest::get(JOB).without_polling());
    assert_eq!(run.output().status_code, 202);
}

#[test]
fn fails_where_the_answer_leads_nowhere() {
    let (hub, _) = answering(vec![HttpResponse::new(202)]);
    let error = hub.start(call, HttpRequest::get(JOB)).error();
    assert_eq!(error.error_type(), "KeyNotFoundException");
    assert!(error.message().contains("'Location'"), "{error}");

    let elsewhere = "https://other.example/7";
    let (hub, log) = answering(vec![accepted(elsewhere), HttpResponse::new(200)]);
    let error = hub.start(call, HttpRequest::get(JOB)).error();
    assert!(error.is::<HttpRefused>() && error.is_non_retriable(), "{error:?}");
    assert!(error.message().contains("location_origin"), "{error}");
    assert_eq!(log.borrow().len(), 1);

    let request = HttpRequest::get(JOB)
        .header("Authorization", "Bearer x")
        .header("Accept", "text/plain")
        .location_origin("https://other.example");
    let run = hub.start(call, request.header("Cookie", "a=b"));
    assert_eq!(run.output().status_code, 200, "the second answer is the last one");
    let (hub, log) = answering(vec![accepted(elsewhere), accepted("/8"), HttpResponse::new(200)]);
    let request = HttpRequest::get(JOB).header("Authorization", "Bearer x").header("Accept", "text/plain");
    let run = hub.start(call, request.location_origin("https://other.example"));
    hub.advance(minutes(1));
    assert_eq!(run.output().status_code, 200);
    let log = log.borrow();
    assert_eq!(log[0].headers.get("authorization"), Some("Bearer x"));
    assert_eq!(
        (log[1].headers.get("authorization"), log[1].headers.get("accept")),
        (None, Some("text/plain"))
    );
    assert_eq!(log[2].uri, "https://other.example/8");
}

#[test]
fn retries_each_look_by_itself() {
    let mut calls = 0;
    let hub = TestHub::new().register(call).fake(HTTP_ACTIVITY, move |_| {
        calls += 1;
        match calls {
            3 => Ok(accepted("/7").with_header("Retry-After", "5")),
            6 => Ok(HttpResponse::new(200)),
            _ => Err(Error::new("HttpRequestError", "the line is busy")),
        }
    });
    let options = HttpRetryOptions::new(secs(1), 3).backoff_coefficient(2.0);
    let run = hub.start(call, HttpRequest::get(JOB).retry(options.clone()));
    hub.advance(secs(1 + 2 + 5 + 1 + 2));
    assert_eq!(run.output().status_code, 200);
    let failing = hub.start(call, HttpRequest::get(JOB).retry(options));
    hub.advance(secs(3));
    assert!(failing.error().is::<HttpRequestError>());
    assert_eq!(requests(failing.history().events()).len(), 3);
}

#[orchestrator]
async fn both(ctx: OrchestrationContext, _: ()) -> Result<Vec<u16>> {
    let calls = [JOB, "https://other.example/"].map(|url| ctx.call_http(HttpRequest::get(url)));
    Ok(try_join_all(calls).await?.into_iter().map(|response| response.status_code).collect())
}

#[orchestrator]
async fn hurried(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let slow = ctx.timeout(secs(45), ctx.call_http(HttpRequest::get(JOB))).await;
    ctx.timer(hours(1)).await?;
    Ok(slow.unwrap_err().error_type().to_owned())
}

#[orchestrator]
async fn race(ctx: OrchestrationContext, _: ()) -> Result<String> {
    let mut slow = ctx.call_http(HttpRequest::get(JOB));
    let mut other = ctx.timer(secs(45));
    select! {
        response = &mut slow => bail!("answered {}", response?.status_code),
        fired = &mut other => fired?,
    }
    slow.cancel();
    Ok(slow.await.unwrap_err().error_type().to_owned())
}

#[test]
fn is_a_task_like_any_other() {
    let (hub, log) = answering(vec![accepted("/a"), accepted("/b"), HttpResponse::new(200)]);
    let run = hub.start(both, ());
    assert_eq!(log.borrow().len(), 2);
    hub.advance(secs(30));
    assert_eq!(run.output(), [200, 200]);
    let mut looks: Vec<_> = log.borrow()[2..].iter().map(|request| request.uri.clone()).collect();
    looks.sort();
    assert_eq!(looks, ["https://jobs.example/a", "https://other.example/b"]);
}

#[test]
fn looks_no_more_once_it_is_cancelled() {
    let (hub, log) = answering(vec![accepted("/a")]);
    let run = hub.start(hurried, ());
    hub.advance(hours(2));
    assert_eq!((run.output().as_str(), log.borrow().len()), ("TimeoutError", 2));

    let (hub, log) = answering(vec![accepted("/a")]);
    let run = hub.start(race, ());
    hub.advance(hours(2));
    let canceled = Error::from(TaskCanceledError);
    assert_eq!((run.output().as_str(), log.borrow().len()), (canceled.error_type(), 2));
    assert_eq!(run.status(), RuntimeStatus::Completed);
}

#[test]
fn refuses_multipart_content_at_once() {
    let (hub, log) = answering(vec![HttpResponse::new(200)]);
    let request =
        HttpRequest::post(JOB).header("content-type", "multipart/form-data; boundary=x").content("x");
    let error = hub.start(call, request).error();
    assert_eq!(error.message(), "Multipart content is not supported with CallHttpAsync.");
    assert!(log.borrow().is_empty());
}
