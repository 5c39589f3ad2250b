//! Runs seeds of the simulator. `cargo xtask sim` is how people call it.

use std::process::ExitCode;
use std::time::Instant;

use strandline_sim::{Mutant, Report, run, run_many};

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
            eprintln!(
                "{problem}\nusage: cargo xtask sim [--seeds N] [--from SEED] [--mutants] [--mutant NAME] [--tail LINES]"
            );
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
                options.mutant =
                    Some(mutant.ok_or_else(|| format!("no mutant {name:?}; there are {}", known()))?);
            }
            _ => return Err(format!("{arg:?} is not an option")),
        }
    }
    Ok(options)
}

/// Every seed must pass, and together they must see everything.
fn live_all(options: &Options) -> bool {
    let began = Instant::now();
    let progress = |done: u64| {
        if done.is_multiple_of(1_000) {
            eprintln!(
                "{done} of {} seeds, {:.0} a second",
                options.seeds,
                done as f64 / began.elapsed().as_secs_f64()
            );
        }
    };
    let results = run_many(options.from, options.seeds, options.mutant, &progress);
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
        let results = run_many(options.from, MUTANT_SEEDS, Some(mutant), &|_| {});
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
