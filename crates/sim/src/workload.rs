//! Clients: every call, at random times, about few instances.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use strandline_engine::pipeline::{Input, Read};
use strandline_hub::{Command, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId, RuntimeStatus, Timestamp};
use strandline_store::PartitionRef;

use crate::Violation;
use crate::auditor::{Call, CallKind, CallState};
use crate::node::Ticket;
use crate::program::{self, EVENTS};
use crate::world::World;

impl World {
    /// A client calls.
    pub(crate) fn call(&mut self) -> Result<(), Violation> {
        const WEIGHTS: [u32; 12] = [30, 25, 6, 5, 7, 12, 8, 7, 18, 6, 7, 24];
        let kind = self.chance.weighted(WEIGHTS.into_iter());
        match kind {
            8 => return self.signal(),
            9 => return self.read_entity(),
            10 => return self.purge_someone(),
            11 => return self.rewind_someone(),
            _ => {}
        }
        let (at, id) = self.someone();
        match kind {
            0 => self.start(at, id),
            1 => {
                let name = match self.chance.below(40) {
                    0 => String::new(),
                    1 => "n".repeat(257),
                    _ => (*self.chance.pick(EVENTS)).to_owned(),
                };
                let input = self.text();
                self.raise(at, id, name, input);
            }
            2 => {
                let recursive = self.chance.one_in(2);
                let reason = self.reason();
                self.terminate(at, id, reason, recursive);
            }
            3 => {
                self.coverage.hit("call/suspend");
                let reason = self.reason();
                let command = Command::Suspend { id: id.clone(), reason: reason.clone() };
                self.command(at, id, CallKind::Suspend { reason }, command);
            }
            4 => {
                let reason = self.reason();
                self.resume(at, id, reason);
            }
            5 => self.read(at, id, Read::Status, "call/status"),
            6 => {
                let (from, max) = (self.chance.index(12), 1 + self.chance.index(40));
                self.read(at, id, Read::History { from, max }, "call/history");
            }
            _ if self.chance.one_in(2) => self.read(at, id, Read::Started, "call/wait started"),
            _ => self.read(at, id, Read::Ended, "call/wait ended"),
        }
        Ok(())
    }

    /// An instance to call: mostly a shared id, sometimes a child's.
    pub(crate) fn someone(&mut self) -> (PartitionRef, InstanceId) {
        let hubs: Vec<u32> = self.hubs.keys().copied().collect();
        let hub = *self.chance.pick(&hubs);
        let ids = self.knobs.ids.clone();
        let mut id = InstanceId::trusted(self.chance.pick(&ids).as_str());
        if self.chance.one_in(10) {
            let known = self.auditor.reference.known().filter(|(at, ..)| at.hub == hub).count();
            if known > 0 {
                let index = self.chance.index(known);
                let mut known = self.auditor.reference.known().filter(|(at, ..)| at.hub == hub);
                id = known.nth(index).map_or(id, |(_, known, _)| known.clone());
            }
        }
        (self.partition_of(hub, id.as_str()), id)
    }

    fn start(&mut self, at: PartitionRef, id: InstanceId) {
        use RuntimeStatus::{Completed, Failed, Pending, Running, Suspended, Terminated};
        let reuse = match self.chance.below(5) {
            0 => ReusePolicy::refuse(),
            1 | 2 => ReusePolicy::replace_terminal(),
            3 => ReusePolicy::replace_any(),
            _ => {
                let mut replaceable = vec![Completed, Failed, Pending, Running, Suspended, Terminated];
                replaceable.retain(|_| self.chance.one_in(2));
                ReusePolicy { replaceable }
            }
        };
        let scheduled = self.chance.one_in(8).then(|| self.scheduled());
        let name = match self.chance.below(60) {
            0 => String::new(),
            1 => "n".repeat(257),
            2 => "Unserved".to_owned(),
            _ => "Main".to_owned(),
        };
        let mut tags = BTreeMap::new();
        if self.chance.one_in(10) {
            tags.insert("color".to_owned(), "blue".to_owned());
        }
        if self.chance.one_in(100) {
            tags.extend((0..65).map(|n| (n.to_string(), String::new())));
        }
        let input = program::input(&mut self.chance, self.knobs.big);
        let start = Start {
            id: id.clone(),
            name,
            version: self.chance.one_in(5).then(|| "1".to_owned()),
            input: Some(input),
            tags,
            scheduled_start: scheduled,
            reuse: reuse.clone(),
            execution: ExecutionId(self.chance.wide()),
            seed: self.chance.next(),
            trace_parent: None,
            trace_state: None,
        };
        self.coverage.hit(if scheduled.is_some() { "call/start scheduled" } else { "call/start" });
        let kind = CallKind::Start { execution: start.execution, reuse, scheduled };
        self.command(at, id, kind, Command::Start(Box::new(start)));
    }

    fn scheduled(&mut self) -> Timestamp {
        let millis = self.chance.below(6_000);
        if self.chance.one_in(6) {
            return Timestamp::from_nanos(self.engine - 1);
        }
        self.now().saturating_add(Duration::from_nanos(millis * 1_000_000 + 1))
    }

    fn raise(&mut self, at: PartitionRef, id: InstanceId, name: String, input: Option<String>) {
        self.coverage.hit("call/raise");
        let kind = CallKind::Raise { name: name.clone(), input: input.clone() };
        self.command(at, id.clone(), kind, Command::RaiseEvent { id, name, input });
    }

    pub(crate) fn terminate(
        &mut self,
        at: PartitionRef,
        id: InstanceId,
        reason: Option<String>,
        recursive: bool,
    ) {
        self.coverage.hit(if recursive { "call/terminate recursive" } else { "call/terminate" });
        let kind = CallKind::Terminate { reason: reason.clone(), recursive };
        self.command(at, id.clone(), kind, Command::Terminate { id, reason, recursive });
    }

    pub(crate) fn resume(&mut self, at: PartitionRef, id: InstanceId, reason: Option<String>) {
        self.coverage.hit("call/resume");
        let command = Command::Resume { id: id.clone(), reason: reason.clone() };
        self.command(at, id, CallKind::Resume { reason }, command);
    }

    /// A text that no other call uses, or none.
    pub(crate) fn text(&mut self) -> Option<String> {
        let token = self.token();
        if self.chance.one_in(12) {
            return None;
        }
        let bytes = if self.knobs.big && self.chance.one_in(4) { 6_000 } else { self.chance.index(20) };
        Some(format!("t{token} {}", "é".repeat(bytes)))
    }

    pub(crate) fn reason(&mut self) -> Option<String> {
        if self.chance.one_in(30) {
            Some("r".repeat(5_000))
        } else {
            self.text().map(|t| t.chars().take(90).collect())
        }
    }

    pub(crate) fn command(&mut self, at: PartitionRef, id: InstanceId, kind: CallKind, command: Command) {
        let ticket = self.ticket(at, &id, kind);
        self.submit(at, Input::Command { command, ticket: Some(ticket) });
    }

    pub(crate) fn read(&mut self, at: PartitionRef, id: InstanceId, read: Read, name: &'static str) {
        self.coverage.hit(name);
        let ticket = self.ticket(at, &id, CallKind::Read(read));
        if matches!(read, Read::Started | Read::Ended) {
            self.waits.push((ticket.call, ticket.abandoned.clone()));
        }
        self.submit(at, Input::Read { id, read, ticket });
    }

    fn ticket(&mut self, at: PartitionRef, id: &InstanceId, kind: CallKind) -> Ticket {
        let since = self.auditor.reference.version(at, id);
        let call = Call { at, id: id.clone(), kind, since, state: CallState::Open, recorded: None };
        self.trace.tell(|| format!("call {}: {id} {:?}", self.auditor.calls.len(), call.kind));
        Ticket { call: self.auditor.calls.open(call), abandoned: Rc::new(Cell::new(false)) }
    }

    fn submit(&mut self, at: PartitionRef, input: Input<Ticket>) {
        if let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&at)) {
            pipeline.submit(input);
        }
    }

    /// A client that waits for an instance goes away.
    pub(crate) fn give_up_waiting(&mut self) {
        if self.waits.is_empty() {
            return;
        }
        let index = self.chance.index(self.waits.len());
        let (call, abandoned) = self.waits.swap_remove(index);
        if self.auditor.calls.get(call).state == CallState::Open {
            self.coverage.hit("call/cancel wait");
            abandoned.set(true);
            // Nobody is there to be answered, so this can't fail.
            let _closed = self.auditor.calls.close(call, CallState::Lost);
        }
    }

    /// Time jumps to the next timer.
    pub(crate) fn skip_to_timer(&mut self) -> Result<(), Violation> {
        let due =
            self.node.as_ref().and_then(|n| n.pipelines.values().filter_map(|p| p.next_due_millis()).min());
        if let Some(due) = due {
            // Sometimes a moment too early.
            let early = i128::from(self.chance.below(3)) * 300_000;
            let ahead = i128::from(due) * 1_000_000 - self.engine - early;
            if ahead > 0 {
                self.pass(ahead);
            }
        }
        Ok(())
    }
}
