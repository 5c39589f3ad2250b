//! Failed attempts, as the log has them.

use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::keys::{Key, KeyId};

use super::ring::Reason;

/// Most lines a minute: whoever fails must not fill the disk.
const LINES_MAX: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Logs failed attempts, not all of them.
#[derive(Default)]
pub(super) struct Attempts(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    began: Option<Instant>,
    lines: u32,
    unlogged: u64,
}

impl Attempts {
    /// Somebody was not let in.
    pub(super) fn failed(&self, reason: Reason, path: &str, key: Option<&str>, peer: Option<SocketAddr>) {
        let Some(unlogged) = self.0.lock().admit() else { return };
        // Ids are no secrets, and nothing but hex digits.
        let id: Option<KeyId> = key.and_then(|text| Some(Key::parse(text).ok()?.id().clone()));
        let key = id.map(tracing::field::display);
        let peer = peer.map(tracing::field::display);
        let method: String = path.chars().take(100).collect();
        tracing::warn!(?reason, method, key, peer, unlogged, "a caller without a valid access key");
    }
}

impl Minute {
    /// How many were passed over since the last line, if there may be a line now.
    fn admit(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.began.is_none_or(|began| now.duration_since(began) >= MINUTE) {
            self.began = Some(now);
            self.lines = 0;
        }
        if self.lines >= LINES_MAX {
            self.unlogged += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_leaves_a_few_lines_and_a_count() {
        let mut minute = Minute::default();
        let lines = (0..1000).filter(|_| minute.admit().is_some()).count();
        assert_eq!(lines, LINES_MAX as usize);
        tokio::time::advance(MINUTE).await;
        assert_eq!(minute.admit(), Some(1000 - u64::from(LINES_MAX)));
        assert_eq!(minute.admit(), Some(0));
    }
}
