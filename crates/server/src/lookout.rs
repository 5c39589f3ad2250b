//! Files that are looked at again while a server runs.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::Instant;

/// When a file was looked at last, and what was wrong with it then.
pub(crate) struct Lookout {
    looked: Instant,
    complaint: Option<String>,
}

impl Lookout {
    /// The file was looked at just now, and was fine.
    pub(crate) fn new() -> Self {
        Self { looked: Instant::now(), complaint: None }
    }

    /// Whether the last look is older than this. If it is, the caller looks now.
    pub(crate) fn is_due(&mut self, after: Duration) -> bool {
        let due = self.looked.elapsed() >= after;
        if due {
            self.looked = Instant::now();
        }
        due
    }

    pub(crate) fn looked(&self) -> Instant {
        self.looked
    }

    /// Nothing is wrong with the file.
    pub(crate) fn praise(&mut self) {
        self.complaint = None;
    }

    /// The file can't be used; `what` is what becomes of that. Said once as long as it is the same.
    pub(crate) fn complain(&mut self, what: &str, error: &impl Display) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!("{what}: {complaint}");
            self.complaint = Some(complaint);
        }
    }
}
