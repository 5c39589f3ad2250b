//! How values are distributed, in fixed buckets.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

/// The upper ends of the buckets. Values are whole numbers: nanoseconds, or pieces.
#[derive(Debug)]
pub(crate) struct Buckets {
    ends: &'static [u64],
    /// How many make the base unit.
    per_unit: f64,
}

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// What a machine does by itself: turns, commits, requests.
pub(crate) static SHORT: Buckets = Buckets {
    ends: &[
        10 * MICRO,
        50 * MICRO,
        100 * MICRO,
        250 * MICRO,
        500 * MICRO,
        MILLI,
        5 * MILLI / 2,
        5 * MILLI,
        10 * MILLI,
        25 * MILLI,
        50 * MILLI,
        100 * MILLI,
        500 * MILLI,
        SECOND,
        10 * SECOND,
    ],
    per_unit: 1e9,
};

/// What waits for other people's machines: activities, queues.
pub(crate) static MEDIUM: Buckets = Buckets {
    ends: &[
        100 * MICRO,
        MILLI,
        5 * MILLI,
        10 * MILLI,
        25 * MILLI,
        50 * MILLI,
        100 * MILLI,
        250 * MILLI,
        500 * MILLI,
        SECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
        300 * SECOND,
        3600 * SECOND,
    ],
    per_unit: 1e9,
};

/// What may wait for people: orchestrations.
pub(crate) static LONG: Buckets = Buckets {
    ends: &[
        MILLI,
        10 * MILLI,
        50 * MILLI,
        100 * MILLI,
        500 * MILLI,
        SECOND,
        5 * SECOND,
        10 * SECOND,
        30 * SECOND,
        60 * SECOND,
        300 * SECOND,
        900 * SECOND,
        3600 * SECOND,
        6 * 3600 * SECOND,
        24 * 3600 * SECOND,
        7 * 24 * 3600 * SECOND,
    ],
    per_unit: 1e9,
};

/// How many at a time.
pub(crate) static COUNTS: Buckets =
    Buckets { ends: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096], per_unit: 1.0 };

/// Counts values by bucket, without locks. About as dear as two additions.
pub(crate) struct Histogram {
    buckets: &'static Buckets,
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub(crate) fn new(buckets: &'static Buckets) -> Self {
        let counts = (0..=buckets.ends.len()).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, counts, sum: AtomicU64::new(0) }
    }

    pub(crate) fn observe(&self, value: u64) {
        let bucket = self.buckets.ends.partition_point(|end| *end < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn observe_time(&self, time: Duration) {
        self.observe(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds what was counted apart, and empties it.
    pub(crate) fn absorb(&self, tally: &mut Tally) {
        for (count, more) in self.counts.iter().zip(&mut tally.counts) {
            if *more > 0 {
                count.fetch_add(std::mem::take(more), Ordering::Relaxed);
            }
        }
        self.sum.fetch_add(std::mem::take(&mut tally.sum), Ordering::Relaxed);
    }

    pub(super) fn write(&self, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        let ends = self.buckets.ends.iter().map(|end| *end as f64 / self.buckets.per_unit);
        let counts: Vec<_> = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let buckets: Vec<_> = ends.chain([f64::INFINITY]).zip(counts.iter().copied()).collect();
        let sum = self.sum.load(Ordering::Relaxed) as f64 / self.buckets.per_unit;
        encoder.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    /// For one thread, which passes on now and then what it counted.
    pub(crate) fn tally(&self) -> Tally {
        Tally { buckets: self.buckets, counts: vec![0; self.counts.len()], sum: 0 }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("counts", &self.counts).finish_non_exhaustive()
    }
}

/// What one thread counted and has not passed on.
#[derive(Debug)]
pub(crate) struct Tally {
    buckets: &'static Buckets,
    counts: Vec<u64>,
    sum: u64,
}

impl Tally {
    pub(crate) fn observe(&mut self, value: u64) {
        let bucket = self.buckets.ends.partition_point(|end| *end < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }
}
