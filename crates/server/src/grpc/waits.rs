//! Calls that wait for an instance without saying how long.
//!
//! Some clients stop waiting without ending the call, so it would stay open as long as the instance goes
//! on, and a connection has just so many streams. On each connection the newest of them wait as long as it
//! takes; the oldest make room.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Calls on one connection that may wait without a deadline.
const WAITS_MAX: usize = 200;

/// The waiting calls of one connection. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waits {
    /// Their ends, the oldest first.
    open: Arc<Mutex<VecDeque<CancellationToken>>>,
}

/// A place among the calls that wait.
pub(crate) struct Wait {
    /// Fires when a newer call needs the place.
    pub(super) displaced: CancellationToken,
    _left: DropGuard,
}

impl Waits {
    /// Takes a place; the oldest call loses its own if there are too many.
    pub(crate) fn enter(&self) -> Wait {
        let displaced = CancellationToken::new();
        let mut open = self.open.lock();
        open.retain(|call| !call.is_cancelled());
        if open.len() >= WAITS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.cancel();
        }
        open.push_back(displaced.clone());
        // When the call is over the token fires, too: by that it is known as gone.
        Wait { displaced: displaced.clone(), _left: displaced.drop_guard() }
    }
}

/// Returns when a newer call takes the place; without one, never.
pub(crate) async fn displaced(wait: Option<&Wait>) {
    match wait {
        Some(wait) => wait.displaced.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let waits = Waits::default();
        let mut calls: Vec<_> = (0..WAITS_MAX).map(|_| waits.enter()).collect();
        assert!(calls.iter().all(|call| !call.displaced.is_cancelled()));
        // A call that is over needs no other's place.
        drop(calls.remove(7));
        calls.push(waits.enter());
        assert!(calls.iter().all(|call| !call.displaced.is_cancelled()));
        calls.push(waits.enter());
        let displaced: Vec<_> = calls.iter().map(|call| call.displaced.is_cancelled()).collect();
        assert!(displaced[0] && displaced[1..].iter().all(|displaced| !displaced));
    }
}
