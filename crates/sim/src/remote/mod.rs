//! Workers elsewhere. The dispatcher is the real one; around it is what the runtime does, one step at a
//! time: work is offered, claimed, sent, and handed back to its partition.

mod workers;

use std::collections::BTreeMap;

use strandline_engine::dispatch::{
    ConnectionId, Dispatcher, Item, Kind, Lease, Line, Order, Poison, Seat, Token,
};
use strandline_engine::pipeline::{ActivityDispatch, Claimed, ClaimedWork, EntityDispatch, Offer};
use strandline_engine::worker::{Turn, TurnOutcome};
use strandline_model::{
    Action, ActionKind, Completion, EntityOutcome, ExecutionId, FailureDetails, InstanceId, Origin, Timestamp,
};
use strandline_store::PartitionRef;

use crate::Violation;
use crate::auditor::POISON;
use crate::node::TurnDone;
use crate::world::World;

/// The workers elsewhere of one hub, as its node knows them.
pub(crate) struct Remote {
    pub(crate) dispatcher: Dispatcher,
    /// What each connected worker has, in the order it came.
    held: BTreeMap<ConnectionId, Vec<Token>>,
    /// Everything that was ever sent.
    loads: BTreeMap<Token, Load>,
}

/// What a worker gets to do.
#[derive(Clone)]
pub(crate) enum Load {
    Turn { at: PartitionRef, claimed: u64, turn: Turn },
    Activity(ActivityDispatch),
    Batch(EntityDispatch),
}

/// On its way to a partition.
pub(crate) enum Handover {
    Claim { offer: Offer, token: Token },
    GiveBack { id: InstanceId, claimed: u64 },
    Turn(TurnDone),
    Batch { id: InstanceId, claimed: u64, outcome: EntityOutcome },
}

impl Remote {
    pub(crate) fn new(dispatcher: Dispatcher) -> Self {
        Self { dispatcher, held: BTreeMap::new(), loads: BTreeMap::new() }
    }

    /// No worker has anything to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.held.values().all(Vec::is_empty)
    }

    /// What workers have, to be remembered after the node is gone.
    pub(crate) fn out(&self) -> impl Iterator<Item = Token> {
        self.held.values().flatten().copied()
    }
}

impl World {
    /// Changes the dispatcher of a hub. What it orders is to be [carried out](Self::carry_out) next.
    fn dispatch<R>(
        &mut self,
        hub: u32,
        change: impl FnOnce(&mut Dispatcher, Timestamp, &mut dyn FnMut() -> u128) -> R,
    ) -> Option<R> {
        let now = self.now();
        let chance = &mut self.chance;
        let remote = self.node.as_mut()?.remote.get_mut(&hub)?;
        Some(change(&mut remote.dispatcher, now, &mut || chance.wide()))
    }

    fn carry_out(&mut self, hub: u32) -> Result<(), Violation> {
        let Some(remote) = self.node.as_mut().and_then(|n| n.remote.get_mut(&hub)) else { return Ok(()) };
        for order in remote.dispatcher.take_orders() {
            match order {
                Order::Claim { partition, offer, token } => {
                    self.auditor.claim_begins(hub, self.leased_to(hub, token), token, &offer.id)?;
                    self.hand(PartitionRef { hub, partition }, Handover::Claim { offer, token });
                }
                Order::Send { connection, token, activity } => {
                    self.send(hub, connection, token, Load::Activity(activity))?;
                }
                Order::GiveBack { partition, id, claimed } => {
                    self.hand(PartitionRef { hub, partition }, Handover::GiveBack { id, claimed });
                }
                Order::Here { kind: Kind::Orchestration, seat } => self.grant(hub, seat),
                Order::Here { kind, seat } => {
                    return Err(format!("{seat:?} did not ask for a place of {kind:?}"));
                }
                Order::Fail { lease, reason } => self.fail(hub, &lease, &reason)?,
            }
        }
        let Some(node) = &self.node else { return Ok(()) };
        let Some(remote) = node.remote.get(&hub) else { return Ok(()) };
        let here = node.turns_here(hub);
        let out_max = self.knobs.remote.as_ref().map(|remote| remote.dispatch.out_max).unwrap_or_default();
        self.auditor.check_dispatcher(hub, &remote.dispatcher, out_max, here)
    }

    fn grant(&mut self, hub: u32, seat: Seat) {
        if let Some(node) = &mut self.node {
            let at = PartitionRef { hub, partition: seat.0 as u16 };
            *node.places.entry(at).or_default() += 1;
        }
    }

    /// A turn that ran here is over, or a place for one is not needed.
    pub(crate) fn turn_over(&mut self, hub: u32) -> Result<(), Violation> {
        self.dispatch(hub, |dispatcher, _, random| dispatcher.over_here(Kind::Orchestration, random));
        self.carry_out(hub)
    }

    fn leased_to(&self, hub: u32, token: Token) -> Option<ConnectionId> {
        let remote = self.node.as_ref()?.remote.get(&hub)?;
        Some(remote.dispatcher.lease_of(token)?.connection)
    }

    fn hand(&mut self, at: PartitionRef, handover: Handover) {
        if let Some(node) = &mut self.node {
            node.handovers.entry(at).or_default().push_back(handover);
        }
    }

    /// A partition takes what workers elsewhere have for it: all, or what has come so far.
    pub(crate) fn take_handovers(&mut self, at: PartitionRef) {
        let Some(node) = &mut self.node else { return };
        let (Some(queue), Some(pipeline)) = (node.handovers.get_mut(&at), node.pipelines.get_mut(&at)) else {
            return;
        };
        let chance = &mut self.chance;
        let late = self.awkward && chance.one_in(3);
        let count = if late { chance.index(queue.len() + 1) } else { queue.len() };
        for handover in queue.drain(..count) {
            let mut entropy = || chance.wide();
            match handover {
                Handover::Claim { offer, token } => pipeline.claim(offer, token.0),
                Handover::GiveBack { id, claimed } if id.is_entity() => {
                    pipeline.entity_abandoned(&id, claimed);
                }
                Handover::GiveBack { id, claimed } => pipeline.turn_abandoned(&id, claimed),
                Handover::Turn(done) => {
                    pipeline.turn_finished(&done.instance, done.token, done.outcome, None, &mut entropy);
                }
                Handover::Batch { id, claimed, outcome } => {
                    pipeline.entity_finished(&id, claimed, outcome, None, &mut entropy);
                }
            }
        }
    }

    /// Whether activities of this name run here.
    pub(crate) fn runs_here(&self, name: &str) -> bool {
        self.knobs.remote.as_ref().is_none_or(|remote| self.served && !remote.activities.contains(name))
    }

    pub(crate) fn offer(&mut self, hub: u32, item: Item) -> Result<(), Violation> {
        self.dispatch(hub, |dispatcher, now, random| dispatcher.offer(item, now, random));
        self.carry_out(hub)
    }

    /// What a partition offers since the last time.
    pub(crate) fn offer_all(&mut self, at: PartitionRef) -> Result<(), Violation> {
        let Some(pipeline) = self.node.as_mut().and_then(|n| n.pipelines.get_mut(&at)) else { return Ok(()) };
        for offer in pipeline.take_offers() {
            self.trace.tell(|| format!("{at:?} offers {offer:?}"));
            self.offer(at.hub, Item::Offer { partition: at.partition, offer })?;
        }
        Ok(())
    }

    /// What was claimed may leave now.
    pub(crate) fn claimed(&mut self, at: PartitionRef, claimed: Claimed) -> Result<(), Violation> {
        let (hub, token) = (at.hub, Token(claimed.claim));
        self.auditor.claim_ends(token);
        let to = self
            .dispatch(hub, |dispatcher, now, random| dispatcher.claimed(at.partition, &claimed, now, random));
        let load = claimed.work.map(|work| match work {
            ClaimedWork::Turn(out) => Load::Turn { at, claimed: out.token, turn: out.turn },
            ClaimedWork::Entity(batch) => Load::Batch(batch),
        });
        match (to.flatten(), load) {
            (Some(connection), Some(load)) => self.send(hub, connection, token, load)?,
            (None, Some(_)) => self.coverage.hit("remote/claimed for nobody"),
            (None, None) => self.coverage.hit("remote/claimed in vain"),
            (Some(to), None) => return Err(format!("{to:?} is to get nothing")),
        }
        self.carry_out(hub)
    }

    fn send(
        &mut self,
        hub: u32,
        connection: ConnectionId,
        token: Token,
        load: Load,
    ) -> Result<(), Violation> {
        self.trace.tell(|| format!("hub {hub} sends {token:?} to {connection:?}: {load:?}"));
        self.coverage.hit(match &load {
            Load::Turn { .. } => "remote/turn",
            Load::Activity(_) => "remote/activity",
            Load::Batch(_) => "remote/batch",
        });
        self.auditor.leaves(hub, connection, token, &load)?;
        let large = self.awkward && self.chance.one_in(20);
        if large {
            let bytes = 5 << 20;
            self.dispatch(hub, |dispatcher, now, _| dispatcher.sent(token, bytes, now));
            self.auditor.was_large(token, bytes);
        }
        if let Some(remote) = self.node.as_mut().and_then(|n| n.remote.get_mut(&hub)) {
            remote.held.entry(connection).or_default().push(token);
            remote.loads.insert(token, load);
        }
        Ok(())
    }

    /// Nobody could carry it out: that is its result.
    fn fail(&mut self, hub: u32, lease: &Lease, reason: &Poison) -> Result<(), Violation> {
        self.auditor.failed(lease.token, reason)?;
        let failure = FailureDetails::new(POISON, format!("{reason} {}", self.token())).non_retriable();
        match self.load(hub, lease.token) {
            Some(Load::Activity(dispatch)) => {
                self.coverage.hit("remote/poison activity");
                self.report_result(&dispatch, Err(failure));
            }
            Some(Load::Turn { at, claimed, turn }) => {
                self.coverage.hit("remote/poison turn");
                let completion = Completion::Failed { failure, origin: Origin::Code };
                let actions = vec![Action { id: -1, kind: ActionKind::Complete(completion) }];
                self.finish_turn(at, claimed, turn, TurnOutcome { actions, ..TurnOutcome::default() });
            }
            Some(Load::Batch(batch)) => {
                self.coverage.hit("remote/poison batch");
                let results = vec![Err(failure); batch.batch.operations.len()];
                self.finish_batch(batch, EntityOutcome { results, ..EntityOutcome::default() });
            }
            None => return Err(format!("{lease:?} fails before it was sent")),
        }
        Ok(())
    }

    fn load(&self, hub: u32, token: Token) -> Option<Load> {
        self.node.as_ref()?.remote.get(&hub)?.loads.get(&token).cloned()
    }

    fn finish_turn(&mut self, at: PartitionRef, claimed: u64, turn: Turn, outcome: TurnOutcome) {
        self.auditor.turn_ran(at, &turn, &outcome);
        self.hand(at, Handover::Turn(TurnDone { at, instance: turn.instance, token: claimed, outcome }));
    }

    fn finish_batch(&mut self, batch: EntityDispatch, outcome: EntityOutcome) {
        if outcome.results.is_empty() {
            self.auditor.batch_back(&batch);
        } else {
            self.auditor.batch_ran(&batch, &outcome);
        }
        let EntityDispatch { at, id, token: claimed, .. } = batch;
        self.hand(at, Handover::Batch { id, claimed, outcome });
    }

    /// An execution was ended from outside.
    pub(crate) fn killed_elsewhere(
        &mut self,
        hub: u32,
        instance: &InstanceId,
        execution: ExecutionId,
    ) -> Result<(), Violation> {
        if self.auditor.lease_killed(hub, instance, execution) {
            self.coverage.hit("remote/killed while out");
        }
        self.dispatch(hub, |dispatcher, _, random| dispatcher.killed(instance, execution, random));
        self.carry_out(hub)
    }

    /// Waiting activities that are served here again come back.
    pub(crate) fn withdraw(&mut self) {
        let Some(remote) = self.knobs.remote.clone().filter(|_| self.served) else { return };
        let hubs: Vec<u32> = self.hubs.keys().copied().collect();
        for hub in hubs {
            let meant =
                |line: &Line| line.kind == Kind::Activity && !remote.activities.contains(line.name.as_str());
            let items = self.dispatch(hub, |dispatcher, _, _| dispatcher.withdraw(meant));
            for item in items.into_iter().flatten() {
                if let Item::Activity(dispatch) = item {
                    self.coverage.hit("remote/withdrawn");
                    self.take_activity(dispatch);
                }
            }
        }
    }
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Turn { at, turn, .. } => write!(f, "turn of {} at {} of {at:?}", turn.instance, turn.seen),
            Self::Activity(activity) => write!(f, "activity {} of {}", activity.task_id, activity.instance),
            Self::Batch(batch) => {
                write!(f, "{} operations of {}", batch.batch.operations.len(), batch.id)
            }
        }
    }
}
