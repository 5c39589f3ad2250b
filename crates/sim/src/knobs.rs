//! What kind of world a seed is: sizes, limits and how much goes wrong.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use strandline_engine::dispatch::{DispatchConfig, OutMax};
use strandline_engine::pipeline::PipelineConfig;
use strandline_store_local::LocalOptions;

use crate::chance::Chance;
use crate::mutants::Mutant;
use crate::program::{ACTIVITIES, ORCHESTRATORS};

#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    pub(crate) steps: u64,
    /// Partitions of each hub.
    pub(crate) hubs: Vec<u16>,
    /// Ids everyone uses, so that calls collide.
    pub(crate) ids: Rc<[String]>,
    pub(crate) pipeline: PipelineConfig,
    pub(crate) store: LocalOptions,
    /// Above this much untrimmed log, new work is refused.
    pub(crate) log_refuse_above: u64,
    pub(crate) actions_max: usize,
    /// Payloads of many kilobytes.
    pub(crate) big: bool,
    /// A crash about every so many steps; 0: none.
    pub(crate) crash_every: u64,
    pub(crate) fault_every: u64,
    /// Turns stay out for a while this often, once in so many.
    pub(crate) slow_turns: u64,
    pub(crate) flush_every: u64,
    /// Client calls per hundred steps.
    pub(crate) calls: u32,
    /// Some work is done by workers elsewhere.
    pub(crate) remote: Option<RemoteKnobs>,
}

/// What workers elsewhere do, because nobody here serves it.
#[derive(Clone, Debug)]
pub(crate) struct RemoteKnobs {
    pub(crate) orchestrators: BTreeSet<&'static str>,
    pub(crate) activities: BTreeSet<&'static str>,
    pub(crate) entities: bool,
    pub(crate) dispatch: DispatchConfig,
}

impl RemoteKnobs {
    fn of(chance: &mut Chance) -> Self {
        let mut some = |names: &[&'static str]| {
            let all = chance.one_in(2);
            names.iter().copied().filter(|_| all || chance.one_in(2)).collect()
        };
        let (orchestrators, activities) = (some(ORCHESTRATORS), some(ACTIVITIES));
        let mut some = || chance.one_in(4).then(|| chance.between(1, 3) as usize);
        let out_max = OutMax { orchestrations: some(), activities: some(), entities: some() };
        let dispatch = DispatchConfig {
            out_max,
            turn_lease: Duration::from_millis(*chance.pick(&[100, 2_000, 300_000])),
            deliveries_max: *chance.pick(&[1, 2, 10]),
            ..DispatchConfig::default()
        };
        Self { orchestrators, activities, entities: !chance.one_in(3), dispatch }
    }
}

impl Knobs {
    pub(crate) fn of(chance: &mut Chance, mutant: Option<Mutant>) -> Self {
        let defaults = PipelineConfig::default();
        let pipeline = PipelineConfig {
            undurable_bytes_max: *chance.pick(&[2_000, 60_000, defaults.undurable_bytes_max]),
            undurable_records_max: *chance.pick(&[3, 40, defaults.undurable_records_max]),
            operations_per_batch: *chance.pick(&[1, 3, 5_000]),
            consecutive_turns_max: *chance.pick(&[1, 2, 16]),
            cache_bytes: *chance.pick(&[1_500, 6_000, 40_000, 1 << 20]),
        };
        let store = LocalOptions {
            segment_min: 4096 << chance.below(3),
            segment_max: 16384 << chance.below(2),
            frame_bytes: 256 << chance.below(5),
            cache_bytes: *chance.pick(&[0, 256 << 10, 256 << 10, 256 << 10]),
            sabotage: mutant.map(Mutant::in_store).unwrap_or_default(),
            ..LocalOptions::simulated(chance.next())
        };
        let partitions = chance.between(1, 4) as u16;
        let hubs =
            if chance.one_in(4) { vec![partitions, chance.between(1, 2) as u16] } else { vec![partitions] };
        let names = ["a", "b", "c", "größe/ü#? 😀", "e", "f"];
        let mut ids: Vec<String> =
            names[..chance.between(2, 6) as usize].iter().map(|s| (*s).to_owned()).collect();
        if chance.one_in(8) {
            ids.push("x".repeat(256));
        }
        let remote = chance.one_in(3).then(|| RemoteKnobs::of(chance));
        // Each turn of a worker elsewhere takes many steps.
        let steps = if remote.is_some() { chance.between(200, 1_000) } else { chance.between(100, 400) };
        Self {
            steps,
            hubs,
            ids: ids.into(),
            pipeline,
            store,
            log_refuse_above: *chance.pick(&[8 << 10, 64 << 10, 1 << 20]),
            actions_max: *chance.pick(&[10, 1000, 1000]),
            big: chance.one_in(6),
            crash_every: *chance.pick(&[0, 60, 200, 500]),
            fault_every: *chance.pick(&[0, 30, 100]),
            slow_turns: *chance.pick(&[2, 6, 1000]),
            flush_every: *chance.pick(&[8, 30, 100]),
            calls: *chance.pick(&[8, 20, 40]),
            remote,
        }
    }
}
