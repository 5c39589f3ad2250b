//! A document pipeline: reads the texts of a folder, has a service check them over HTTP, asks a person
//! where something is doubtful, and stores or archives what comes of it.
//!
//! `cargo run --example document_pipeline -- docs`: all text and Markdown files under the folder; what
//! is doubtful is approved. Further arguments: `--reject` or `--silent` (a review that is given up
//! after one second in place of 48 hours), `--high` for high priority, `--failures N` to have the
//! service fail N times, and `--dir PATH` to keep the hub.

#[path = "document_pipeline/activities.rs"]
pub(crate) mod activities;
#[path = "document_pipeline/compliance.rs"]
mod compliance;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use activities::*;
use compliance::Stub;
use strandline::EventKind;
use strandline::prelude::*;
use tokio::sync::mpsc;

/// A text read with less confidence is reviewed.
const CONFIDENCE_MIN: f64 = 0.85;
pub(crate) const DOCUMENT_APPROVAL: Event<Approval> = Event::named("documentApproval");

/// One document's way through the pipeline.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) document: PathBuf,
    pub(crate) priority: Priority,
    pub(crate) limits: Limits,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Priority {
    High,
    Normal,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Reading and checking a document of high priority.
    pub(crate) high: Duration,
    /// Reading and checking any other.
    pub(crate) normal: Duration,
    pub(crate) review: Duration,
    /// Between the first two attempts to check a document.
    pub(crate) first_retry: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { high: minutes(10), normal: minutes(30), review: hours(48), first_retry: secs(5) }
    }
}

/// What the reviewer says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) approved: bool,
    pub(crate) by: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Completed,
    Timeout,
    Rejected,
}

/// How many documents came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) completed: u64,
    pub(crate) timeout: u64,
    pub(crate) rejected: u64,
    pub(crate) failed: u64,
}

#[entity]
impl Tally {
    /// Counts a result; none is a failure.
    pub fn count(&mut self, outcome: Option<Outcome>) {
        *match outcome {
            Some(Outcome::Completed) => &mut self.completed,
            Some(Outcome::Timeout) => &mut self.timeout,
            Some(Outcome::Rejected) => &mut self.rejected,
            None => &mut self.failed,
        } += 1;
    }
}

#[orchestrator(name = "DocumentPipeline")]
pub(crate) async fn document_pipeline(ctx: OrchestrationContext, job: Job) -> Result<Outcome> {
    let tally = ctx.entity::<Tally>("documents");
    match process(&ctx, &job).await {
        Ok(outcome) => {
            tally.count(Some(outcome)).await?;
            Ok(outcome)
        }
        Err(error) => {
            let report = (job.document, format!("{error:#}"));
            ctx.call(log_processing_error, report.clone()).await?;
            ctx.call(send_error_notification, report).await?;
            tally.count(None).await?;
            Err(error)
        }
    }
}

async fn process(ctx: &OrchestrationContext, job: &Job) -> Result<Outcome> {
    let Job { document, priority, limits } = job;
    let limit = match priority {
        Priority::High => limits.high,
        Priority::Normal => limits.normal,
    };
    let (extracted, issues) = match ctx.timeout(limit, examine(ctx, job)).await {
        Ok(examined) => examined,
        Err(error) if error.is::<TimeoutError>() => return Ok(Outcome::Timeout),
        Err(error) => return Err(error),
    };
    let Extracted { text, confidence } = extracted;

    if confidence < CONFIDENCE_MIN || !issues.is_empty() {
        let doubts = Doubts { document: document.clone(), confidence, issues };
        ctx.call(send_review_notification, doubts).await?;
        ctx.set_custom_status("waiting for documentApproval");
        select! {
            approval = ctx.wait_for(DOCUMENT_APPROVAL) => if !approval?.approved {
                ctx.call(archive_rejected_document, (document.clone(), text)).await?;
                return Ok(Outcome::Rejected);
            },
            _ = ctx.timer(limits.review) => {
                ctx.call(handle_approval_timeout, document.clone()).await?;
                return Ok(Outcome::Timeout);
            }
        }
    }
    try_join!(
        ctx.call(store_processed_document, (document.clone(), text)),
        ctx.call(send_completion_notification, document.clone()),
    )?;
    Ok(Outcome::Completed)
}

/// Reads a document and has it checked.
async fn examine(ctx: &OrchestrationContext, job: &Job) -> Result<(Extracted, Vec<String>)> {
    let extracted = ctx.call(extract_document_text, job.document.clone()).await?;
    let patient = RetryPolicy::new(job.limits.first_retry, 3).backoff_coefficient(2.0);
    let issues = ctx.call(validate_compliance.retry(patient), extracted.text.clone()).await?;
    Ok((extracted, issues))
}

/// What is done with the documents of a folder.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) priority: Priority,
    pub(crate) limits: Limits,
    /// What the reviewer answers, if anything.
    pub(crate) answer: Option<Approval>,
    /// How many requests the service fails at first.
    pub(crate) failures: usize,
}

impl Default for Plan {
    fn default() -> Self {
        let answer = Some(Approval { approved: true, by: "the reviewer".to_owned() });
        Self { priority: Priority::Normal, limits: Limits::default(), answer, failures: 0 }
    }
}

/// By document: the result, and the activities called.
type Ends = BTreeMap<PathBuf, (Result<Outcome>, Vec<String>)>;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) documents: Ends,
    pub(crate) tally: Tally,
    /// How many requests the service got.
    pub(crate) requests: usize,
}

pub(crate) async fn run(dir: &Path, folder: &Path, plan: Plan) -> Result<Report> {
    let Plan { priority, limits, answer, failures } = plan;
    let stub = Stub::start("a secret", failures).await?;
    let cabinet = dir.with_extension("cabinet");
    let (reviews, waiting) = mpsc::unbounded_channel();
    let hub = TaskHub::open(dir).await?;
    let reading = (extract_document_text, validate_compliance);
    let review = (send_review_notification, handle_approval_timeout, archive_rejected_document);
    let end = (store_processed_document, send_completion_notification);
    let errors = (log_processing_error, send_error_notification);
    hub.worker()
        .register((reading, review, end, errors, document_pipeline, Tally))
        .state(Office { service: stub.service(), cabinet: cabinet.clone(), reviews })
        .start()?;
    let client = hub.client();

    let mut instances = Vec::new();
    for document in documents(folder)? {
        let job = Job { document: document.clone(), priority, limits };
        instances.push((document, client.start(document_pipeline, job).await?));
    }
    let documents = tokio::select! {
        ended = ends_of(instances) => ended?,
        broken = answer_reviews(&client, waiting, answer) => match broken? {},
    };
    let tally = client.entity::<Tally>("documents").state().await?.unwrap_or_default();
    hub.close().await?;
    Ok(Report { documents, tally, requests: stub.requests() })
}

/// The reviewer. Returns only if answering fails.
async fn answer_reviews(
    client: &Client,
    mut waiting: mpsc::UnboundedReceiver<String>,
    answer: Option<Approval>,
) -> Result<Infallible> {
    while let (Some(id), Some(answer)) = (waiting.recv().await, &answer) {
        client.instance::<Outcome>(&id)?.raise(DOCUMENT_APPROVAL, answer.clone()).await?;
    }
    std::future::pending().await
}

/// The text and Markdown files under a folder, sorted.
fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut documents, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md" || e == "txt") {
                documents.push(path);
            }
        }
    }
    documents.sort();
    Ok(documents)
}

/// Waits for all of them.
async fn ends_of(instances: Vec<(PathBuf, Instance<Outcome>)>) -> Result<Ends> {
    let mut ends = Ends::new();
    for (document, instance) in instances {
        let outcome = instance.output().await;
        let history = instance.history().await?;
        let called = history.iter().filter_map(|event| match event.kind() {
            EventKind::TaskScheduled(task) => Some(task.name.clone()),
            _ => None,
        });
        ends.insert(document, (outcome, called.collect()));
    }
    Ok(ends)
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut folder, mut plan) = (temporary.path().join("hub"), None, Plan::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            "--high" => plan.priority = Priority::High,
            "--reject" => plan.answer.iter_mut().for_each(|answer| answer.approved = false),
            "--silent" => {
                plan.answer = None;
                plan.limits.review = secs(1);
            }
            "--failures" => {
                let number = arguments.next().context("--failures needs a number")?;
                plan.failures = number.parse().with_context(|| format!("'{number}' is not a number"))?;
            }
            path => folder = Some(PathBuf::from(path)),
        }
    }
    let report = run(&dir, &folder.context("which folder? Give its path")?, plan).await?;
    for (document, (outcome, called)) in &report.documents {
        let outcome = match outcome {
            Ok(outcome) => format!("{outcome:?}").to_lowercase(),
            Err(error) => format!("failed: {error}"),
        };
        println!("{} {outcome} after {}", document.display(), called.join(", "));
    }
    println!("{:?}; the service was called {} times", report.tally, report.requests);
    Ok(())
}
