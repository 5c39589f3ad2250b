//! Why an instance waits: a pure function from what is known of it to a diagnosis.
//!
//! [`Hub::why`](crate::runtime::Hub::why) gathers the [`Evidence`]: the instance, its open tasks with what
//! its history tells of them, where each work item is and who could take it; the same of its
//! sub-orchestrations and of those who hold the locks it waits for. [`diagnose`] follows what waits for what
//! until something does not wait for another instance, or waits in a circle.
//!
//! Nothing decides by a diagnosis: it is for people, and may be wrong about what no history tells, like the
//! names of the external events that an orchestrator waits for.

mod diagnose;
mod evidence;
mod history;
mod report;
mod verdict;

pub use diagnose::{Diagnosis, Waiting, diagnose};
pub use evidence::{
    Arrived, EntityEvidence, Evidence, InstanceEvidence, OpenWait, Retry, Subject, Suspension, Work,
};
pub(crate) use history::error_line;
pub use history::{Brief, Projection, Scheduled};
pub use report::{Fact, Suggestion, Value};
pub use verdict::{Severity, Verdict, WaitKind};
