//! The waker of a whole execution, and what it can tell about who woke it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

thread_local! {
    /// Which execution this thread is feeding now: the address of its [`Signal`], or 0.
    static FEEDING: Cell<usize> = const { Cell::new(0) };
}

/// Says whether the orchestrator's future wants to be polled.
///
/// Durable tasks wake it only while its execution is being fed, on the thread that feeds it. Any
/// other wake comes from something replay cannot reproduce: a runtime's timer, a thread, a socket.
#[derive(Default)]
pub(crate) struct Signal {
    woken: AtomicBool,
    foreign: AtomicBool,
}

impl Signal {
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    pub(crate) fn raise(&self) {
        self.woken.store(true, Ordering::Release);
    }

    pub(crate) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Acquire)
    }

    /// Opens the window in which wakes are expected; it closes when the guard is dropped.
    pub(crate) fn feeding(self: &Arc<Self>) -> FeedingGuard {
        FeedingGuard { outer: FEEDING.replace(Arc::as_ptr(self).addr()) }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // A wake may come from the destructor of another thread's locals, when its own are gone.
        let feeding = FEEDING.try_with(Cell::get).unwrap_or(0);
        if feeding != Arc::as_ptr(self).addr() {
            self.foreign.store(true, Ordering::Release);
        }
        self.raise();
    }
}

pub(crate) struct FeedingGuard {
    outer: usize,
}

impl Drop for FeedingGuard {
    fn drop(&mut self) {
        FEEDING.set(self.outer);
    }
}
