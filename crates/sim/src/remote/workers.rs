//! What workers elsewhere do: they come with whatever filters and slots, run what they get at their own
//! pace, and are as unreliable as networks and processes are.

use std::collections::{BTreeMap, BTreeSet};

use strandline_engine::dispatch::{ConnectionId, Filters, Returned, Slots, Token, Versions, WorkerProfile};

use super::Load;
use crate::Violation;
use crate::account;
use crate::auditor::Return;
use crate::chance::Chance;
use crate::mutants::Mutant;
use crate::program::{ACTIVITIES, ORCHESTRATORS};
use crate::world::World;

/// Connected at a time, in a hub.
const WORKERS_MAX: usize = 4;
/// Tokens that are remembered after they were good for anything.
const OLD_TOKENS_MAX: usize = 60;

impl World {
    /// Something happens between the node and a worker elsewhere.
    pub(crate) fn remote_step(&mut self) -> Result<(), Violation> {
        let hubs: Vec<u32> = self.hubs.keys().copied().collect();
        let hub = *self.chance.pick(&hubs);
        match self.chance.weighted([20, 4, 60, 12, 3, 25].into_iter()) {
            0 => self.connect_worker(hub),
            1 => self.disconnect_worker(hub),
            2 => self.work_elsewhere(hub),
            3 => self.return_old(),
            4 => self.return_foreign(hub),
            _ => self.tick(hub),
        }
    }

    fn connect_worker(&mut self, hub: u32) -> Result<(), Violation> {
        let Some(remote) = self.node.as_ref().and_then(|n| n.remote.get(&hub)) else { return Ok(()) };
        if remote.held.len() >= WORKERS_MAX {
            return Ok(());
        }
        let filters = some_filters(&mut self.chance);
        let slots = match self.chance.below(4) {
            0 => Slots::default(),
            _ => Slots::asked([(); 3].map(|()| self.chance.between(1, 3) as usize)),
        };
        self.connect(hub, WorkerProfile { filters, slots, ..WorkerProfile::default() })
    }

    fn connect(&mut self, hub: u32, profile: WorkerProfile) -> Result<(), Violation> {
        let connected =
            self.dispatch(hub, |dispatcher, now, random| dispatcher.connect(profile.clone(), now, random));
        let Some(connection) = connected else { return Ok(()) };
        self.trace.tell(|| format!("hub {hub}: {connection:?} comes: {profile:?}"));
        self.coverage.hit("remote/connected");
        self.auditor.connected(hub, connection, profile);
        if let Some(remote) = self.node.as_mut().and_then(|n| n.remote.get_mut(&hub)) {
            remote.held.insert(connection, Vec::new());
        }
        self.carry_out(hub)
    }

    /// Workers that take all that somebody serves, in each hub.
    pub(crate) fn connect_good_workers(&mut self) -> Result<(), Violation> {
        let all = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Versions::Any)).collect();
        let filters = Filters {
            orchestrations: all(ORCHESTRATORS),
            activities: all(ACTIVITIES),
            entities: [account::NAME.to_owned()].into(),
        };
        let profile = WorkerProfile { filters: Some(filters), ..WorkerProfile::default() };
        let hubs: Vec<u32> = self.node.iter().flat_map(|node| node.remote.keys().copied()).collect();
        for hub in hubs {
            self.connect(hub, profile.clone())?;
        }
        Ok(())
    }

    /// Some of them hang.
    pub(crate) fn disconnect_all(&mut self) -> Result<(), Violation> {
        let remotes = self.node.iter().flat_map(|node| &node.remote);
        let all = remotes.flat_map(|(hub, remote)| remote.held.keys().map(|connection| (*hub, *connection)));
        for (hub, connection) in all.collect::<Vec<_>>() {
            self.disconnect(hub, connection)?;
        }
        Ok(())
    }

    fn disconnect_worker(&mut self, hub: u32) -> Result<(), Violation> {
        let Some(remote) = self.node.as_ref().and_then(|n| n.remote.get(&hub)) else { return Ok(()) };
        let connections: Vec<ConnectionId> = remote.held.keys().copied().collect();
        if connections.is_empty() {
            return Ok(());
        }
        let connection = *self.chance.pick(&connections);
        self.disconnect(hub, connection)
    }

    fn disconnect(&mut self, hub: u32, connection: ConnectionId) -> Result<(), Violation> {
        let Some(remote) = self.node.as_mut().and_then(|n| n.remote.get_mut(&hub)) else { return Ok(()) };
        let held = remote.held.remove(&connection).unwrap_or_default();
        self.trace.tell(|| format!("hub {hub}: {connection:?} goes with {} items", held.len()));
        self.coverage.add("remote/disconnected with work", u64::from(!held.is_empty()));
        self.auditor.disconnected(hub, connection);
        self.dispatch(hub, |dispatcher, now, random| dispatcher.disconnect(connection, now, random));
        // It may not know that it is taken for lost.
        held.into_iter().for_each(|token| self.remember_token(hub, token));
        self.carry_out(hub)
    }

    pub(crate) fn remember_token(&mut self, hub: u32, token: Token) {
        if self.old_tokens.len() < OLD_TOKENS_MAX {
            self.old_tokens.push((hub, token));
        }
    }

    /// A worker does something with an item it has.
    fn work_elsewhere(&mut self, hub: u32) -> Result<(), Violation> {
        let Some(remote) = self.node.as_mut().and_then(|n| n.remote.get_mut(&hub)) else { return Ok(()) };
        let busy: Vec<_> = remote.held.iter_mut().filter(|(_, held)| !held.is_empty()).collect();
        if busy.is_empty() {
            return Ok(());
        }
        let index = self.chance.index(busy.len());
        let Some((connection, held)) = busy.into_iter().nth(index) else { return Ok(()) };
        let connection = *connection;
        let at = self.chance.index(held.len());
        if self.awkward && self.chance.one_in(6) {
            // It dies of it.
            return self.disconnect(hub, connection);
        }
        let token = held.remove(at);
        if !self.awkward {
            return self.complete(hub, token);
        }
        match self.chance.weighted([12, 3, 3, 2].into_iter()) {
            0 => self.complete(hub, token),
            1 => {
                self.remember_token(hub, token);
                self.complete(hub, token)
            }
            2 => {
                if self.chance.one_in(3) {
                    self.remember_token(hub, token);
                }
                self.abandon(hub, token)
            }
            // It hangs.
            _ => Ok(()),
        }
    }

    /// Somebody returns what is not his any more.
    fn return_old(&mut self) -> Result<(), Violation> {
        if self.old_tokens.is_empty() {
            return Ok(());
        }
        let (hub, token) = self.old_tokens.swap_remove(self.chance.index(self.old_tokens.len()));
        if self.chance.one_in(4) { self.abandon(hub, token) } else { self.complete(hub, token) }
    }

    fn return_foreign(&mut self, hub: u32) -> Result<(), Violation> {
        let token = Token(self.chance.wide());
        self.complete(hub, token)
    }

    /// A worker returns an item, done.
    fn complete(&mut self, hub: u32, token: Token) -> Result<(), Violation> {
        let expected = self.auditor.returned(hub, token);
        let Some(returned) =
            self.dispatch(hub, |dispatcher, now, random| dispatcher.finished(token, now, random))
        else {
            return Ok(());
        };
        self.trace.tell(|| format!("hub {hub}: {token:?} is returned: {expected:?}"));
        let found = match &returned {
            Returned::Leased(_) => Return::Leased,
            Returned::Before => Return::Before,
            Returned::Unknown => Return::Unknown,
        };
        if found != expected {
            return Err(format!("{token:?} is returned as {found:?}, and is {expected:?}"));
        }
        self.coverage.hit(match found {
            Return::Leased => "remote/returned",
            Return::Before => "remote/returned before",
            Return::Unknown => "remote/unknown token",
        });
        if found == Return::Leased {
            self.run_elsewhere(hub, token)?;
        }
        self.carry_out(hub)
    }

    fn run_elsewhere(&mut self, hub: u32, token: Token) -> Result<(), Violation> {
        match self.load(hub, token) {
            Some(Load::Activity(dispatch)) => {
                let result = self.run_activity(&dispatch)?;
                self.report_result(&dispatch, result);
            }
            Some(Load::Turn { at, claimed, turn }) => {
                let outcome = self.worker.run_whole(&turn, &mut self.coverage)?;
                self.finish_turn(at, claimed, turn, outcome);
            }
            Some(Load::Batch(batch)) => {
                let run = self.token();
                let ids = self.knobs.ids.clone();
                let broken = self.mutant == Some(Mutant::KeepFailedState);
                let outcome = account::run(&batch.batch, run, &ids, &mut self.chance, broken);
                self.finish_batch(batch, outcome);
            }
            None => return Err(format!("{token:?} is taken, but was never sent")),
        }
        Ok(())
    }

    fn abandon(&mut self, hub: u32, token: Token) -> Result<(), Violation> {
        let expected = self.auditor.abandoned(token);
        let Some(taken) =
            self.dispatch(hub, |dispatcher, now, random| dispatcher.abandon(token, now, random))
        else {
            return Ok(());
        };
        self.trace.tell(|| format!("hub {hub}: {token:?} is given back, which counts: {expected}"));
        if taken != expected {
            return Err(format!("{token:?} is given back, which counts: {taken}; should be {expected}"));
        }
        self.coverage.add("remote/abandoned", u64::from(taken));
        self.carry_out(hub)
    }

    /// The dispatcher looks at its clock.
    fn tick(&mut self, hub: u32) -> Result<(), Violation> {
        let Some(remote) = self.node.as_ref().and_then(|n| n.remote.get(&hub)) else { return Ok(()) };
        if remote.dispatcher.next_due().is_none_or(|due| due > self.now()) {
            return Ok(());
        }
        let expired = self.auditor.expire(hub);
        self.coverage.add("remote/lease expired", expired.len() as u64);
        self.dispatch(hub, |dispatcher, now, random| dispatcher.tick(now, random));
        for token in expired {
            self.remember_token(hub, token);
        }
        self.carry_out(hub)
    }

    /// All workers elsewhere do what they have.
    pub(crate) fn remote_round(&mut self) -> Result<(), Violation> {
        let hubs: Vec<u32> = self.node.iter().flat_map(|node| node.remote.keys().copied()).collect();
        for hub in hubs {
            self.tick(hub)?;
            while self.node.as_ref().is_some_and(|n| n.remote.get(&hub).is_some_and(|r| !r.is_idle())) {
                self.work_elsewhere(hub)?;
            }
        }
        Ok(())
    }
}

/// What a worker says that it takes.
fn some_filters(chance: &mut Chance) -> Option<Filters> {
    if chance.one_in(3) {
        return None;
    }
    let mut some = |names: &[&str]| -> BTreeMap<String, Versions> {
        let chosen = names.iter().filter_map(|name| {
            let versions: &[&str] = match chance.below(6) {
                0 => return None,
                1 => &["1"],
                2 => &[""],
                3 => &["", "1"],
                _ => &[],
            };
            Some(((*name).to_owned(), Versions::listed(versions.iter().map(|v| (*v).to_owned()))))
        });
        chosen.collect()
    };
    let (orchestrations, activities) = (some(ORCHESTRATORS), some(ACTIVITIES));
    let entities = if chance.one_in(3) { BTreeSet::new() } else { [account::NAME.to_owned()].into() };
    Some(Filters { orchestrations, activities, entities })
}
