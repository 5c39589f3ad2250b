//! The document pipeline: each way a document can go, and how long it may take.

use std::fs;

use strandline::prelude::*;
use tempfile::{TempDir, tempdir};

use crate::document_pipeline as example;
use example::activities::*;
use example::{Approval, DOCUMENT_APPROVAL, Job, Limits, Outcome, Plan, Priority, Tally, document_pipeline};

/// Puts one document with this content through the pipeline.
async fn pipeline(content: &[u8], plan: Plan) -> Result<(TempDir, Ending)> {
    let dir = tempdir()?;
    let folder = dir.path().join("documents/inbox");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("offer.md"), content)?;
    fs::write(folder.join("offer.png"), "no text")?;
    let report = example::run(&dir.path().join("hub"), &dir.path().join("documents"), plan).await?;
    let (outcome, called) = report.documents.into_values().next().context("one document")?;
    let outcome = outcome.map_err(|error| error.to_string());
    Ok((dir, Ending { outcome, called: called.join(" "), tally: report.tally, requests: report.requests }))
}

struct Ending {
    outcome: Result<Outcome, String>,
    called: String,
    tally: Tally,
    requests: usize,
}

#[tokio::test]
async fn completes_a_document_without_doubts() -> Result<()> {
    let (dir, end) = pipeline(b"An offer.\n", Plan::default()).await?;
    assert_eq!((end.outcome, end.requests), (Ok(Outcome::Completed), 1));
    let called = "extractDocumentText validateCompliance storeProcessedDocument sendCompletionNotification";
    assert_eq!(end.called, called);
    assert_eq!(end.tally, Tally { completed: 1, ..Tally::default() });
    assert_eq!(fs::read_to_string(dir.path().join("hub.cabinet/processed/offer.md"))?, "An offer.\n");
    Ok(())
}

#[tokio::test]
async fn stores_what_the_reviewer_approves() -> Result<()> {
    // An issue, and a text that is hardly one.
    for content in [&b"Our password.\n"[..], b"\xff\xfe\0\0\x01offer"] {
        let (dir, end) = pipeline(content, Plan::default()).await?;
        assert_eq!(end.outcome, Ok(Outcome::Completed));
        let called = "extractDocumentText validateCompliance sendReviewNotification \
                      storeProcessedDocument sendCompletionNotification";
        assert_eq!(end.called, called);
        assert!(dir.path().join("hub.cabinet/processed/offer.md").is_file());
    }
    Ok(())
}

#[tokio::test]
async fn archives_what_the_reviewer_rejects() -> Result<()> {
    let answer = Some(Approval { approved: false, by: "me".to_owned() });
    let (dir, end) = pipeline(b"Confidential.\n", Plan { answer, ..Plan::default() }).await?;
    assert_eq!(end.outcome, Ok(Outcome::Rejected));
    let called = "extractDocumentText validateCompliance sendReviewNotification archiveRejectedDocument";
    assert_eq!(end.called, called);
    assert_eq!(end.tally, Tally { rejected: 1, ..Tally::default() });
    assert_eq!(fs::read_to_string(dir.path().join("hub.cabinet/rejected/offer.md"))?, "Confidential.\n");
    Ok(())
}

#[tokio::test]
async fn gives_up_a_review_nobody_makes() -> Result<()> {
    let limits = Limits { review: millis(100), ..Limits::default() };
    let plan = Plan { limits, answer: None, ..Plan::default() };
    let (dir, end) = pipeline(b"Lorem ipsum.\n", plan).await?;
    assert_eq!(end.outcome, Ok(Outcome::Timeout));
    let called = "extractDocumentText validateCompliance sendReviewNotification handleApprovalTimeout";
    assert_eq!(end.called, called);
    assert_eq!(end.tally, Tally { timeout: 1, ..Tally::default() });
    assert!(!dir.path().join("hub.cabinet").exists());
    Ok(())
}

#[tokio::test]
async fn asks_a_service_that_fails_three_times() -> Result<()> {
    let limits = Limits { first_retry: millis(20), ..Limits::default() };
    let (_dir, end) = pipeline(b"An offer.\n", Plan { limits, failures: 2, ..Plan::default() }).await?;
    assert_eq!((end.outcome, end.requests), (Ok(Outcome::Completed), 3));
    assert_eq!(end.called.matches("validateCompliance").count(), 3);

    let (dir, end) = pipeline(b"An offer.\n", Plan { limits, failures: 3, ..Plan::default() }).await?;
    let message = "the compliance service answered 503 Service Unavailable";
    assert_eq!((end.outcome, end.requests), (Err(message.to_owned()), 3));
    assert!(end.called.ends_with("validateCompliance logProcessingError sendErrorNotification"));
    assert_eq!(end.tally, Tally { failed: 1, ..Tally::default() });
    assert_eq!(fs::read_to_string(dir.path().join("hub.cabinet/errors/offer.md"))?, message);
    Ok(())
}

/// The pipeline in virtual time, all of whose activities do nothing.
fn pipeline_in_virtual_time(issues: &'static [&str]) -> TestHub {
    let doubts = issues.iter().map(|issue| (*issue).to_owned()).collect::<Vec<_>>();
    TestHub::new()
        .register((document_pipeline, Tally::default()))
        .fake(extract_document_text, |_| Ok(Extracted { text: "An offer.".to_owned(), confidence: 1.0 }))
        .fake(validate_compliance, move |_| Ok(doubts.clone()))
        .fake(send_review_notification, |_| Ok(()))
        .fake(handle_approval_timeout, |_| Ok(()))
        .fake(store_processed_document, |_| Ok(()))
        .fake(send_completion_notification, |_| Ok(()))
}

fn job(priority: Priority) -> Job {
    Job { document: "offer.md".into(), priority, limits: Limits::default() }
}

#[test]
fn a_review_takes_two_days_at_most() {
    let hub = pipeline_in_virtual_time(&["a doubt"]);
    let [late, early] = [(); 2].map(|()| hub.start(document_pipeline, job(Priority::Normal)));
    hub.advance(hours(48) - secs(1));
    assert_eq!(late.custom_status::<String>().as_deref(), Some("waiting for documentApproval"));
    early.raise(DOCUMENT_APPROVAL, Approval { approved: true, by: "me".to_owned() });
    assert_eq!(early.output(), Outcome::Completed);
    hub.advance(secs(1));
    assert_eq!(late.output(), Outcome::Timeout);
}

#[test]
fn high_priority_is_given_up_earlier() {
    for (priority, limit) in [(Priority::High, minutes(10)), (Priority::Normal, minutes(30))] {
        for (takes, outcome) in [(limit, Outcome::Timeout), (limit - secs(1), Outcome::Completed)] {
            let hub = pipeline_in_virtual_time(&[]).takes(validate_compliance, takes);
            let run = hub.start(document_pipeline, job(priority));
            hub.advance(limit);
            assert_eq!(run.output(), outcome, "{priority:?} {takes:?}");
        }
    }
}

#[test]
fn the_service_is_asked_again_after_5_and_10_seconds() {
    let hub = pipeline_in_virtual_time(&[]).fail(validate_compliance, 2, Error::msg("busy"));
    let run = hub.start(document_pipeline, job(Priority::Normal));
    hub.advance(secs(5 + 10) - millis(1));
    assert_eq!(run.status(), strandline::RuntimeStatus::Running);
    hub.advance(millis(1));
    assert_eq!(run.output(), Outcome::Completed);
}
