//! Random orchestrators. An instance's input is a seed from which its program follows, so code and
//! history always fit together.

use crate::chance::Chance;
use crate::errand::Errand;

/// One thing an orchestrator does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// Calls an activity; `handled`: goes on when it fails.
    Activity {
        call: Activity,
        handled: bool,
    },
    /// Calls several and waits for all.
    Join(Vec<Activity>),
    /// Waits for an activity or a timer, whichever is first; `cancelling`: cancels the loser.
    Race {
        call: Activity,
        millis: u64,
        cancelling: bool,
    },
    Wait {
        name: &'static str,
    },
    WaitTimeout {
        name: &'static str,
        millis: u64,
    },
    /// Two waiters of one name: the first is served first.
    WaitTwice {
        name: &'static str,
    },
    Timer {
        millis: u64,
    },
    /// A timer cancelled again in the same turn.
    CancelTimer,
    Child {
        call: Child,
        handled: bool,
        /// Called meanwhile; its failure is not handled.
        beside: Option<Activity>,
    },
    CancelChild(Child),
    Spawn(Child),
    Send {
        target: usize,
        name: &'static str,
    },
    Status {
        bytes: usize,
    },
    ClearStatus,
    CancelActivity(Activity),
    /// Calls an activity and forgets it.
    Abandon(Activity),
    /// Calls an activity named after the version of the code that runs: breaks determinism when the
    /// version changes before a replay.
    Drift,
    /// Something with entities.
    Errand(Errand),
    /// Waits for something no event can ever complete.
    Stuck,
    Guid,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Activity {
    pub(crate) name: &'static str,
    /// Attempts and the first delay in milliseconds.
    pub(crate) retry: Option<(u32, u64)>,
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Child {
    /// One of the shared ids, or an id of its own.
    pub(crate) target: Option<usize>,
    pub(crate) input: String,
    pub(crate) retry: Option<(u32, u64)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    Complete { bytes: usize },
    CompleteWithNothing,
    Fail,
    Panic,
    ContinueAsNew { drop_events: bool, input: String },
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
    pub(crate) end: End,
    /// Does something when it fails.
    pub(crate) makes_up: bool,
}

/// Names of events: two of them differ in case only, so they are one.
pub(crate) const EVENTS: &[&str] = &["go", "GO", "stop", "größe"];
/// Names of orchestrators that somebody serves.
pub(crate) const ORCHESTRATORS: &[&str] = &["Main", "Child"];
pub(crate) const ACTIVITIES: &[&str] = &["ok", "fail", "flaky", "fatal", "nothing"];

/// The input of a root orchestration.
pub(crate) fn input(chance: &mut Chance, big: bool) -> String {
    let generations = if chance.one_in(3) { chance.between(1, 3) } else { 0 };
    let depth = chance.below(3);
    encode(chance.next(), depth, generations, big)
}

/// The input of an orchestration that an entity starts.
pub(crate) fn spawned(seed: u64) -> String {
    encode(seed, 0, 0, false)
}

fn encode(seed: u64, depth: u64, generations: u64, big: bool) -> String {
    format!("{seed:x}:{depth}:{generations}:{}", u8::from(big))
}

impl Program {
    /// The program an input stands for. Any other text is a program that completes at once.
    pub(crate) fn of(input: &str) -> Self {
        let mut parts = input.split(':');
        let seed = parts.next().and_then(|p| u64::from_str_radix(p, 16).ok());
        let mut number = || parts.next().and_then(|p| p.parse().ok()).unwrap_or(0);
        let (depth, generations, big) = (number(), number(), number() > 0);
        match seed {
            None => Self { ops: Vec::new(), end: End::Complete { bytes: 0 }, makes_up: false },
            Some(seed) => Writer { chance: Chance::new(seed), depth, generations, big }.program(),
        }
    }
}

struct Writer {
    chance: Chance,
    /// Levels of children below.
    depth: u64,
    generations: u64,
    big: bool,
}

impl Writer {
    fn program(&mut self) -> Program {
        let length = match self.chance.below(8) {
            0 => 0,
            1..=5 => self.chance.between(1, 3),
            _ => self.chance.between(4, 8),
        };
        let ops = (0..length).map(|_| self.op()).collect();
        let end = self.end();
        Program { ops, end, makes_up: self.chance.one_in(3) }
    }

    fn op(&mut self) -> Op {
        const WEIGHTS: [u32; 21] = [46, 6, 8, 7, 8, 3, 8, 2, 16, 3, 5, 8, 4, 2, 3, 3, 2, 1, 1, 3, 28];
        let kind = self.chance.weighted(WEIGHTS.into_iter());
        match kind {
            0 => Op::Activity { call: self.activity(), handled: self.chance.one_in(3) },
            1 => Op::Join((0..self.chance.between(2, 5)).map(|_| self.activity()).collect()),
            2 => Op::Race { call: self.activity(), millis: self.millis(), cancelling: self.chance.one_in(2) },
            3 => Op::Wait { name: self.event() },
            4 => Op::WaitTimeout { name: self.event(), millis: self.millis() },
            5 => Op::WaitTwice { name: self.event() },
            6 => Op::Timer { millis: self.millis() },
            7 => Op::CancelTimer,
            8..=10 if self.depth == 0 => Op::Activity { call: self.activity(), handled: true },
            8 => {
                let beside = if self.chance.one_in(3) { Some(self.activity()) } else { None };
                Op::Child { call: self.child(), handled: self.chance.one_in(3), beside }
            }
            9 => Op::CancelChild(self.child()),
            10 => Op::Spawn(self.child()),
            11 => Op::Send { target: self.target(), name: self.event() },
            12 => Op::Status {
                bytes: if self.chance.one_in(20) { 20_000 } else { self.chance.below(20) as usize },
            },
            13 => Op::ClearStatus,
            14 => Op::CancelActivity(self.activity()),
            15 => Op::Abandon(self.activity()),
            16 => Op::Drift,
            17 => Op::Stuck,
            18 => Op::Join((0..12).map(|_| self.activity()).collect()),
            19 => Op::Guid,
            _ => {
                let activity = self.activity();
                Op::Errand(Errand::random(&mut self.chance, activity))
            }
        }
    }

    fn end(&mut self) -> End {
        if self.generations > 0 {
            let input = encode(self.chance.next(), self.depth, self.generations - 1, self.big);
            return End::ContinueAsNew { drop_events: self.chance.one_in(4), input };
        }
        match self.chance.below(12) {
            0 => End::Fail,
            1 => End::Panic,
            2 => End::CompleteWithNothing,
            _ => End::Complete { bytes: self.bytes() },
        }
    }

    fn activity(&mut self) -> Activity {
        let retry = self.chance.one_in(3).then(|| (self.chance.between(1, 4) as u32, self.chance.below(400)));
        Activity { name: self.chance.pick::<&str>(ACTIVITIES), retry, bytes: self.bytes() }
    }

    fn child(&mut self) -> Child {
        let generations = u64::from(self.chance.one_in(6));
        let input = encode(self.chance.next(), self.depth.saturating_sub(1), generations, self.big);
        let target = self.chance.one_in(3).then(|| self.target());
        let retry = self.chance.one_in(5).then(|| (self.chance.between(1, 3) as u32, self.chance.below(400)));
        Child { target, input, retry }
    }

    /// The number of a shared id; the last ones are no valid ids.
    fn target(&mut self) -> usize {
        if self.chance.one_in(30) { usize::MAX } else { self.chance.index(64) }
    }

    fn event(&mut self) -> &'static str {
        self.chance.pick::<&str>(EVENTS)
    }

    fn millis(&mut self) -> u64 {
        match self.chance.below(10) {
            0 => 0,
            1 => 3_600_000,
            _ => self.chance.between(1, 2_000),
        }
    }

    fn bytes(&mut self) -> usize {
        if self.big && self.chance.one_in(3) {
            self.chance.between(3_000, 9_000) as usize
        } else {
            self.chance.below(24) as usize
        }
    }
}
