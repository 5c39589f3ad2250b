//! Planted bugs. A simulator that does not find them proves nothing.

use strandline_engine::{dispatch, pipeline};
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
    /// An entity gives its lock to the next section while one holds it.
    GrantTwice,
    /// The end of an execution does not give its locks back.
    LoseRelease,
    /// Purge takes whatever state an instance is in.
    PurgeRunning,
    /// Rewind does the first attempt of a task again, not its last.
    RewindFirstAttempt,
    /// The worker keeps what an operation of an entity did although it failed.
    KeepFailedState,
    /// Turns and batches leave for workers elsewhere before what they contain is durable.
    ClaimBeforeDurable,
    /// A worker elsewhere that leaves takes an item with it.
    ForgetOnDisconnect,
    /// Work that was given to somebody else is taken under its old token.
    AcceptOldTokens,
    /// Work that a worker elsewhere gives back goes to nobody.
    DropAbandoned,
    /// Returned work keeps its slot.
    KeepSlots,
}

impl Mutant {
    pub const ALL: [Self; 20] = [
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
        Self::GrantTwice,
        Self::LoseRelease,
        Self::PurgeRunning,
        Self::RewindFirstAttempt,
        Self::KeepFailedState,
        Self::ClaimBeforeDurable,
        Self::ForgetOnDisconnect,
        Self::AcceptOldTokens,
        Self::DropAbandoned,
        Self::KeepSlots,
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
            Self::GrantTwice => "grant-twice",
            Self::LoseRelease => "lose-release",
            Self::PurgeRunning => "purge-running",
            Self::RewindFirstAttempt => "rewind-first-attempt",
            Self::KeepFailedState => "keep-failed-state",
            Self::ClaimBeforeDurable => "claim-before-durable",
            Self::ForgetOnDisconnect => "forget-on-disconnect",
            Self::AcceptOldTokens => "accept-old-tokens",
            Self::DropAbandoned => "drop-abandoned",
            Self::KeepSlots => "keep-slots",
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
            Self::ClaimBeforeDurable => pipeline::Sabotage::ClaimBeforeDurable,
            Self::FireEarly => pipeline::Sabotage::FireEarly,
            Self::AcceptDuplicates => pipeline::Sabotage::Hub(Sabotage::AcceptDuplicates),
            Self::AcceptStrangers => pipeline::Sabotage::Hub(Sabotage::AcceptStrangers),
            Self::LoseUndelivered => pipeline::Sabotage::Hub(Sabotage::LoseUndelivered),
            Self::GrantTwice => pipeline::Sabotage::Hub(Sabotage::GrantTwice),
            Self::LoseRelease => pipeline::Sabotage::Hub(Sabotage::LoseRelease),
            Self::PurgeRunning => pipeline::Sabotage::Hub(Sabotage::PurgeRunning),
            Self::RewindFirstAttempt => pipeline::Sabotage::Hub(Sabotage::RewindFirstAttempt),
            _ => pipeline::Sabotage::None,
        }
    }

    pub(crate) fn in_dispatcher(self) -> dispatch::Sabotage {
        match self {
            Self::ForgetOnDisconnect => dispatch::Sabotage::ForgetOnDisconnect,
            Self::AcceptOldTokens => dispatch::Sabotage::AcceptOldTokens,
            Self::DropAbandoned => dispatch::Sabotage::DropAbandoned,
            Self::KeepSlots => dispatch::Sabotage::KeepSlots,
            _ => dispatch::Sabotage::None,
        }
    }
}
