//! Many seeds on all cores. Each run is on one thread; only the order in which seeds are taken is not
//! repeatable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Coverage, Mutant, Report, run};

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Results {
    pub done: u64,
    pub coverage: Coverage,
    /// The smallest failing seed met before the runs stopped.
    pub failed: Option<Report>,
}

/// Runs `seeds` seeds from `from` on, until one fails. `progress` hears of the number done.
pub fn run_many(from: u64, seeds: u64, mutant: Option<Mutant>, progress: &(dyn Fn(u64) + Sync)) -> Results {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new(Results::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + seeds {
                return;
            }
            let report = run(seed, mutant, false);
            let mut results = shared.lock().unwrap_or_else(PoisonError::into_inner);
            results.done += 1;
            results.coverage.merge(&report.coverage);
            if report.failure.is_some() {
                stop.store(true, Ordering::Relaxed);
                if results.failed.as_ref().is_none_or(|f| report.seed < f.seed) {
                    results.failed = Some(report);
                }
            } else {
                progress(results.done);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    shared.into_inner().unwrap_or_else(PoisonError::into_inner)
}
