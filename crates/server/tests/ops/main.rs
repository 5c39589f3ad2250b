//! Running a server: metrics, probes, the log, stopping, and what goes with them.

mod health;
mod logs;
mod metrics;
mod monitoring;
mod program;
mod shutdown;
mod support;
