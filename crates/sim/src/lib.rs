//! The whole hub under a seeded scheduler: real pipelines, real store, real replay; simulated disk, clock,
//! clients and workers. One number decides everything that happens in a run.
//!
//! * [`run`] makes one world from a seed, lets it live and audits it; [`run_many`] does so many times.
//! * `world` holds it and picks the steps; `drive`, `logging`, `lives`, `workload` and `drain` are its
//!   kinds of steps, as are `deeds`, the rarer calls of clients; `node` is what a crash destroys.
//! * `program` and `script` are random orchestrators, `worker` runs them; `errand` is what they do with
//!   entities, `account` what the entities do, `batches` how their operations are run.
//! * `remote` are workers elsewhere, behind the engine's own dispatcher.
//! * `auditor` is the reference model with all checks. It shares no logic with the hub.
//! * `mutants` are planted bugs that must be found; `coverage` counts what must have been seen.

mod account;
mod auditor;
mod batches;
mod chance;
mod coverage;
mod deeds;
mod drain;
mod drive;
mod errand;
mod knobs;
mod lives;
mod logging;
mod many;
mod mutants;
mod node;
mod program;
mod remote;
mod script;
mod trace;
mod watched_disk;
mod worker;
mod workload;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use coverage::{Coverage, EXPECTED};
pub use many::{Results, run_many};
pub use mutants::Mutant;

/// What broke an invariant, in words.
pub(crate) type Violation = String;

/// How a run went.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub coverage: Coverage,
    /// The invariant that broke.
    pub failure: Option<String>,
    /// The end of the story, when it was asked for.
    pub trace: Vec<String>,
}

/// Runs the world of a seed, with a bug planted if one is given.
pub fn run(seed: u64, mutant: Option<Mutant>, traced: bool) -> Report {
    let mut world = world::World::new(seed, mutant, traced);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = match result {
        Ok(result) => result.err(),
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            Some(format!("panic: {}", text.unwrap_or("without text")))
        }
    };
    let (coverage, trace) = world.into_parts();
    Report { seed, coverage, failure, trace }
}
