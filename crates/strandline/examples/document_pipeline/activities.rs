//! The activities of the document pipeline.

use std::fs;
use std::path::{Path, PathBuf};

use strandline::prelude::*;
use tokio::sync::mpsc;

use super::compliance::Service;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Extracted {
    pub(crate) text: String,
    /// The share of the document that is text.
    pub(crate) confidence: f64,
}

/// Why a document is reviewed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Doubts {
    pub(crate) document: PathBuf,
    pub(crate) confidence: f64,
    pub(crate) issues: Vec<String>,
}

/// What the activities work with.
pub(crate) struct Office {
    pub(crate) service: Service,
    /// Where documents go.
    pub(crate) cabinet: PathBuf,
    /// Instances that wait for a reviewer.
    pub(crate) reviews: mpsc::UnboundedSender<String>,
}

impl Office {
    /// Files a text; done twice it is filed once.
    fn file(&self, drawer: &str, document: &Path, text: &str) -> Result<()> {
        let folder = self.cabinet.join(drawer);
        fs::create_dir_all(&folder)?;
        let name = document.file_name().context("a document has a name")?;
        fs::write(folder.join(name), text).with_context(|| format!("filing {}", document.display()))
    }
}

#[activity(name = "extractDocumentText")]
pub(crate) async fn extract_document_text(document: PathBuf) -> Result<Extracted> {
    let bytes = fs::read(&document).with_context(|| format!("reading {}", document.display()))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_text = |c: &char| *c != char::REPLACEMENT_CHARACTER && (!c.is_control() || c.is_whitespace());
    let characters = text.chars().count().max(1);
    let confidence = text.chars().filter(is_text).count() as f64 / characters as f64;
    Ok(Extracted { text, confidence })
}

#[activity(name = "validateCompliance")]
pub(crate) async fn validate_compliance(office: State<Office>, text: String) -> Result<Vec<String>> {
    office.service.issues(&text).await
}

#[activity(name = "sendReviewNotification")]
pub(crate) async fn send_review_notification(
    office: State<Office>,
    ctx: ActivityContext,
    doubts: Doubts,
) -> Result<()> {
    let (document, confidence) = (doubts.document.display(), doubts.confidence);
    println!("please review {document}: confidence {confidence:.2}, issues {:?}", doubts.issues);
    office.reviews.send(ctx.instance_id().to_string()).context("the reviewer has left")
}

#[activity(name = "handleApprovalTimeout")]
pub(crate) async fn handle_approval_timeout(document: PathBuf) -> Result<()> {
    println!("nobody reviewed {}", document.display());
    Ok(())
}

#[activity(name = "archiveRejectedDocument")]
pub(crate) async fn archive_rejected_document(
    office: State<Office>,
    (document, text): (PathBuf, String),
) -> Result<()> {
    office.file("rejected", &document, &text)
}

#[activity(name = "storeProcessedDocument")]
pub(crate) async fn store_processed_document(
    office: State<Office>,
    (document, text): (PathBuf, String),
) -> Result<()> {
    office.file("processed", &document, &text)
}

#[activity(name = "sendCompletionNotification")]
pub(crate) async fn send_completion_notification(document: PathBuf) -> Result<()> {
    println!("processed {}", document.display());
    Ok(())
}

#[activity(name = "logProcessingError")]
pub(crate) async fn log_processing_error(
    office: State<Office>,
    (document, error): (PathBuf, String),
) -> Result<()> {
    office.file("errors", &document, &error)
}

#[activity(name = "sendErrorNotification")]
pub(crate) async fn send_error_notification((document, error): (PathBuf, String)) -> Result<()> {
    println!("could not process {}: {error}", document.display());
    Ok(())
}
