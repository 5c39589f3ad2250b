//! Handing out turns and taking their outcomes. At most one turn of an instance is out.

use std::sync::Arc;

use strandline_hub::{Command, Instance, Refusal, Reply, TurnFinished};
use strandline_model::{Empty, EventKind, ExecutionId, HistoryEvent, InstanceId, Timestamp};
use strandline_store::{Store, StoreError};

use super::{Answer, Input, Offer, Pipeline, Ticket};
use crate::worker::{Turn, TurnOutcome, Worker, is_among};

/// A turn somebody runs.
pub(super) struct TurnOut {
    token: u64,
    execution: ExecutionId,
    seen: usize,
    delivered: usize,
    time: Timestamp,
    /// Its outcome is back and waits in the mailbox. Until it is decided no other turn may go out.
    returned: bool,
}

impl TurnOut {
    pub(super) fn time(&self) -> Timestamp {
        self.time
    }
}

/// The orchestrators and entities that somebody can run.
#[derive(Clone)]
pub struct Served {
    /// For messages.
    names: Arc<[String]>,
    takes: Arc<Takes>,
    /// In lower case; `None` means all.
    pub(super) entities: Option<Arc<[String]>>,
}

/// Whether turns of an orchestrator of this name and version are taken.
type Takes = dyn Fn(&str, Option<&str>) -> bool + Send + Sync;

impl From<Arc<dyn Worker>> for Served {
    fn from(worker: Arc<dyn Worker>) -> Self {
        let names = worker.orchestrators().into();
        let entities = Some(worker.entities().into());
        let takes =
            Arc::new(move |name: &str, version: Option<&str>| worker.serves_orchestrator(name, version));
        Self { names, takes, entities }
    }
}

/// All versions of the orchestrators that have one of these names, and all entities.
impl From<Arc<[String]>> for Served {
    fn from(names: Arc<[String]>) -> Self {
        let known = names.clone();
        Self { names, takes: Arc::new(move |name, _| is_among(&known, name)), entities: None }
    }
}

impl Served {
    /// Of the entities only these; names are in lower case.
    #[must_use]
    pub fn with_entities(self, names: Arc<[String]>) -> Self {
        Self { entities: Some(names), ..self }
    }
}

/// A turn and the token its outcome must come back with.
#[derive(Debug)]
pub struct HandedOut {
    pub token: u64,
    pub turn: Turn,
}

impl<T: Ticket> Pipeline<T> {
    /// The next turn that is ready. `holds` tells whether the runner can continue an execution at a
    /// position without its history; `may_begin` whether one more turn may be out, and is asked when there is
    /// one.
    pub fn next_turn(
        &mut self,
        now: Timestamp,
        store: &dyn Store,
        holds: &dyn Fn(&InstanceId, ExecutionId, usize) -> bool,
        may_begin: &mut dyn FnMut() -> bool,
    ) -> Result<Option<HandedOut>, StoreError> {
        self.now = self.now.max(now);
        while self.has_room() {
            let Some(id) = self.ready.pop_front() else { break };
            self.queued.remove(&id);
            if !self.is_next(&id, store)? {
                continue;
            }
            if !may_begin() {
                self.queued.insert(id.clone(), ());
                self.ready.push_front(id);
                break;
            }
            *self.streaks.entry_or_default(id.clone()) += 1;
            return self.make_turn(&id, store, holds);
        }
        Ok(None)
    }

    /// Whether the next turn of an instance can go out, and to somebody here. If not, it is put where it belongs.
    fn is_next(&mut self, id: &InstanceId, store: &dyn Store) -> Result<bool, StoreError> {
        self.load(id, store)?;
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(false) };
        if !instance.is_ready() || self.turns_out.contains(id) {
            return Ok(false);
        }
        if !self.serves(instance) {
            self.park(id.clone());
            return Ok(false);
        }
        if *self.streaks.entry_or_default(id.clone()) >= self.config.consecutive_turns_max {
            self.resting.push(id.clone());
            return Ok(false);
        }
        Ok(true)
    }

    /// Hands out the next turn of a loaded instance that is ready and has none out.
    pub(super) fn make_turn(
        &mut self,
        id: &InstanceId,
        store: &dyn Store,
        holds: &dyn Fn(&InstanceId, ExecutionId, usize) -> bool,
    ) -> Result<Option<HandedOut>, StoreError> {
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(None) };
        self.counters.turns += 1;
        let (execution, seen) = (instance.execution, instance.history.len());
        let past = if holds(id, execution, seen) {
            None
        } else {
            self.counters.replays += u64::from(seen > 0);
            self.counters.replayed_events += seen as u64;
            self.load_history(id, store)?;
            self.partition.instance(id.as_str()).map(|i| i.history.in_memory().to_vec())
        };
        let Some(instance) = self.partition.instance(id.as_str()) else { return Ok(None) };
        // The time of a turn is never behind the events it sees.
        let time = instance.inbox.iter().map(|e| e.timestamp).fold(self.now, Timestamp::max);
        let begin = HistoryEvent::new(time, EventKind::OrchestratorStarted(Empty {}));
        let new = std::iter::once(Arc::new(begin)).chain(instance.inbox.iter().cloned()).collect();
        self.next_token += 1;
        let token = self.next_token;
        let out = TurnOut { token, execution, seen, delivered: instance.inbox.len(), time, returned: false };
        let start = instance.start();
        let turn = Turn {
            instance: id.clone(),
            execution,
            name: start.name.clone(),
            version: start.version.clone(),
            seen,
            past,
            new,
            span: instance.span.clone(),
        };
        self.now = self.now.max(time);
        self.turns_out.insert(id.clone(), out);
        Ok(Some(HandedOut { token, turn }))
    }

    /// Takes the outcome of a turn; one with a token that is not out is dropped.
    pub fn turn_finished(
        &mut self,
        id: &InstanceId,
        token: u64,
        outcome: TurnOutcome,
        ticket: Option<T>,
        entropy: &mut dyn FnMut() -> u128,
    ) {
        let Some(out) = self.turns_out.get_mut(id).filter(|out| out.token == token && !out.returned) else {
            self.refuse_stale(ticket);
            return;
        };
        out.returned = true;
        let finished = TurnFinished {
            id: id.clone(),
            execution: out.execution,
            seen: out.seen,
            delivered: out.delivered,
            time: out.time,
            actions: outcome.actions,
            custom_status: outcome.custom_status,
            span: outcome.span,
            next_execution: ExecutionId(entropy()),
            next_seed: entropy() as u64,
        };
        self.remember_awaited(id, finished.execution, outcome.awaits);
        let command = Command::TurnFinished(Box::new(finished));
        // Ahead of what came meanwhile: a turn's outcome was decided before it.
        self.mailbox.push_front(Input::Command { command, ticket });
    }

    /// A turn comes back undone: it is handed out again.
    pub fn turn_abandoned(&mut self, id: &InstanceId, token: u64) {
        if self.turns_out.get(id).is_some_and(|out| out.token == token && !out.returned) {
            self.turns_out.remove(id);
            // It may have been evicted meanwhile, so whether it is ready shows when it is handed out.
            if !self.queued.contains(id) {
                self.queued.insert(id.clone(), ());
                self.ready.push_back(id.clone());
            }
        }
    }

    /// Something came back under a token that is not out.
    pub(super) fn refuse_stale(&mut self, ticket: Option<T>) {
        *self.counters.discarded.entry(strandline_hub::Discard::StaleTurn).or_default() += 1;
        if let Some(ticket) = ticket {
            let refusal = Refusal::Stale("it is not out under this token");
            self.answer(ticket, Answer::Reply(Reply::Refused(refusal)));
        }
    }

    /// The outcome of a turn is about to be decided: the next one may go out.
    pub(super) fn turn_is_over(&mut self, id: &InstanceId, execution: ExecutionId) {
        if self.turns_out.get(id).is_some_and(|out| out.returned && out.execution == execution) {
            self.turns_out.remove(id);
        }
    }

    /// The orchestrators somebody can run; `None`: nobody is there.
    pub fn serve<S: Into<Served>>(&mut self, served: Option<S>) {
        self.served = served.map(Into::into);
        self.revive_entities();
        for (_, ids) in std::mem::take(&mut self.unserved) {
            for id in ids {
                // It may have left memory meanwhile, so whether it is ready shows when it is handed out.
                if !self.queued.contains(&id) {
                    self.queued.insert(id.clone(), ());
                    self.ready.push_back(id);
                }
            }
        }
    }

    /// Names and versions of orchestrators that wait because nobody serves them, with how many wait.
    pub fn unserved(&self) -> impl Iterator<Item = (&str, Option<&str>, usize)> {
        self.unserved.iter().map(|((name, version), ids)| (name.as_str(), version.as_deref(), ids.len()))
    }

    /// Its turn was offered to workers elsewhere.
    pub(super) fn is_offered(&self, instance: &Instance) -> bool {
        let start = instance.start();
        let key = (start.name.clone(), start.version.clone());
        self.unserved.get(&key).is_some_and(|ids| ids.contains(&instance.id))
    }

    fn serves(&self, instance: &Instance) -> bool {
        let start = instance.start();
        self.served.as_ref().is_some_and(|served| (served.takes)(&start.name, start.version.as_deref()))
    }

    fn park(&mut self, id: InstanceId) {
        let Some(instance) = self.partition.instance(id.as_str()) else { return };
        let start = instance.start();
        let key = (start.name.clone(), start.version.clone());
        if let Some(served) = &self.served
            && !self.unserved.contains_key(&key)
        {
            let (name, version) = (&key.0, &key.1);
            let nearest = crate::nearest::nearest(name, served.names.iter().map(String::as_str));
            tracing::warn!(
                orchestrator = name.as_str(),
                ?version,
                instance = id.as_str(),
                ?nearest,
                "no worker serves this orchestrator in this version: its instances wait"
            );
        }
        self.offers.push(Offer { id: id.clone(), name: key.0.clone(), version: key.1.clone() });
        self.unserved.entry(key).or_default().insert(id);
    }
}
