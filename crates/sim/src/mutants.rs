//! Planted bugs. A simulator that does not find them proves nothing.

use strandline_engine::pipeline;
use strandline_store_local as store;

/// A bug the simulator can plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The store does not sync its log.
    DropSync,
    /// The store accepts a batch at a position that is not the next one.
    SkipPositionCheck,
    /// The store accepts a batch of an owner whose epoch is over.
    SkipEpochCheck,
    /// The store leaves entries of its indexes where they are when instances change.
    StaleIndexes,
    /// Answers and activities leave before their cause is durable.
    ReleaseBeforeDurable,
    /// Rows reflect records the log does not hold.
    FlushBeforeDurable,
    /// Timers fire a second early.
    FireEarly,
    /// A second result of a task is recorded like the first.
    AcceptDuplicates,
    /// A result is delivered to whatever execution the instance has now.
    AcceptStrangers,
    /// Events accepted and not seen by any turn vanish when the instance ends.
    LoseUndelivered,
}

impl Mutant {
    pub const ALL: [Self; 10] = [
        Self::DropSync,
        Self::SkipPositionCheck,
        Self::SkipEpochCheck,
        Self::StaleIndexes,
        Self::ReleaseBeforeDurable,
        Self::FlushBeforeDurable,
        Self::FireEarly,
        Self::AcceptDuplicates,
        Self::AcceptStrangers,
        Self::LoseUndelivered,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::DropSync => "drop-sync",
            Self::SkipPositionCheck => "skip-position-check",
            Self::SkipEpochCheck => "skip-epoch-check",
            Self::StaleIndexes => "stale-indexes",
            Self::ReleaseBeforeDurable => "release-before-durable",
            Self::FlushBeforeDurable => "flush-before-durable",
            Self::FireEarly => "fire-early",
            Self::AcceptDuplicates => "accept-duplicates",
            Self::AcceptStrangers => "accept-strangers",
            Self::LoseUndelivered => "lose-undelivered",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    pub(crate) fn in_store(self) -> store::Sabotage {
        match self {
            Self::DropSync => store::Sabotage::DropSync,
            Self::SkipPositionCheck => store::Sabotage::SkipPositionCheck,
            Self::SkipEpochCheck => store::Sabotage::SkipEpochCheck,
            Self::StaleIndexes => store::Sabotage::StaleIndexes,
            _ => store::Sabotage::None,
        }
    }

    pub(crate) fn in_pipeline(self) -> pipeline::Sabotage {
        use strandline_hub::Sabotage;
        match self {
            Self::ReleaseBeforeDurable => pipeline::Sabotage::ReleaseBeforeDurable,
            Self::FlushBeforeDurable => pipeline::Sabotage::FlushBeforeDurable,
            Self::FireEarly => pipeline::Sabotage::FireEarly,
            Self::AcceptDuplicates => pipeline::Sabotage::Hub(Sabotage::AcceptDuplicates),
            Self::AcceptStrangers => pipeline::Sabotage::Hub(Sabotage::AcceptStrangers),
            Self::LoseUndelivered => pipeline::Sabotage::Hub(Sabotage::LoseUndelivered),
            _ => pipeline::Sabotage::None,
        }
    }
}
