//! What clients do besides starting and watching orchestrations: signals and reads of entities, purges,
//! rewinds.

use std::time::Duration;

use strandline_engine::pipeline::Read;
use strandline_hub::Command;
use strandline_model::{EntityOperation, EventKind, ExecutionId, InstanceId, Origin};
use strandline_store::PartitionRef;

use crate::Violation;
use crate::account::{ACCOUNTS, Act, account};
use crate::auditor::{CallKind, Known, Reference};
use crate::world::World;

impl World {
    /// An account of a hub.
    fn some_account(&mut self) -> (PartitionRef, InstanceId) {
        let hubs: Vec<u32> = self.hubs.keys().copied().collect();
        let hub = *self.chance.pick(&hubs);
        let id = InstanceId::trusted(account(self.chance.index(ACCOUNTS)));
        (self.partition_of(hub, id.as_str()), id)
    }

    pub(crate) fn signal(&mut self) -> Result<(), Violation> {
        let (mut at, mut id) = self.some_account();
        let now = self.now();
        let act = Act::random(&mut self.chance, now);
        let mut name = act.name();
        match self.chance.below(60) {
            0 => name = String::new(),
            1 => name = "n".repeat(257),
            2 => {
                id = InstanceId::trusted("@nobody");
                at = self.partition_of(at.hub, id.as_str());
            }
            _ => {}
        }
        let later = self.chance.one_in(5).then(|| self.chance.below(4_000) * 1_000_001);
        let token = self.token();
        let operation = EntityOperation {
            request_id: format!("c{token}"),
            name,
            input: Some(act.input(&format!("c{token}"))),
            caller: None,
            scheduled_time: later.map(|nanos| self.now().saturating_add(Duration::from_nanos(nanos))),
            trace: None,
        };
        self.coverage.hit("call/signal");
        let kind = CallKind::Signal { operation: operation.clone() };
        self.command(at, id.clone(), kind, Command::SignalEntity { id, operation });
        Ok(())
    }

    pub(crate) fn read_entity(&mut self) -> Result<(), Violation> {
        let (at, id) = self.some_account();
        self.read(at, id, Read::Entity, "call/entity");
        Ok(())
    }

    /// An instance to purge or rewind: mostly one for which that is allowed.
    fn someone_who(&mut self, wanted: impl Fn(&Reference, &Known) -> bool) -> (PartitionRef, InstanceId) {
        if self.chance.one_in(4) {
            return self.someone();
        }
        let reference = &self.auditor.reference;
        let fit: Vec<_> = reference.known().filter(|(_, _, known)| wanted(reference, known)).collect();
        if fit.is_empty() {
            return self.someone();
        }
        let (at, id, _) = self.chance.pick(&fit);
        (*at, (*id).clone())
    }

    pub(crate) fn purge_someone(&mut self) -> Result<(), Violation> {
        let (at, id) = self.someone_who(|_, known| known.is_over());
        let known = self.auditor.reference.instance(at, &id).map(|known| known.execution);
        let execution = match self.chance.below(4) {
            0 => known,
            1 => self.chance.one_in(3).then_some(ExecutionId(7)),
            _ => None,
        };
        self.coverage.hit("call/purge");
        let command = Command::Purge { id: id.clone(), execution };
        self.command(at, id, CallKind::Purge { execution }, command);
        Ok(())
    }

    pub(crate) fn rewind_someone(&mut self) -> Result<(), Violation> {
        // What a task failed has more to it than what the code did, and most if that was a child.
        let kind = self.chance.below(8);
        let (at, id) = self.someone_who(|reference, known| match known.origin() {
            Some(Origin::Task(_)) if kind < 4 => true,
            Some(Origin::Task(task)) => reference.history(known.execution).iter().any(
                |event| matches!(event.kind(), EventKind::SubOrchestrationFailed(e) if e.task_id == task),
            ),
            Some(_) => kind == 0,
            None => false,
        });
        self.rewind(at, id);
        Ok(())
    }

    pub(crate) fn rewind(&mut self, at: PartitionRef, id: InstanceId) {
        let reason = self.reason();
        let execution = ExecutionId(self.chance.wide());
        self.coverage.hit("call/rewind");
        let kind = CallKind::Rewind { reason: reason.clone(), execution };
        self.command(at, id.clone(), kind, Command::Rewind { id, reason, execution });
    }
}
