//! From evidence to a diagnosis.

use std::time::Duration;

use strandline_model::limits::ACTIONS_MAX;
use strandline_model::{InstanceId, RuntimeStatus, Timestamp};

use super::evidence::{EntityEvidence, Evidence, InstanceEvidence, OpenWait, Subject, Work};
use super::verdict::{Severity, Verdict, WaitKind};
use crate::dispatch::{Kind, Takers, Whereabouts};
use crate::nearest;

/// What is only waited for becomes a warning after this long, where it should not take long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A turn of an orchestrator computes only: one that takes longer blocks or loops.
const TURN_MAX: Duration = Duration::from_secs(10);
/// Deliveries in vain from which on work counts as poison.
const POISON_FROM: u32 = 3;
/// Operations that wait for one entity from which on that is the reason.
const BUSY_ENTITY_FROM: usize = 100;
/// Events of a history from which on it is called long.
const LONG_HISTORY_FROM: usize = 10_000;
/// Open tasks that are told of.
const WAITS_TOLD_MAX: usize = 20;
/// Instances and their waits that one diagnosis looks at, the same ones on different ways counted again: waits
/// that are wide and mutual have more ways through them than anybody can go.
const LOOKS_MAX: u32 = 20_000;
/// Names of events that are told of.
const NAMES_TOLD_MAX: usize = 10;

/// Why one instance waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    pub id: InstanceId,
    /// The orchestrator's.
    pub name: String,
    pub state: RuntimeStatus,
    pub verdict: Verdict,
    pub severity: Severity,
    /// Since when; `None`: not known.
    pub since: Option<Timestamp>,
    /// Its open tasks, the most important first; not all of them if there are many.
    pub waiting_on: Vec<Waiting>,
    pub waiting_on_total: usize,
    /// The instances and entities from this one to the one that the verdict is about.
    pub path: Vec<InstanceId>,
    /// At which moment.
    pub now: Timestamp,
}

/// One thing an instance waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Waiting {
    pub kind: WaitKind,
    /// Of the orchestrator, activity, operation or event; may be empty if it is not known.
    pub name: String,
    pub version: Option<String>,
    /// The sub-orchestration or entity.
    pub id: Option<InstanceId>,
    pub task_id: Option<i32>,
    /// Since when it is waited for.
    pub since: Option<Timestamp>,
    /// When a timer fires.
    pub until: Option<Timestamp>,
    pub verdict: Verdict,
    pub severity: Severity,
    /// As in [`Diagnosis::path`].
    pub path: Vec<InstanceId>,
}

/// Says why an instance waits; `None`: it is not among the evidence.
pub fn diagnose(evidence: &Evidence, id: &InstanceId) -> Option<Diagnosis> {
    let instance = evidence.instances.get(id)?.as_ref()?;
    let mut judge = Judge { evidence, path: Vec::new(), left: LOOKS_MAX };
    let judged = judge.instance(id, instance);
    let mut waiting_on = judged.waits;
    let others = instance.waits_total.saturating_sub(instance.waits.len());
    let waiting_on_total = waiting_on.len() + others;
    waiting_on.truncate(WAITS_TOLD_MAX);
    Some(Diagnosis {
        id: id.clone(),
        name: instance.name.clone(),
        state: instance.state,
        verdict: judged.verdict,
        severity: judged.severity,
        since: judged.since,
        waiting_on,
        waiting_on_total,
        path: judged.path,
        now: evidence.now,
    })
}

struct Judge<'a> {
    evidence: &'a Evidence,
    /// From the instance that was asked for to the one being looked at.
    path: Vec<InstanceId>,
    /// How much may still be looked at.
    left: u32,
}

/// What something comes down to.
struct Judged {
    verdict: Verdict,
    severity: Severity,
    since: Option<Timestamp>,
    path: Vec<InstanceId>,
    waits: Vec<Waiting>,
}

impl Judged {
    fn at(path: &[InstanceId], verdict: Verdict, severity: Severity, since: Option<Timestamp>) -> Self {
        Self { verdict, severity, since, path: path.to_vec(), waits: Vec::new() }
    }
}

impl<'a> Judge<'a> {
    fn now(&self) -> Timestamp {
        self.evidence.now
    }

    /// A warning once it lasts.
    fn lasting(&self, since: Option<Timestamp>) -> Severity {
        let long = since.is_some_and(|since| self.now().saturating_since(since) >= PATIENCE);
        if long { Severity::Warning } else { Severity::Info }
    }

    fn here(&self, verdict: Verdict, severity: Severity, since: Option<Timestamp>) -> Judged {
        Judged::at(&self.path, verdict, severity, since)
    }

    fn instance(&mut self, id: &InstanceId, instance: &InstanceEvidence) -> Judged {
        let looks = u32::try_from(instance.waits.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.left = self.left.saturating_sub(looks);
        self.path.push(id.clone());
        let judged = self.instance_on_path(instance);
        self.path.pop();
        judged
    }

    fn instance_on_path(&mut self, instance: &InstanceEvidence) -> Judged {
        if let Some((verdict, severity)) = over(instance) {
            return self.here(verdict, severity, instance.ended);
        }
        let mut waits: Vec<Waiting> = Vec::new();
        if let (Some(work), Some(id)) = (&instance.turn, self.path.last().cloned()) {
            let judged = self.work(work, None);
            let mut waiting = waiting(WaitKind::Turn, &instance.name, judged);
            waiting.version = instance.version.clone();
            waiting.id = Some(id);
            waits.push(waiting);
        }
        for wait in &instance.waits {
            waits.push(self.wait(instance, wait));
        }
        waits.extend(self.events(instance));
        // Stable: of what is equally bad, what was begun first comes first.
        waits.sort_by_key(|wait| (std::cmp::Reverse(wait.severity), wait.kind, wait.task_id));

        let first = waits.first();
        let decisive = match (self.aside(instance), first) {
            (Some(aside), None) => aside,
            (Some(aside), Some(first)) if aside.severity > first.severity || keeps_still(&aside.verdict) => {
                aside
            }
            (_, Some(first)) => {
                let (verdict, path) = (first.verdict.clone(), first.path.clone());
                Judged { verdict, severity: first.severity, since: first.since, path, waits: Vec::new() }
            }
            (None, None) => self.here(Verdict::Progressing, Severity::Ok, Some(instance.updated)),
        };
        Judged { waits, ..decisive }
    }

    /// What concerns an instance whatever its tasks are.
    fn aside(&self, instance: &InstanceEvidence) -> Option<Judged> {
        if let Some(reason) = &self.evidence.store {
            let verdict = Verdict::StoreStalled { reason: reason.clone() };
            return Some(self.here(verdict, Severity::Error, None));
        }
        if let Some(suspension) = &instance.suspended {
            let verdict = Verdict::Suspended { reason: suspension.reason.clone() };
            return Some(self.here(verdict, Severity::Warning, suspension.since));
        }
        if let Some(at) = instance.starts {
            return Some(self.here(Verdict::ScheduledStart { at }, Severity::Info, Some(instance.created)));
        }
        let (events, actions) = (instance.history_events, instance.actions);
        let actions_max = u32::try_from(ACTIONS_MAX).unwrap_or(u32::MAX);
        let is_full = actions >= actions_max - actions_max / 10;
        if !is_full && events < LONG_HISTORY_FROM {
            return None;
        }
        let severity = if is_full { Severity::Error } else { Severity::Warning };
        Some(self.here(Verdict::LongHistory { events, actions, actions_max }, severity, None))
    }

    fn wait(&mut self, instance: &InstanceEvidence, wait: &OpenWait) -> Waiting {
        match wait {
            OpenWait::Activity { task_id, since, work } => {
                let judged = self.work(work, *since);
                let mut waiting = waiting(WaitKind::Activity, &work.subject.line.name, judged);
                waiting.version = work.subject.line.version.clone();
                task(waiting, *task_id, *since)
            }
            OpenWait::Timer { task_id, since, fires, retry } => {
                let verdict = match retry {
                    Some(retry) => Verdict::Retrying { retry: retry.clone(), fires: *fires },
                    None => Verdict::Timer { fires: *fires, unused: unused(instance) },
                };
                let severity = if retry.is_some() { Severity::Warning } else { Severity::Info };
                let judged = self.here(verdict, severity, *since);
                let name = retry.as_ref().map_or("", |retry| &retry.name);
                let mut waiting = waiting(WaitKind::Timer, name, judged);
                waiting.until = Some(*fires);
                task(waiting, *task_id, *since)
            }
            OpenWait::SubOrchestration { task_id, since, id, name } => {
                let judged = self.child(id, *since);
                let name = name.as_deref().unwrap_or_default();
                let mut waiting = waiting(WaitKind::SubOrchestration, name, judged);
                waiting.id = Some(id.clone());
                task(waiting, *task_id, *since)
            }
            OpenWait::EntityCall { task_id, since, entity, operation } => {
                let judged = self.entity(entity, *since);
                let name = operation.as_deref().unwrap_or_default();
                let mut waiting = waiting(WaitKind::EntityCall, name, judged);
                waiting.id = Some(entity.clone());
                task(waiting, *task_id, *since)
            }
            OpenWait::EntityLock { task_id, since, entity } => {
                let judged = self.lock(entity, *since);
                let mut waiting = waiting(WaitKind::EntityLock, "", judged);
                waiting.id = Some(entity.clone());
                task(waiting, *task_id, *since)
            }
        }
    }

    /// A sub-orchestration: what it comes down to.
    fn child(&mut self, id: &InstanceId, since: Option<Timestamp>) -> Judged {
        if let Some(cycle) = self.cycle(id) {
            return cycle;
        }
        match self.looked_at(id) {
            Some(Some(child)) if child.ended.is_some() => {
                // Its end is on its way.
                self.here(Verdict::Progressing, Severity::Ok, child.ended)
            }
            Some(Some(child)) => {
                let judged = self.instance(id, child);
                Judged { waits: Vec::new(), ..judged }
            }
            Some(None) => {
                let verdict = Verdict::SubOrchestration { child: id.clone(), is_missing: true };
                self.here(verdict, self.lasting(since), since)
            }
            None => {
                let verdict = Verdict::SubOrchestration { child: id.clone(), is_missing: false };
                self.here(verdict, Severity::Info, since)
            }
        }
    }

    /// A call of an entity.
    fn entity(&mut self, id: &InstanceId, since: Option<Timestamp>) -> Judged {
        let Some(Some(entity)) = self.evidence.entities.get(id) else {
            return self.here(Verdict::Progressing, Severity::Ok, since);
        };
        match &entity.locked_by {
            // Operations of the section that holds the lock run.
            Some(holder) if self.path.last() != Some(holder) => self.holder(id, holder, since),
            _ => self.queue(id, entity, since),
        }
    }

    /// A request for the lock of an entity.
    fn lock(&mut self, id: &InstanceId, since: Option<Timestamp>) -> Judged {
        match self.evidence.entities.get(id) {
            Some(Some(EntityEvidence { locked_by: Some(holder), .. })) => self.holder(id, holder, since),
            Some(Some(entity)) => self.queue(id, entity, since),
            _ => self.here(Verdict::Progressing, Severity::Ok, since),
        }
    }

    /// Somebody else's critical section keeps the entity.
    fn holder(&mut self, entity: &InstanceId, holder: &InstanceId, since: Option<Timestamp>) -> Judged {
        self.path.push(entity.clone());
        let judged = self.holder_on_path(entity, holder, since);
        self.path.pop();
        judged
    }

    fn holder_on_path(
        &mut self,
        entity: &InstanceId,
        holder: &InstanceId,
        since: Option<Timestamp>,
    ) -> Judged {
        if let Some(cycle) = self.cycle(holder) {
            return cycle;
        }
        let lock = |holder_waits| {
            let (entity, holder) = (entity.clone(), holder.clone());
            Verdict::EntityLock { entity, holder, holder_waits }
        };
        match self.looked_at(holder) {
            Some(Some(instance)) if instance.ended.is_none() => {
                let judged = self.instance(holder, instance);
                if matches!(judged.verdict, Verdict::Deadlock { .. }) {
                    return Judged { waits: Vec::new(), ..judged };
                }
                let severity = judged.severity.max(self.lasting(since));
                let waits = judged.verdict.summary(self.now(), judged.since);
                let verdict = lock(Some(waits));
                Judged { verdict, severity, since, path: judged.path, waits: Vec::new() }
            }
            // Not looked at.
            None => self.here(lock(Some(String::new())), self.lasting(since), since),
            // Over or gone: the entity hears of it, or was not told.
            Some(_) => match self.lasting(since) {
                Severity::Warning => self.here(lock(None), Severity::Error, since),
                _ => self.here(Verdict::Progressing, Severity::Ok, since),
            },
        }
    }

    /// What waits in the queue of an entity.
    fn queue(&mut self, id: &InstanceId, entity: &EntityEvidence, since: Option<Timestamp>) -> Judged {
        let judged = match &entity.batch {
            Some(batch) => self.work(batch, since),
            None => self.here(Verdict::Progressing, Severity::Ok, since),
        };
        let is_busy = entity.backlog >= BUSY_ENTITY_FROM && judged.severity < Severity::Error;
        if is_busy {
            let verdict = Verdict::EntityBusy { entity: id.clone(), backlog: entity.backlog };
            return self.here(verdict, Severity::Warning, since);
        }
        judged
    }

    /// What is known of an instance; `None`: it is not looked at, or not again.
    fn looked_at(&self, id: &InstanceId) -> Option<Option<&'a InstanceEvidence>> {
        let known = self.evidence.instances.get(id).filter(|_| self.left > 0)?;
        Some(known.as_ref())
    }

    /// What is waited for waits for an instance on the path.
    fn cycle(&self, id: &InstanceId) -> Option<Judged> {
        let from = self.path.iter().position(|other| other == id)?;
        let cycle = self.path.get(from..)?.to_vec();
        Some(self.here(Verdict::Deadlock { cycle }, Severity::Error, None))
    }

    /// A work item, which belongs to a task that is open since then.
    fn work(&self, work: &Work, since: Option<Timestamp>) -> Judged {
        let Work { subject, whereabouts, tries } = work;
        let limit = self.evidence.deliveries_max;
        let poison = |until| {
            let (work, problem) = (subject.clone(), tries.problem.clone());
            Verdict::Poison { work, lost: tries.lost, refused: tries.refused, limit, problem, until }
        };
        let is_poison = tries.lost + tries.refused >= POISON_FROM || tries.problem.is_some();
        match whereabouts {
            Whereabouts::Nowhere => self.here(Verdict::Progressing, Severity::Ok, since),
            Whereabouts::Leased { since: leased, until, .. } if is_poison => {
                self.here(poison(*until), Severity::Error, since.or(*leased))
            }
            Whereabouts::Leased { worker, peer, since: leased, until } => {
                let verdict = Verdict::AtWorker {
                    work: subject.clone(),
                    worker: Some(worker.clone()),
                    peer: peer.clone(),
                    since: *leased,
                    delivery: tries.lost + tries.refused + 1,
                    until: *until,
                };
                let severity = if tries.lost > 0 { Severity::Warning } else { Severity::Info };
                self.here(verdict, severity, *leased)
            }
            Whereabouts::Delayed { until } => {
                let severity = if is_poison { Severity::Error } else { Severity::Warning };
                self.here(poison(Some(*until)), severity, since)
            }
            Whereabouts::Here { since: begun } => self.running_here(subject, begun.or(since)),
            Whereabouts::Queued { ahead } => {
                let judged = self.queued(subject, *ahead, since);
                match judged.severity {
                    Severity::Error => judged,
                    // A worker that comes back takes it, and is lost again.
                    _ if is_poison => self.here(poison(None), Severity::Error, since),
                    _ => judged,
                }
            }
        }
    }

    fn running_here(&self, subject: &Subject, begun: Option<Timestamp>) -> Judged {
        let took = begun.map_or(Duration::ZERO, |begun| self.now().saturating_since(begun));
        if subject.line.kind == Kind::Orchestration && took >= TURN_MAX {
            let verdict = Verdict::SlowTurn { work: subject.clone(), took };
            return self.here(verdict, Severity::Error, begun);
        }
        let (work, delivery) = (subject.clone(), 1);
        let verdict =
            Verdict::AtWorker { work, worker: None, peer: None, since: begun, delivery, until: None };
        self.here(verdict, Severity::Info, begun)
    }

    /// Work that waits for a worker.
    fn queued(&self, subject: &Subject, ahead: usize, since: Option<Timestamp>) -> Judged {
        let line = &subject.line;
        let none = Takers::default();
        let takers = self.evidence.takers.get(line).unwrap_or(&none);
        let work = subject.clone();
        if takers.takers > 0 {
            if !takers.full {
                return self.here(Verdict::Progressing, Severity::Ok, since);
            }
            let estimate = takers.per_second.filter(|rate| *rate > 0.0);
            let estimate = estimate.map(|rate| Duration::from_secs_f64((ahead as f64 + 1.0) / rate));
            let Takers { slots, busy, per_second, .. } = *takers;
            let verdict = Verdict::Backlog { work, ahead, slots, busy, per_second, estimate };
            let is_long = estimate.is_some_and(|estimate| estimate >= PATIENCE);
            let severity = if is_long { Severity::Warning } else { self.lasting(since) };
            return self.here(verdict, severity, since);
        }
        let elsewhere = self.evidence.elsewhere.get(line).cloned().unwrap_or_default();
        let names = self.evidence.names.get(&line.kind);
        let verdict = if takers.workers == 0 {
            Verdict::NoWorker { work, elsewhere }
        } else if takers.other_versions > 0 {
            Verdict::VersionMismatch { work, served: takers.versions.iter().cloned().collect() }
        } else {
            let names = names.into_iter().flatten().map(String::as_str);
            let nearest = nearest(&line.name, names).map(str::to_owned);
            Verdict::UnknownName { work, nearest, elsewhere, workers: takers.workers }
        };
        self.here(verdict, Severity::Error, since)
    }

    /// The external events an instance waits for, told or inferred.
    fn events(&self, instance: &InstanceEvidence) -> Option<Waiting> {
        let timers = instance.waits.iter().filter_map(|wait| match wait {
            OpenWait::Timer { fires, .. } => Some(*fires),
            _ => None,
        });
        let told = instance.awaited.clone().unwrap_or_default();
        let is_idle = instance.waits_total == 0 && instance.turn.is_none() && instance.starts.is_none();
        if told.is_empty() && !is_idle {
            return None;
        }
        let is_told = |name: &str| told.iter().any(|told| told.eq_ignore_ascii_case(name));
        let others = instance.arrived.iter().filter(|(name, _)| !is_told(name));
        let mut others: Vec<_> = others.map(|(name, arrived)| (name.clone(), *arrived)).collect();
        others.sort_by_key(|(_, arrived)| std::cmp::Reverse((arrived.unused, arrived.last)));
        // Names that were used tell which ones the code knows, if its worker does not.
        let used = others.iter().filter(|(_, arrived)| arrived.unused == 0);
        let used: Vec<String> = used.map(|(name, _)| name.clone()).collect();
        let known = if told.is_empty() { &used } else { &told };
        let misspelt = others.iter().filter(|(_, arrived)| arrived.unused > 0).find_map(|(name, _)| {
            let meant = nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
            (meant.is_some() || told.is_empty()).then(|| (name.clone(), meant))
        });
        let severity = if misspelt.is_some() { Severity::Warning } else { Severity::Info };
        others.truncate(NAMES_TOLD_MAX);
        let others = others.into_iter().map(|(name, arrived)| (name, arrived.count)).collect();
        let name = told.join(", ");
        let verdict = Verdict::ExternalEvent { awaited: told, misspelt, others, deadline: timers.min() };
        let judged = self.here(verdict, severity, instance.acted);
        Some(waiting(WaitKind::ExternalEvent, &name, judged))
    }
}

/// Whatever comes for an instance, it would not go on.
fn keeps_still(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::StoreStalled { .. } | Verdict::Suspended { .. } | Verdict::ScheduledStart { .. }
    )
}

fn waiting(kind: WaitKind, name: &str, judged: Judged) -> Waiting {
    let Judged { verdict, severity, since, path, .. } = judged;
    let name = name.to_owned();
    Waiting {
        kind,
        name,
        version: None,
        id: None,
        task_id: None,
        since,
        until: None,
        verdict,
        severity,
        path,
    }
}

fn task(waiting: Waiting, task_id: i32, since: Option<Timestamp>) -> Waiting {
    Waiting { task_id: Some(task_id), since: since.or(waiting.since), ..waiting }
}

/// Events that arrived while the code did nothing about them, unless its worker tells what it waits for: a
/// wait with a time limit looks like a timer alone.
fn unused(instance: &InstanceEvidence) -> Vec<(String, u64)> {
    let unused = instance.arrived.iter().filter(|(_, arrived)| arrived.unused > 0);
    let unused = unused.filter(|_| instance.awaited.is_none()).take(NAMES_TOLD_MAX);
    unused.map(|(name, arrived)| (name.clone(), arrived.count)).collect()
}

/// How an instance ended, if it did.
fn over(instance: &InstanceEvidence) -> Option<(Verdict, Severity)> {
    instance.ended?;
    let outcome = instance.outcome.clone();
    Some(match instance.state {
        RuntimeStatus::Failed => (Verdict::Failed { error: outcome.unwrap_or_default() }, Severity::Error),
        RuntimeStatus::Terminated | RuntimeStatus::Canceled => {
            (Verdict::Terminated { reason: outcome }, Severity::Info)
        }
        _ => (Verdict::Completed, Severity::Ok),
    })
}
