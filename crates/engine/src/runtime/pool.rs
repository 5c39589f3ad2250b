//! Threads for activities, which may block or burn CPU without stalling each other.
//!
//! A small executor: when every thread has been inside one poll for a while and work waits, another
//! thread joins; a thread that finds nothing to do for a while leaves. Futures are polled inside the
//! program's tokio runtime, so its timers and sockets work as usual.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_task::Runnable;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

/// How long work may wait with all threads busy before another thread joins.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a thread stays without work: a hub that does nothing has none.
const LINGER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct ActivityPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Work came in.
    work: Condvar,
    /// The watchdog should look.
    watch: Condvar,
    handle: Handle,
    threads_min: usize,
    threads_max: usize,
    /// Polls begun, to see whether anything moves.
    polls: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    runnables: VecDeque<Runnable>,
    threads: usize,
    idle: usize,
    /// A watchdog is there, and whether it is looking at the moment.
    watched: bool,
    watching: bool,
    closed: bool,
}

impl ActivityPool {
    pub fn new(handle: Handle, threads_min: usize, threads_max: usize) -> Self {
        let threads_min = threads_min.max(1);
        let shared = Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
            handle,
            threads_min,
            threads_max: threads_max.max(threads_min),
            polls: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let shared = self.shared.clone();
        let (runnable, task) = async_task::spawn(future, move |runnable| shared.push(runnable));
        runnable.schedule();
        task.detach();
    }
}

impl Drop for ActivityPool {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        queue.closed = true;
        let abandoned = std::mem::take(&mut queue.runnables);
        self.shared.work.notify_all();
        self.shared.watch.notify_all();
        // Futures are dropped without the lock: their code may wake others.
        drop(queue);
        drop(abandoned);
    }
}

impl Shared {
    fn push(self: &Arc<Self>, runnable: Runnable) {
        let mut queue = self.queue.lock();
        if queue.closed {
            // Dropping it here, under the lock, could run code of the future.
            drop(queue);
            return;
        }
        queue.runnables.push_back(runnable);
        if queue.idle > 0 {
            self.work.notify_one();
        }
        // Idle threads may have been woken for work that came before.
        if queue.runnables.len() <= queue.idle {
            return;
        }
        if queue.threads < self.threads_min {
            queue.threads += 1;
            self.start_thread();
        } else if !queue.watched {
            queue.watched = true;
            let watched = self.clone();
            spawn_named("strandline-watch", move || watched.watch());
        } else if !queue.watching {
            self.watch.notify_one();
        }
    }

    fn start_thread(self: &Arc<Self>) {
        let shared = self.clone();
        spawn_named("strandline-activity", move || shared.work());
    }

    fn work(&self) {
        let _context = self.handle.enter();
        let mut queue = self.queue.lock();
        loop {
            if let Some(runnable) = queue.runnables.pop_front() {
                drop(queue);
                self.polls.fetch_add(1, Ordering::Relaxed);
                // A panic of user code was caught and recorded further in; this is the last resort.
                let _ = catch_unwind(AssertUnwindSafe(|| runnable.run()));
                queue = self.queue.lock();
                continue;
            }
            if queue.closed {
                break;
            }
            queue.idle += 1;
            let timed_out = self.work.wait_for(&mut queue, LINGER).timed_out();
            queue.idle -= 1;
            if timed_out && queue.runnables.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    /// Adds a thread when work waits and no thread took any for a while.
    fn watch(self: &Arc<Self>) {
        let mut queue = self.queue.lock();
        while !queue.closed {
            if queue.runnables.is_empty() {
                if self.watch.wait_for(&mut queue, LINGER).timed_out() && queue.runnables.is_empty() {
                    break;
                }
                continue;
            }
            queue.watching = true;
            let before = self.polls.load(Ordering::Relaxed);
            self.watch.wait_for(&mut queue, PATIENCE);
            queue.watching = false;
            let stuck = self.polls.load(Ordering::Relaxed) == before;
            let waiting = queue.runnables.len() > queue.idle;
            if stuck && waiting && queue.threads < self.threads_max {
                queue.threads += 1;
                self.start_thread();
            }
        }
        queue.watched = false;
    }
}

/// Starts a thread; the process can't go on if the system gives it none.
pub(crate) fn spawn_named(name: &str, body: impl FnOnce() + Send + 'static) {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    if let Err(error) = started {
        tracing::error!(%error, thread = name, "the system refused to start a thread");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::mpsc;

    #[test]
    fn blocking_work_does_not_stall_other_work() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pool = ActivityPool::new(runtime.handle().clone(), 2, 64);
        // All of these block until the last one runs: with two threads they never would.
        let barrier = Arc::new(Barrier::new(17));
        for _ in 0..16 {
            let barrier = barrier.clone();
            pool.spawn(async move {
                barrier.wait();
            });
        }
        barrier.wait();
    }

    #[test]
    fn a_burst_on_idle_threads_does_not_wait_for_them() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pool = ActivityPool::new(runtime.handle().clone(), 2, 64);
        for round in 0..20 {
            // The threads are there and idle from the round before.
            let barrier = Arc::new(Barrier::new(9));
            for _ in 0..8 {
                let barrier = barrier.clone();
                pool.spawn(async move {
                    barrier.wait();
                });
            }
            barrier.wait();
            while pool.shared.queue.lock().idle < 2 {
                std::thread::yield_now();
            }
            assert!(pool.shared.queue.lock().threads <= 64, "round {round}");
        }
    }

    #[test]
    fn tokio_timers_work_inside() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let pool = ActivityPool::new(runtime.handle().clone(), 1, 1);
        let (tx, rx) = mpsc::channel();
        pool.spawn(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            tx.send(()).unwrap();
        });
        rx.recv().unwrap();
    }
}
