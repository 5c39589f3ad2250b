//! The end of a run: nothing goes wrong any more, so everything that can finish must finish.

use std::collections::BTreeSet;

use strandline_engine::pipeline::{Input, Read};
use strandline_hub::Command;
use strandline_hub::message::LockOwner;
use strandline_model::{ExecutionId, InstanceId};
use strandline_store::{PartitionRef, Store, StoreError};

use crate::Violation;
use crate::auditor::{CallKind, Item, Place, Task};
use crate::world::World;

/// Rounds after which a hub that still moves will never rest.
const ROUNDS_MAX: u32 = 3_000;

impl World {
    pub(crate) fn drain(&mut self) -> Result<(), Violation> {
        self.trace.tell(|| "-- heals --".to_owned());
        self.heal()?;
        self.settle()?;
        for _ in 0..4 {
            let suspended = self.instances(|known| known.suspended);
            for (at, id) in suspended {
                let reason = Some(format!("t{}", self.token()));
                self.resume(at, id, reason);
            }
            self.settle()?;
        }
        self.check_waiting()?;
        self.rewind_what_failed()?;
        // Children may appear while their parents end, so once is not enough.
        for _ in 0..8 {
            for (at, id) in self.instances(|_| true) {
                let reason = Some(format!("t{}", self.token()));
                self.terminate(at, id, reason, false);
            }
            self.settle()?;
        }
        self.check_rest()?;
        self.auditor.check_money()?;
        self.read_everything()?;
        self.auditor.check_events()?;
        self.purge_some()?;
        self.flush_all()?;
        self.audit()?;
        self.check_rows()?;
        self.end()
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.knobs.crash_every = 0;
        self.knobs.slow_turns = u64::MAX;
        self.awkward = false;
        self.disk.set_capacity(None);
        // What was armed is put off for ever.
        self.disk.crash_at(1 << 60);
        self.disk.fail_write_at(1 << 60);
        self.disk.fail_sync_at(1 << 60);
        if self.faulty || self.chance.one_in(2) {
            self.crash()?;
        }
        self.ghost.clear();
        self.serve(true);
        self.disconnect_all()?;
        self.connect_good_workers()
    }

    fn instances(&self, wanted: impl Fn(&crate::auditor::Known) -> bool) -> Vec<(PartitionRef, InstanceId)> {
        let live = self.auditor.reference.known().filter(|(_, _, known)| !known.is_over() && wanted(known));
        live.map(|(at, id, _)| (at, id.clone())).collect()
    }

    /// Works until nothing moves, letting time pass to the next timer whenever it would stop.
    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..ROUNDS_MAX {
            self.round()?;
            self.start_over_if_broken()?;
            let Some(node) = &self.node else { continue };
            if node.is_idle() && self.activities.is_empty() {
                let timers = node.pipelines.values().filter_map(|p| p.next_due_millis());
                let timers = timers.map(|due| i128::from(due) * 1_000_000);
                let elsewhere = node.remote.values().filter_map(|r| r.dispatcher.next_due());
                let due = timers.chain(elsewhere.map(|due| due.as_nanos())).min();
                let Some(due) = due else { return Ok(()) };
                self.pass((due - self.engine).max(0));
            }
        }
        let busy: Vec<_> = self.instances(|_| true);
        Err(format!("the hub does not come to rest; live: {busy:?}"))
    }

    fn round(&mut self) -> Result<(), Violation> {
        self.pass(1_000_000);
        let all: Vec<PartitionRef> = self.node.iter().flat_map(|n| n.pipelines.keys().copied()).collect();
        while !self.activities.is_empty() {
            self.work()?;
        }
        while self.node.as_ref().is_some_and(|n| !n.turns.is_empty()) {
            self.return_turn()?;
        }
        while self.node.as_ref().is_some_and(|n| !n.batches.is_empty()) {
            self.run_batch()?;
        }
        self.remote_round()?;
        while self.node.as_ref().is_some_and(|n| !n.messages.is_empty()) {
            self.deliver()?;
        }
        for at in &all {
            self.decide(*at)?;
            while !self.broken && self.hand_out_turn(*at)? {}
            self.hand_over(*at, true);
        }
        while !self.broken && self.node.as_ref().is_some_and(|n| !n.queue.is_empty()) {
            self.append()?;
            self.acknowledge()?;
        }
        while self.node.as_ref().is_some_and(|n| !n.acks.is_empty()) {
            self.acknowledge()?;
        }
        for at in &all {
            self.release(*at)?;
        }
        self.end_flush()?;
        if self.chance.one_in(8)
            && self.node.as_ref().is_some_and(|n| n.pipelines.values().any(|p| p.wants_flush()))
        {
            self.begin_flush()?;
        }
        Ok(())
    }

    /// What failed is done again, before and while what it waits for goes on.
    fn rewind_what_failed(&mut self) -> Result<(), Violation> {
        for _ in 0..self.chance.below(4) {
            let failed = self.auditor.reference.known().filter(|(_, _, known)| known.origin().is_some());
            let failed: Vec<_> = failed.map(|(at, id, _)| (at, id.clone())).collect();
            for (at, id) in failed {
                if self.chance.one_in(2) {
                    self.rewind(at, id);
                }
            }
            self.settle()?;
            self.check_waiting()?;
        }
        Ok(())
    }

    /// At rest, an instance that is not over waits for an event or for a child that does, or for a worker.
    fn check_waiting(&self) -> Result<(), Violation> {
        for (at, id, known) in self.auditor.reference.known().filter(|(_, _, k)| !k.is_over()) {
            let unserved = known.start().name == "Unserved";
            let waits = known.inbox.is_empty() || unserved || known.regains_locks();
            let stuck = known.suspended || !waits;
            let delayed = |entity: &str| {
                known.sections.values().flat_map(|s| &s.delayed).any(|(target, _)| target == entity)
            };
            let child_over = |task: &Task| match task {
                Task::Child(child) => {
                    let child = InstanceId::trusted(child.as_str());
                    let there = self.partition_of(at.hub, child.as_str());
                    let found = self.auditor.reference.instance(there, &child);
                    let ours = found.filter(|child| {
                        child
                            .start()
                            .parent
                            .as_ref()
                            .is_some_and(|p| p.execution_id == known.start().execution_id)
                    });
                    ours.is_none_or(|child| child.is_over())
                }
                Task::Call(entity) if delayed(entity) => false,
                Task::Call(entity) => !self.queues(at.hub, entity, |item| match item {
                    Item::Operation(operation, _) => operation.caller.as_ref().is_some_and(|caller| {
                        (&*caller.instance_id, &caller.execution_id)
                            == (id.as_str(), &known.start().execution_id)
                    }),
                    Item::Lock(_) => false,
                }),
                Task::Activity(_) | Task::Timer(_) => true,
            };
            for (section_id, section) in &known.sections {
                for (entity, _) in section.places.iter().filter(|(_, place)| *place == Place::Asked) {
                    let ours = |owner: &LockOwner| {
                        (&*owner.instance_id, &*owner.section_id) == (id.as_str(), section_id)
                    };
                    let asks = |item: &Item| matches!(item, Item::Lock(owner) if ours(owner));
                    if !self.queues(at.hub, entity, asks) {
                        return Err(format!("{id} waits for {entity} for ever: {section:?}"));
                    }
                }
            }
            if stuck || known.open.values().any(child_over) {
                return Err(format!("{id} at {at:?} never goes on, though nothing holds it back: {known:?}"));
            }
        }
        // What waits for an entity waits for the holder of its lock, and that one goes on.
        for (at, id, entity) in self.auditor.reference.entities() {
            let held = entity.lock.as_ref().is_some_and(|owner| {
                let holder = InstanceId::trusted(owner.instance_id.as_str());
                let there = self.partition_of(at.hub, &owner.instance_id);
                self.auditor
                    .reference
                    .instance(there, &holder)
                    .is_some_and(|known| !known.is_over() && known.start().execution_id == owner.execution_id)
            });
            let waits = entity.lock.is_some() || !entity.queue.is_empty();
            if waits && (!held || !entity.may_run().is_empty()) {
                return Err(format!("{id} at {at:?} never goes on: {entity:?}"));
            }
        }
        Ok(())
    }

    /// Something of this kind waits for an entity.
    fn queues(&self, hub: u32, entity: &str, wanted: impl Fn(&Item) -> bool) -> bool {
        let at = self.partition_of(hub, entity);
        let books = self.auditor.reference.books(at);
        let entity = books.and_then(|books| books.entities.get(&InstanceId::trusted(entity)));
        entity.is_some_and(|entity| entity.queue.iter().any(|waiting| wanted(&waiting.item)))
    }

    /// Everything was told to end: nothing may be left of it but the results.
    fn check_rest(&mut self) -> Result<(), Violation> {
        if let Some((at, id)) = self.instances(|_| true).first() {
            return Err(format!("{id} at {at:?} lives on though it was terminated"));
        }
        for (number, call) in self.auditor.calls.unanswered() {
            let may_wait = matches!(call.kind, CallKind::Read(Read::Started | Read::Ended));
            if !may_wait || self.auditor.reference.instance(call.at, &call.id).is_some() {
                return Err(format!("call {number} is never answered: {call:?}"));
            }
        }
        for (at, id, entity) in self.auditor.reference.entities() {
            if entity.lock.is_some() || !entity.queue.is_empty() || !entity.scheduled.is_empty() {
                return Err(format!("{id} at {at:?} does not come to rest: {entity:?}"));
            }
        }
        let Some(node) = &self.node else { return Ok(()) };
        for (at, pipeline) in &node.pipelines {
            let partition = pipeline.partition();
            if let Some(timer) = partition.timers().next() {
                return Err(format!("{at:?} keeps the timer {timer:?} though nothing is live"));
            }
            let unsent = (0..self.hubs[&at.hub]).flat_map(|to| partition.outbox(to, 0)).next();
            if let Some(message) = unsent {
                return Err(format!("{at:?} keeps the message {message:?} though all were taken"));
            }
        }
        Ok(())
    }

    /// Reads every status and history through the client, page by page.
    fn read_everything(&mut self) -> Result<(), Violation> {
        let all: Vec<_> = self.auditor.reference.known().map(|(at, id, _)| (at, id.clone())).collect();
        for (at, id) in all {
            let length = self.auditor.reference.instance(at, &id).map(|known| known.execution);
            let length = length.map_or(0, |e: ExecutionId| self.auditor.reference.history(e).len());
            let page = 1 + self.chance.index(60);
            for from in (0..=length).step_by(page) {
                self.read(at, id.clone(), Read::History { from, max: page }, "call/history");
            }
            self.read(at, id.clone(), Read::Status, "call/status");
            self.read(at, id, Read::Ended, "call/wait ended");
        }
        self.settle()?;
        match self
            .auditor
            .calls
            .unanswered()
            .find(|(_, call)| self.auditor.reference.instance(call.at, &call.id).is_some())
        {
            None => Ok(()),
            Some((number, call)) => Err(format!("call {number} is never answered: {call:?}")),
        }
    }

    /// Clients tidy up.
    fn purge_some(&mut self) -> Result<(), Violation> {
        for _ in 0..self.chance.below(4) {
            self.purge_someone()?;
        }
        self.settle()
    }

    /// The tables hold just what there is: no row of what was purged or deleted, no chunk of an execution
    /// that nobody can ask for.
    fn check_rows(&mut self) -> Result<(), Violation> {
        let Some(node) = &self.node else { return Ok(()) };
        let failed = |error: StoreError| format!("the tables can't be read: {error}");
        let reference = &self.auditor.reference;
        for (at, id) in reference.instance_ids() {
            let row = node.store.instance(*at, id.as_str()).map_err(failed)?;
            if row.is_some() != reference.instance(*at, id).is_some() {
                return Err(format!("the tables hold {row:?} of {id} at {at:?}"));
            }
        }
        for at in node.pipelines.keys() {
            for id in reference.entity_ids(*at) {
                let row = node.store.entity(*at, id.as_str()).map_err(failed)?;
                if row.is_some() != reference.entities().any(|(there, known, _)| there == *at && known == id)
                {
                    return Err(format!("the tables hold {row:?} of {id} at {at:?}"));
                }
            }
        }
        let current: BTreeSet<ExecutionId> = reference.known().map(|(_, _, known)| known.execution).collect();
        for (execution, at) in reference.executions.iter().filter_map(|(e, known)| Some((*e, known.at?))) {
            if !current.contains(&execution) && node.store.chunk(at, execution, 0).map_err(failed)?.is_some()
            {
                return Err(format!("the history of {execution}, which is gone, is still in the tables"));
            }
        }
        Ok(())
    }

    fn flush_all(&mut self) -> Result<(), Violation> {
        for _ in 0..40 {
            if self.node.as_ref().is_some_and(|n| n.pipelines.values().all(|p| p.is_flushed())) {
                break;
            }
            self.begin_flush()?;
            self.round()?;
            self.end_flush()?;
            self.start_over_if_broken()?;
        }
        let Some(node) = &self.node else { return Ok(()) };
        match node.pipelines.values().find(|p| !p.is_flushed()) {
            None => Ok(()),
            Some(pipeline) => Err(format!("{:?} is never flushed", pipeline.at())),
        }
    }

    /// A clean end, and a look at what the next node finds.
    fn end(&mut self) -> Result<(), Violation> {
        if let Some(node) = &self.node {
            strandline_store::Store::close(&*node.store)
                .map_err(|e| format!("the store can't be closed: {e}"))?;
        }
        self.crash()?;
        let unread = Command::Acknowledged { by: 0, sequence: 0 };
        if let Some(node) = &mut self.node {
            // An acknowledgement of nothing changes nothing.
            for pipeline in node.pipelines.values_mut() {
                pipeline.submit(Input::Command { command: unread.clone(), ticket: None });
            }
        }
        self.settle()?;
        self.audit()
    }
}
