//! Metrics, for Prometheus and its kin.
//!
//! [`ActivityContext::metrics`](crate::ActivityContext::metrics) is where activities count; what the engine
//! counts, and all that activities do, [`DataDirectory::register_metrics`](crate::DataDirectory::register_metrics)
//! puts into a registry.

pub use prometheus_client;
pub use strandline_engine::metrics::CustomMetrics;
pub use strandline_engine::metrics::custom::{
    CUSTOM_METRICS_MAX, CUSTOM_SERIES_MAX, Counter, Gauge, LABELS_MAX, NAME_BYTES_MAX, Timings,
    VALUE_BYTES_MAX,
};
