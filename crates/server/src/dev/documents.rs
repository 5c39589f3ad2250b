//! The sample that puts documents through a pipeline. One in doubt waits for a reviewer.

use std::fs;
use std::path::{Path, PathBuf};

use strandline::Register;
use strandline::prelude::*;

use super::board::Board;
use super::demo::PACE;
use super::entities::Counter;
use super::files::Backup;

/// A text read with less confidence is reviewed.
const CONFIDENCE_MIN: f64 = 0.85;
/// In the repository: where its documents are.
const DOCS: &str = "docs";
/// What makes a document doubtful.
const FORBIDDEN: [&str; 2] = ["confidential", "password"];

pub(super) const DOCUMENT_APPROVAL: Event<Review> = Event::named("documentApproval");
pub(super) const ASKS_FOR_REVIEW: &str = "sendReviewNotification";
/// The activities a document can end with.
pub(super) const ENDS: [&str; 3] =
    ["storeProcessedDocument", "archiveRejectedDocument", "handleApprovalTimeout"];

/// Where processed and rejected documents go: beside the hub.
pub(super) struct Cabinet(pub(super) PathBuf);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    name: String,
    urgent: bool,
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Source {
    File(PathBuf),
    Text(String),
}

/// What the reviewer says.
#[derive(Serialize, Deserialize)]
pub(super) struct Review {
    pub(super) approved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Timeout,
    Rejected,
}

impl Outcome {
    pub(super) const ALL: [Self; 3] = [Self::Completed, Self::Timeout, Self::Rejected];

    /// The key of the counter that counts it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Completed => "documents-completed",
            Self::Timeout => "documents-timeout",
            Self::Rejected => "documents-rejected",
        }
    }
}

/// The documents of this repository if `place` is one, others otherwise; and one that is doubtful.
pub(super) fn documents(place: &Path) -> Vec<Document> {
    let text = |name: &str, text: &str| Document {
        name: name.to_owned(),
        urgent: true,
        source: Source::Text(text.to_owned()),
    };
    let mut documents = Vec::new();
    if place.join("crates/strandline").is_dir() {
        let mut folders = vec![place.join(DOCS)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    documents.push(Document { name, urgent: false, source: Source::File(path) });
                }
            }
        }
        documents.sort_by(|a, b| a.name.cmp(&b.name));
    }
    if documents.is_empty() {
        documents.push(text("welcome.md", "Durable functions go on where they were.\n"));
        documents.push(text("tides.md", "High water at 6:12 and 18:40.\n"));
    }
    documents.push(text("price-list.md", "Prices.\nConfidential until the first of May.\n"));
    documents
}

#[derive(Serialize, Deserialize)]
struct Extracted {
    text: String,
    /// The share of the document that is text.
    confidence: f64,
}

#[activity(name = "extractDocumentText")]
async fn extract_document_text(own: State<Backup>, document: Document) -> Result<Extracted> {
    tokio::time::sleep(PACE).await;
    let text = match document.source {
        Source::Text(text) => text,
        Source::File(path) => {
            let bytes =
                fs::read(own.inside(DOCS, &path)?).with_context(|| format!("reading {}", path.display()))?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    let garbage = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    let confidence = 1.0 - garbage as f64 / text.chars().count().max(1) as f64;
    Ok(Extracted { text, confidence })
}

#[activity(name = "validateCompliance")]
async fn validate_compliance(text: String) -> Result<Vec<String>> {
    tokio::time::sleep(PACE).await;
    let text = text.to_lowercase();
    let found = FORBIDDEN.into_iter().filter(|word| text.contains(word));
    Ok(found.map(|word| format!("it says '{word}'")).collect())
}

#[activity(name = "sendReviewNotification")]
async fn send_review_notification(board: State<Board>, (name, why): (String, String)) -> Result<()> {
    board.say(format_args!("DocumentPipeline: may we publish {name}? {why}"));
    Ok(())
}

#[activity(name = "handleApprovalTimeout")]
async fn handle_approval_timeout(board: State<Board>, name: String) -> Result<()> {
    board.step("DocumentPipeline", format_args!("nobody reviewed {name}"));
    Ok(())
}

#[activity(name = "archiveRejectedDocument")]
async fn archive_rejected_document(
    cabinet: State<Cabinet>,
    board: State<Board>,
    (name, text): (String, String),
) -> Result<()> {
    file(&cabinet.0.join("rejected"), &name, &text)?;
    board.step("DocumentPipeline", format_args!("{name} is rejected"));
    Ok(())
}

#[activity(name = "storeProcessedDocument")]
async fn store_processed_document(
    cabinet: State<Cabinet>,
    board: State<Board>,
    (name, text): (String, String),
) -> Result<()> {
    file(&cabinet.0.join("processed"), &name, &text)?;
    board.step("DocumentPipeline", name);
    Ok(())
}

/// Done twice it is filed once. Only the last part of the name counts: nothing lands outside the drawer.
fn file(drawer: &Path, name: &str, text: &str) -> Result<()> {
    let name = Path::new(name).file_name().with_context(|| format!("{name:?} is no name of a file"))?;
    let name = name.to_string_lossy();
    fs::create_dir_all(drawer)?;
    fs::write(drawer.join(&*name), text).with_context(|| format!("filing {name}"))
}

/// There is nobody to tell but the board, which knows.
#[activity(name = "sendCompletionNotification")]
async fn send_completion_notification(_name: String) -> Result<()> {
    tokio::time::sleep(PACE).await;
    Ok(())
}

#[activity(name = "logProcessingError")]
async fn log_processing_error(cabinet: State<Cabinet>, error: String) -> Result<()> {
    file(&cabinet.0, "ERROR", &error)
}

#[activity(name = "sendErrorNotification")]
async fn send_error_notification(board: State<Board>, error: String) -> Result<()> {
    board.say(format_args!("DocumentPipeline: {error}"));
    Ok(())
}

#[orchestrator(name = "DocumentPipeline")]
pub(super) async fn document_pipeline(ctx: OrchestrationContext, documents: Vec<Document>) -> Result<String> {
    // Not by the client: from here it comes after all that an instance counted which this one replaced.
    try_join_all(Outcome::ALL.map(|outcome| ctx.entity::<Counter>(outcome.key()).reset())).await?;
    let each = documents.into_iter().map(|document| counted(&ctx, document));
    match try_join_all(each).await {
        Ok(outcomes) => {
            let number = |outcome| outcomes.iter().filter(|other| **other == outcome).count();
            let told = Outcome::ALL.map(|outcome| format!("{} {outcome:?}", number(outcome)).to_lowercase());
            Ok(told.join(", "))
        }
        Err(error) => {
            ctx.call(log_processing_error, format!("{error:#}")).await?;
            ctx.call(send_error_notification, format!("{error:#}")).await?;
            Err(error)
        }
    }
}

async fn counted(ctx: &OrchestrationContext, document: Document) -> Result<Outcome> {
    let outcome = process(ctx, document).await?;
    ctx.entity::<Counter>(outcome.key()).add(1).await?;
    Ok(outcome)
}

async fn process(ctx: &OrchestrationContext, document: Document) -> Result<Outcome> {
    let name = document.name.clone();
    let limit = if document.urgent { minutes(10) } else { minutes(30) };
    let (Extracted { text, confidence }, issues) = match ctx.timeout(limit, examine(ctx, document)).await {
        Ok(examined) => examined,
        Err(error) if error.is::<TimeoutError>() => return Ok(Outcome::Timeout),
        Err(error) => return Err(error),
    };
    if confidence < CONFIDENCE_MIN || !issues.is_empty() {
        let why = format!("confidence {confidence:.2}, {}", issues.join(", "));
        ctx.call(send_review_notification, (name.clone(), why)).await?;
        select! {
            review = ctx.wait_for(DOCUMENT_APPROVAL) => if !review?.approved {
                ctx.call(archive_rejected_document, (name, text)).await?;
                return Ok(Outcome::Rejected);
            },
            _ = ctx.timer(hours(48)) => {
                ctx.call(handle_approval_timeout, name).await?;
                return Ok(Outcome::Timeout);
            }
        }
    }
    try_join!(
        ctx.call(store_processed_document, (name.clone(), text)),
        ctx.call(send_completion_notification, name),
    )?;
    Ok(Outcome::Completed)
}

async fn examine(ctx: &OrchestrationContext, document: Document) -> Result<(Extracted, Vec<String>)> {
    let extracted = ctx.call(extract_document_text, document).await?;
    let patient = RetryPolicy::new(secs(5), 3).backoff_coefficient(2.0);
    let issues = ctx.call(validate_compliance.retry(patient), extracted.text.clone()).await?;
    Ok((extracted, issues))
}

/// Everything above.
pub(super) fn functions() -> impl Register {
    (
        (document_pipeline, extract_document_text, validate_compliance),
        (send_review_notification, handle_approval_timeout, archive_rejected_document),
        (store_processed_document, send_completion_notification),
        (log_processing_error, send_error_notification),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_filed_where_a_caller_says() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let drawer = dir.path().join("drawer");
        file(&drawer, "../../up.md", "x")?;
        file(&drawer, &dir.path().join("root.md").to_string_lossy(), "x")?;
        assert!(drawer.join("up.md").is_file() && drawer.join("root.md").is_file());
        assert!(file(&drawer, "..", "x").is_err() && file(&drawer, "", "x").is_err());

        let source = dir.path().to_owned();
        fs::create_dir(source.join(DOCS))?;
        fs::write(source.join(DOCS).join("a.md"), "a")?;
        fs::write(source.join("secret"), "s")?;
        let own = Backup { source: source.clone(), target: source.clone(), hub: source.clone() };
        assert!(own.inside(DOCS, &source.join("docs/a.md")).is_ok());
        for outside in [source.join("secret"), source.join("docs/../secret"), "/etc/hostname".into()] {
            assert!(own.inside(DOCS, &outside).is_err(), "{}", outside.display());
        }
        Ok(())
    }

    #[test]
    fn takes_the_documents_of_the_repository_where_there_is_one() {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let names = |place: &Path| documents(place).into_iter().map(|d| d.name).collect::<Vec<_>>();
        let here = names(&repository);
        assert!(
            here.contains(&"determinism.md".to_owned())
                && here.is_sorted_by(|a, b| a < b || b == "price-list.md")
        );
        assert_eq!(names(Path::new("/nowhere")), ["welcome.md", "tides.md", "price-list.md"]);
    }
}
