//! Runs seeds of the simulator. `cargo xtask sim` is how people call it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use strandline_sim::{Coverage, Mutant, Report, run};

/// Seeds after which every counter must have moved.
const ENOUGH_SEEDS: u64 = 2_000;
/// Seeds within which every planted bug must be found.
const MUTANT_SEEDS: u64 = 200;
/// Lines of the story shown for a failing seed.
const TAIL: usize = 60;

struct Options {
    seeds: u64,
    from: u64,
    mutants: bool,
    mutant: Option<Mutant>,
    tail: usize,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: cargo xtask sim [--seeds N] [--from SEED] [--mutants] [--mutant NAME] [--tail LINES]");
            return ExitCode::FAILURE;
        }
    };
    // A panic inside a run is a finding, reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let passed = if options.mutants { kill_all(&options) } else { live_all(&options) };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { seeds: 1_000, from: 0, mutants: false, mutant: None, tail: TAIL };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number"));
        match arg.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--tail" => options.tail = number(value()?)? as usize,
            "--mutants" => options.mutants = true,
            "--mutant" => {
                let name = value()?;
                let known = || Mutant::ALL.map(Mutant::name).join(", ");
                let mutant = Mutant::named(&name);
                options.mutant = Some(mutant.ok_or_else(|| format!("no mutant {name:?}; there are {}", known()))?);
            }
            _ => return Err(format!("{arg:?} is not an option")),
        }
    }
    Ok(options)
}

/// Every seed must pass, and together they must see everything.
fn live_all(options: &Options) -> bool {
    let began = Instant::now();
    let results = run_seeds(options.from, options.seeds, options.mutant, true);
    let seconds = began.elapsed().as_secs_f64();
    if let Some(failed) = results.failed {
        report_failure(&failed, options);
        return false;
    }
    println!("{}", results.coverage);
    println!("{} seeds clean in {seconds:.1} s: {:.0} a second", results.done, results.done as f64 / seconds);
    let missing = results.coverage.missing();
    if !missing.is_empty() {
        println!("never seen: {}", missing.join(", "));
    }
    missing.is_empty() || options.seeds < ENOUGH_SEEDS
}

/// Every planted bug must be found.
fn kill_all(options: &Options) -> bool {
    let mut survivors = Vec::new();
    for mutant in Mutant::ALL {
        let results = run_seeds(options.from, MUTANT_SEEDS, Some(mutant), false);
        match results.failed {
            Some(failed) => {
                let seeds = failed.seed - options.from + 1;
                let why: String = failed.failure.unwrap_or_default().chars().take(160).collect();
                println!("{:<24} found after {seeds} seeds: {why}", mutant.name());
            }
            None => {
                println!("{:<24} SURVIVED {MUTANT_SEEDS} seeds", mutant.name());
                survivors.push(mutant.name());
            }
        }
    }
    survivors.is_empty()
}

struct Results {
    done: u64,
    coverage: Coverage,
    /// The first failing seed.
    failed: Option<Report>,
}

/// Runs seeds on all cores; stops after the first failure.
fn run_seeds(from: u64, seeds: u64, mutant: Option<Mutant>, progress: bool) -> Results {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(from);
    let stop = AtomicBool::new(false);
    let shared = Mutex::new(Results { done: 0, coverage: Coverage::default(), failed: None });
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (next, stop, shared) = (&next, &stop, &shared);
            scope.spawn(move || {
                let mut told = Instant::now();
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
                    } else if progress && thread == 0 && told.elapsed() > Duration::from_secs(5) {
                        told = Instant::now();
                        let rate = results.done as f64 / began.elapsed().as_secs_f64();
                        eprintln!("{} of {seeds} seeds, {rate:.0} a second", results.done);
                    }
                }
            });
        }
    });
    shared.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the seed again to tell its story.
fn report_failure(failed: &Report, options: &Options) {
    let again = run(failed.seed, options.mutant, true);
    let skipped = again.trace.len().saturating_sub(options.tail);
    for line in &again.trace[skipped..] {
        println!("{line}");
    }
    let failure = failed.failure.as_deref().unwrap_or_default();
    println!("\nseed {} failed: {failure}", failed.seed);
    if again.failure != failed.failure {
        println!("and differently when run again, so something is not deterministic: {:?}", again.failure);
    }
    let mutant = options.mutant.map(|m| format!(" --mutant {}", m.name())).unwrap_or_default();
    println!("reproduce: cargo xtask sim --seeds 1 --from {}{mutant}", failed.seed);
}
