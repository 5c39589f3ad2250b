//! A few hundred seeds at every test run; `cargo xtask sim` runs more.

use strandline_sim::{Mutant, run, run_many};

#[test]
fn seeds_pass() {
    let results = run_many(0, 200, None, &|_| {});
    if let Some(failed) = results.failed {
        let again = run(failed.seed, None, true);
        let tail = again.trace.len().saturating_sub(60);
        let (story, seed) = (again.trace[tail..].join("\n"), failed.seed);
        let failure = failed.failure.unwrap_or_default();
        panic!("{story}\n\nseed {seed}: {failure}\nreproduce: cargo xtask sim --seeds 1 --from {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    let survivors: Vec<_> = Mutant::ALL
        .into_iter()
        .filter(|mutant| run_many(0, 200, Some(*mutant), &|_| {}).failed.is_none())
        .map(Mutant::name)
        .collect();
    assert!(survivors.is_empty(), "not found within 200 seeds: {survivors:?}");
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 0..10 {
        let (first, again) = (run(seed, None, true), run(seed, None, true));
        assert_eq!(first.trace, again.trace, "seed {seed}");
    }
}
