//! What the runs came across. A counter that stays at zero over many seeds means that the simulator no
//! longer tests what it claims to.

use std::collections::BTreeMap;
use std::fmt;

/// Everything the simulator must come across.
pub const EXPECTED: &[&str] = &[
    "action/activity",
    "action/call entity",
    "action/cancel activity",
    "action/cancel child",
    "action/cancel timer",
    "action/child",
    "action/complete",
    "action/continue as new",
    "action/fail",
    "action/fire and forget",
    "action/invalid",
    "action/lock",
    "action/send event",
    "action/signal entity",
    "action/timer",
    "action/unlock",
    "activity/cancelled",
    "activity/delivered twice",
    "activity/failed",
    "activity/late",
    "activity/run",
    "activity/survived a crash",
    "audit/compared",
    "audit/rehearsed",
    "call/cancel wait",
    "call/entity",
    "call/history",
    "call/outcome unknown",
    "call/purge",
    "call/raise",
    "call/resume",
    "call/rewind",
    "call/signal",
    "call/start",
    "call/start scheduled",
    "call/status",
    "call/suspend",
    "call/terminate",
    "call/terminate recursive",
    "call/wait ended",
    "call/wait started",
    "clock/back at restart",
    "clock/forward at restart",
    "code/awaits nothing durable",
    "code/critical section",
    "code/non-determinism",
    "code/panic",
    "code/retry policy",
    "code/status set",
    "code/too many actions",
    "crash/in append",
    "crash/in flush",
    "crash/in recovery",
    "crash/kill",
    "crash/power",
    "discard/duplicate message",
    "discard/id taken",
    "discard/invalid action",
    "discard/late result",
    "discard/stale turn",
    "discard/target over",
    "discard/unknown target",
    "entity/batch abandoned",
    "entity/batch committed",
    "entity/batch lost with the node",
    "entity/batch of several",
    "entity/came back",
    "entity/fewer results",
    "entity/holder first",
    "entity/late reply",
    "entity/old token",
    "entity/operation failed",
    "entity/reply",
    "entity/reply of a failure",
    "entity/scheduled signal",
    "entity/scheduled signal due",
    "entity/signals an entity",
    "entity/signals itself",
    "entity/starts an orchestration",
    "entity/state deleted",
    "entity/vanished",
    "event/buffered before start",
    "event/carried over",
    "event/consumed",
    "event/dropped at continue as new",
    "event/undelivered",
    "fault/failed sync",
    "fault/failed write",
    "fault/no space",
    "fault/usurped",
    "log/acknowledged group of several",
    "log/batch in several frames",
    "log/group torn",
    "log/stale epoch refused",
    "log/stale position refused",
    "log/tail recovered",
    "log/trimmed",
    "log/segment recycled",
    "log/unacknowledged kept",
    "log/unacknowledged lost",
    "pipeline/evicted",
    "pipeline/history in chunks",
    "pipeline/history replayed from chunks",
    "pipeline/loaded",
    "pipeline/replayed",
    "pipeline/speculated",
    "pipeline/turn kept out",
    "pipeline/unserved",
    "purge/done",
    "refusal/already exists",
    "refusal/invalid",
    "refusal/not failed",
    "refusal/not found",
    "refusal/not over",
    "refusal/overloaded",
    "refusal/stale",
    "refusal/storage full",
    "refusal/terminal",
    "refusal/too large",
    "reply/accepted",
    "reply/started",
    "reply/unchanged",
    "remote/abandoned",
    "remote/activity",
    "remote/batch",
    "remote/claimed for nobody",
    "remote/claimed in vain",
    "remote/connected",
    "remote/disconnected with work",
    "remote/killed while out",
    "remote/lease expired",
    "remote/no place",
    "remote/no place here",
    "remote/poison activity",
    "remote/poison batch",
    "remote/poison turn",
    "remote/returned",
    "remote/returned before",
    "remote/too large",
    "remote/turn",
    "remote/unknown token",
    "remote/withdrawn",
    "rewind/call sent again",
    "rewind/child begins anew",
    "rewind/code parts",
    "rewind/completed child",
    "rewind/ends a child",
    "rewind/failed child",
    "rewind/keeps other failures",
    "rewind/live child",
    "rewind/of a task",
    "rewind/of the code",
    "rewind/takes back what followed",
    "section/call inside",
    "section/calls delayed",
    "section/given up",
    "section/granted",
    "section/late grant given back",
    "section/left by continue as new",
    "section/left by failure",
    "section/left by termination",
    "section/left by the code",
    "section/left by the end",
    "section/regained after a rewind",
    "section/several locks",
    "section/transfer torn",
    "section/transfer whole",
    "start/by an entity",
    "start/replaced live",
    "start/replaced terminal",
    "timer/fired",
    "timer/overdue at restart",
    "tree/child refused",
    "tree/child told its parent",
    "tree/child told its parent again",
    "tree/terminated with its parent",
    "turn/out while suspended",
    "worker/evicted",
    "worker/shadow replay",
];

/// Counters by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage(BTreeMap<&'static str, u64>);

impl Coverage {
    pub(crate) fn hit(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(crate) fn add(&mut self, name: &'static str, count: u64) {
        debug_assert!(EXPECTED.contains(&name), "{name} is not listed");
        if count > 0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    pub fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        EXPECTED.iter().copied().filter(|name| self.count(name) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in EXPECTED {
            writeln!(f, "{name:<34} {:>12}", self.count(name))?;
        }
        Ok(())
    }
}
