//! Metrics that the code of users defines.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::encode::{Families, Labels};
use super::histogram::{Histogram, MEDIUM};
use super::hub::Count;

/// Metrics there may be.
pub const CUSTOM_METRICS_MAX: usize = 200;
/// Series, one for each combination of labels, that one metric may have.
pub const CUSTOM_SERIES_MAX: usize = 1_000;
/// Labels of one series, and bytes of a name and of a label's value.
pub const LABELS_MAX: usize = 10;
pub const NAME_BYTES_MAX: usize = 100;
pub const VALUE_BYTES_MAX: usize = 200;
/// What the names of series end in that counters and histograms have: another metric of such a name would be
/// mistaken for one.
const SUFFIXES: [&str; 5] = ["_total", "_count", "_sum", "_bucket", "_created"];

/// Metrics that the code of users defines, by using them. Cheap to clone.
///
/// Nothing here fails or grows without bound: what has a name that is not possible, belongs to another kind
/// of metric, or is one too many is counted nowhere, and the log says so once.
#[derive(Clone, Default)]
pub struct CustomMetrics(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    families: BTreeMap<String, Family>,
    complained_of_families: bool,
}

struct Family {
    kind: Kind,
    series: BTreeMap<Vec<(String, String)>, Series>,
    complained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone)]
enum Series {
    Counter(Arc<Count>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Histogram>),
}

impl Series {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter => Self::Counter(Arc::default()),
            Kind::Gauge => Self::Gauge(Arc::default()),
            Kind::Histogram => Self::Histogram(Arc::new(Histogram::new(&MEDIUM))),
        }
    }
}

/// Why a metric is not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error(
        "a name has 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 _, begins with a letter, and with neither strandline_ nor process_"
    )]
    Name,
    #[error("a name does not end in {}: series of counters and histograms do", SUFFIXES.join(", "))]
    Suffix,
    #[error("a series has at most {LABELS_MAX} labels, each once, of 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 _")]
    Labels,
    #[error("it is a metric of another kind already")]
    Kind,
    #[error("there are {CUSTOM_METRICS_MAX} metrics already, and more are not counted")]
    TooManyMetrics,
    #[error("it has {CUSTOM_SERIES_MAX} series already, and more are not counted: give labels fewer values")]
    TooManySeries,
}

/// Counts what happened.
#[derive(Clone)]
pub struct Counter(Option<Arc<Count>>);

impl Counter {
    pub fn add(&self, more: u64) {
        if let Some(count) = &self.0 {
            count.add(more);
        }
    }
}

/// Says how much there is.
#[derive(Clone)]
pub struct Gauge(Option<Arc<AtomicU64>>);

impl Gauge {
    pub fn set(&self, value: f64) {
        if let Some(bits) = &self.0 {
            bits.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// Less, if it is negative.
    pub fn add(&self, more: f64) {
        if let Some(bits) = &self.0 {
            let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                Some((f64::from_bits(bits) + more).to_bits())
            });
        }
    }
}

/// Says how times are distributed, in seconds.
#[derive(Clone)]
pub struct Timings(Option<Arc<Histogram>>);

impl Timings {
    pub fn observe(&self, time: Duration) {
        if let Some(histogram) = &self.0 {
            histogram.observe_time(time);
        }
    }
}

impl CustomMetrics {
    /// A counter. Names of counters end in `_total`, which is added to one that does not.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        let name = name.strip_suffix("_total").unwrap_or(name);
        match self.series(name, Kind::Counter, labels) {
            Some(Series::Counter(count)) => Counter(Some(count)),
            _ => Counter(None),
        }
    }

    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        match self.series(name, Kind::Gauge, labels) {
            Some(Series::Gauge(bits)) => Gauge(Some(bits)),
            _ => Gauge(None),
        }
    }

    /// A histogram of times, from 0.1 ms to an hour. Its name should end in `_seconds`.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Timings {
        match self.series(name, Kind::Histogram, labels) {
            Some(Series::Histogram(histogram)) => Timings(Some(histogram)),
            _ => Timings(None),
        }
    }

    fn series(&self, name: &str, kind: Kind, labels: &[(&str, &str)]) -> Option<Series> {
        let mut state = self.0.lock();
        let problem = match state.find(name, kind, labels) {
            Ok(series) => return Some(series),
            Err(problem) => problem,
        };
        // Once for each metric, and once for all that have no place.
        let complained = match state.families.get_mut(name) {
            Some(family) => &mut family.complained,
            None => &mut state.complained_of_families,
        };
        if !std::mem::replace(complained, true) {
            let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
            tracing::warn!(metric = shown, %problem, "a metric is not counted");
        }
        None
    }
}

impl State {
    fn find(&mut self, name: &str, kind: Kind, labels: &[(&str, &str)]) -> Result<Series, Problem> {
        if !is_name(name) || name.starts_with("strandline_") || name.starts_with("process_") {
            return Err(Problem::Name);
        }
        if SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
            return Err(Problem::Suffix);
        }
        let mut names: Vec<_> = labels.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != labels.len() || labels.len() > LABELS_MAX || !names.iter().all(|name| is_name(name))
        {
            return Err(Problem::Labels);
        }
        if !self.families.contains_key(name) {
            if self.families.len() >= CUSTOM_METRICS_MAX {
                return Err(Problem::TooManyMetrics);
            }
            let family = Family { kind, series: BTreeMap::new(), complained: false };
            self.families.insert(name.to_owned(), family);
        }
        let family = self.families.get_mut(name).ok_or(Problem::TooManyMetrics)?;
        if family.kind != kind {
            return Err(Problem::Kind);
        }
        let mut key: Vec<_> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), shortened(value).to_owned())).collect();
        key.sort_unstable();
        if let Some(series) = family.series.get(&key) {
            return Ok(series.clone());
        }
        if family.series.len() >= CUSTOM_SERIES_MAX {
            return Err(Problem::TooManySeries);
        }
        Ok(family.series.entry(key).or_insert_with(|| Series::new(kind)).clone())
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name != "le"
}

fn shortened(value: &str) -> &str {
    value.get(..value.floor_char_boundary(VALUE_BYTES_MAX)).unwrap_or(value)
}

impl fmt::Debug for CustomMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lock().families.keys()).finish()
    }
}

impl Collector for CustomMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families: Vec<_> = {
            let state = self.0.lock();
            let series = |family: &Family| family.series.clone();
            state.families.iter().map(|(name, family)| (name.clone(), family.kind, series(family))).collect()
        };
        let mut writer = Families(&mut encoder);
        for (name, kind, series) in &families {
            let help = "Counted by activities.";
            let labelled = || {
                series.iter().map(|(labels, series)| -> (Labels<'_>, &Series) {
                    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.into()));
                    (labels.collect(), series)
                })
            };
            match kind {
                Kind::Counter => {
                    let counts = labelled().filter_map(|(labels, series)| match series {
                        Series::Counter(count) => Some((labels, count.get())),
                        _ => None,
                    });
                    writer.counter(name, help, counts)?;
                }
                Kind::Gauge => {
                    let values = labelled().filter_map(|(labels, series)| match series {
                        Series::Gauge(bits) => Some((labels, f64::from_bits(bits.load(Ordering::Relaxed)))),
                        _ => None,
                    });
                    writer.gauge(name, help, values)?;
                }
                Kind::Histogram => {
                    let histograms = labelled().filter_map(|(labels, series)| match series {
                        Series::Histogram(histogram) => Some((labels, &**histogram)),
                        _ => None,
                    });
                    writer.histogram(name, help, histograms)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    fn text(metrics: &CustomMetrics) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn names_are_not_mistaken_for_series_of_others() {
        let metrics = CustomMetrics::default();
        metrics.counter("orders", &[]).add(1);
        metrics.gauge("orders_total", &[]).set(7.0);
        metrics.histogram("packing_seconds", &[]).observe(Duration::from_millis(20));
        metrics.counter("packing_seconds_count_total", &[]).add(7);
        metrics.gauge("packing_seconds_sum", &[]).set(7.0);
        metrics.histogram("orders_created", &[]).observe(Duration::from_secs(7));
        let text = text(&metrics);
        assert!(text.contains("orders_total 1\n") && !text.contains(" 7"), "{text}");
        assert!(!text.contains("orders_created"), "{text}");
    }

    #[test]
    fn is_shown_as_it_was_counted() {
        let metrics = CustomMetrics::default();
        metrics.counter("orders_total", &[("region", "eu"), ("kind", "a\"b\n")]).add(2);
        metrics.counter("orders", &[("kind", "a\"b\n"), ("region", "eu")]).add(1);
        metrics.gauge("stock", &[]).set(2.5);
        metrics.gauge("stock", &[]).add(-1.0);
        metrics.histogram("packing_seconds", &[]).observe(Duration::from_millis(20));
        let text = text(&metrics);
        assert!(text.contains("orders_total{kind=\"a\\\"b\\n\",region=\"eu\"} 3\n"), "{text}");
        assert!(text.contains("\nstock 1.5\n"), "{text}");
        assert!(text.contains("packing_seconds_bucket{le=\"0.025\"} 1\n"), "{text}");
        assert!(text.contains("packing_seconds_sum 0.02\n"), "{text}");
    }

    #[test]
    fn what_can_not_be_counted_does_no_harm() {
        let metrics = CustomMetrics::default();
        metrics.counter("strandline_orders", &[]).add(1);
        metrics.counter("1st", &[]).add(1);
        metrics.counter("", &[]).add(1);
        metrics.counter("a b", &[]).add(1);
        metrics.counter("twice", &[("a", "1"), ("a", "2")]).add(1);
        metrics.histogram("cut_seconds", &[("le", "1")]).observe(Duration::ZERO);
        metrics.gauge("kind", &[]).set(1.0);
        metrics.counter("kind", &[]).add(1);
        assert_eq!(
            text(&metrics),
            "# HELP kind Counted by activities.\n# TYPE kind gauge\nkind 1.0\n# EOF\n"
        );
    }

    #[test]
    fn grows_so_far_and_no_further() {
        let metrics = CustomMetrics::default();
        for n in 0..10 * CUSTOM_SERIES_MAX {
            metrics.counter("orders", &[("id", &n.to_string())]).add(1);
            metrics.gauge(&format!("metric_{n}"), &[]).set(1.0);
        }
        let state = metrics.0.lock();
        assert_eq!(state.families.len(), CUSTOM_METRICS_MAX);
        assert_eq!(state.families["orders"].series.len(), CUSTOM_SERIES_MAX);
    }
}
