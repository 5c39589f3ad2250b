//! Gathers what [`crate::why`] judges: bounded looks at partitions, histories and workers.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use strandline_hub::{InstanceStatus, OpenTask};
use strandline_model::{EntityId, ExecutionId, InstanceId, RuntimeStatus};

use super::activities::LocalActivity;
use super::entities::LocalBatch;
use super::running::Running;
use super::{CallError, Hub, StoreProblem};
use crate::dispatch::{ItemKey, Kind, Line, Takers, Tries, Whereabouts};
use crate::pipeline::{Answer, EntityStanding, Read, Standing, TurnStanding};
use crate::why::{
    Brief, Diagnosis, EntityEvidence, Evidence, InstanceEvidence, OpenWait, Projection, Subject, Work,
    diagnose,
};
use crate::worker::{Worker, is_among};

/// How far somebody looks who asks why an instance waits.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Instances and entities that are looked at: sub-orchestrations, and who holds locks.
    pub instances: usize,
    /// Events of each history that are read, from its end.
    pub events: usize,
}

impl Reach {
    /// For one instance that somebody asks for.
    pub const ONE: Self = Self { instances: 64, events: 5_000 };
    /// For each of many.
    pub const MANY: Self = Self { instances: 8, events: 400 };
}

/// Events of a history that are read at a time.
const WINDOW: usize = 200;
/// Open tasks of one instance that are looked at.
const WAITS_MAX: usize = 200;
/// Scheduling events that are looked up one by one.
const LOOKUPS_MAX: usize = 20;
/// Names of workers that are compared.
const NAMES_MAX: usize = 10_000;
/// Other hubs that are named.
const ELSEWHERE_MAX: usize = 5;
/// How often a look that takes its time looks whether the store is at fault.
const STORE_LOOK: Duration = Duration::from_millis(250);

/// Why there is no diagnosis.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// Nothing goes on in the hub.
    #[error("everything waits for the store: {0}")]
    Stalled(String),
}

impl Hub {
    /// Says why an instance waits; `None`: there is none of this id. Other hubs are named only if `sees`
    /// says that the caller may see them.
    ///
    /// # Errors
    /// `Stalled` when the store has no room, so that nothing can be told of the instance.
    pub async fn why(
        &self,
        id: &InstanceId,
        reach: Reach,
        sees: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Option<Diagnosis>, WhyError> {
        let running = self.running().await?;
        let mut look = Look { hub: self, running, reach, evidence: Evidence::default(), sees };
        look.evidence.now = look.running.now();
        look.evidence.store = look.running.log.problem().map(|problem| problem.to_string());
        look.evidence.deliveries_max = self.options().dispatch.deliveries_max;
        let mut next = VecDeque::from([id.clone()]);
        while let Some(id) = next.pop_front() {
            let Evidence { instances, entities, .. } = &look.evidence;
            let is_known = instances.contains_key(&id) || entities.contains_key(&id);
            if !is_known && instances.len() + entities.len() < reach.instances {
                next.extend(look.at(&id).await?);
            }
        }
        look.names();
        Ok(diagnose(&look.evidence, id))
    }
}

struct Look<'a> {
    hub: &'a Hub,
    running: Arc<Running>,
    reach: Reach,
    evidence: Evidence,
    sees: &'a (dyn Fn(&str) -> bool + Send + Sync),
}

impl Look<'_> {
    /// Looks at an instance or entity. Returns what it waits for.
    async fn at(&mut self, id: &InstanceId) -> Result<Vec<InstanceId>, WhyError> {
        match self.read(id, Read::Standing).await? {
            Answer::Standing(Some(standing)) => self.instance(id, *standing).await,
            Answer::EntityStanding(Some(standing)) => Ok(self.entity(id, &standing)),
            Answer::EntityStanding(None) => {
                self.evidence.entities.insert(id.clone(), None);
                Ok(Vec::new())
            }
            _ => {
                self.evidence.instances.insert(id.clone(), None);
                Ok(Vec::new())
            }
        }
    }

    /// An answer leaves when what it says is durable: never, while the store has no room.
    async fn read(&self, id: &InstanceId, read: Read) -> Result<Answer, WhyError> {
        let mut answer = std::pin::pin!(self.hub.read(id, read));
        loop {
            match tokio::time::timeout(STORE_LOOK, &mut answer).await {
                Ok(answer) => return Ok(answer?),
                Err(_) => {
                    if let Some(problem) = self.running.log.problem().filter(|p| *p == StoreProblem::Full) {
                        return Err(WhyError::Stalled(problem.to_string()));
                    }
                }
            }
        }
    }

    async fn instance(&mut self, id: &InstanceId, standing: Standing) -> Result<Vec<InstanceId>, WhyError> {
        let status = &standing.status;
        let is_over = status.completed().is_some();
        let read = if is_over { Projection::default() } else { self.history(id, &standing).await? };
        let turn = Subject { line: line_of(status), of: id.clone() };
        let mut follow = Vec::new();
        let mut waits = Vec::new();
        for (task_id, task) in standing.open.iter().take(WAITS_MAX) {
            let task_id = *task_id;
            let scheduled = read.scheduled.get(&task_id);
            let since = scheduled.map(|scheduled| scheduled.since);
            let name = scheduled.and_then(|scheduled| scheduled.name.clone());
            waits.push(match task {
                OpenTask::Activity { .. } => {
                    let version = scheduled.and_then(|scheduled| scheduled.version.clone());
                    // One that names no version belongs to its orchestration's.
                    let version = version.or_else(|| status.version().map(str::to_owned));
                    let name = name.unwrap_or_default();
                    let line = Line { kind: Kind::Activity, name, version };
                    let subject = Subject { line, of: id.clone() };
                    let work = self.activity(subject, status.execution, task_id);
                    OpenWait::Activity { task_id, since, work }
                }
                OpenTask::Timer { fire_at } => {
                    let retry = read.retries.get(&task_id).cloned();
                    OpenWait::Timer { task_id, since, fires: *fire_at, retry }
                }
                OpenTask::SubOrchestration { instance } => {
                    follow.push(instance.clone());
                    OpenWait::SubOrchestration { task_id, since, id: instance.clone(), name }
                }
                OpenTask::EntityCall { entity } => {
                    follow.push(entity.clone());
                    OpenWait::EntityCall { task_id, since, entity: entity.clone(), operation: name }
                }
            });
        }
        for (task_id, entity) in standing.locks {
            follow.push(entity.clone());
            let since = read.scheduled.get(&task_id).map(|scheduled| scheduled.since);
            waits.push(OpenWait::EntityLock { task_id, since, entity });
        }
        let waits_total =
            waits.len() + standing.open_total.saturating_sub(standing.open.len().min(WAITS_MAX));
        let outcome = match status.status {
            RuntimeStatus::Terminated => status.output().map(|text| text.chars().take(500).collect()),
            _ => status.failure().map(crate::why::error_line),
        };
        let suspended = standing.suspended.then_some(read.suspension);
        let unknown = crate::why::Suspension { since: None, reason: None };
        let found = InstanceEvidence {
            name: status.name().to_owned(),
            version: status.version().map(str::to_owned),
            state: status.status,
            created: status.created,
            updated: status.updated,
            acted: read.acted,
            ended: status.completed(),
            outcome,
            suspended: suspended.map(|known| known.unwrap_or(unknown)),
            starts: standing.starts,
            turn: self.due(ItemKey::Turn(id.clone()), turn, standing.turn),
            waits,
            waits_total,
            awaited: standing.awaited,
            arrived: read.arrived,
            history_events: status.history_len,
            actions: standing.actions,
        };
        self.evidence.instances.insert(id.clone(), Some(found));
        Ok(follow)
    }

    /// The end of a history, and of what no turn has seen, in brief.
    async fn history(&self, id: &InstanceId, standing: &Standing) -> Result<Projection, WhyError> {
        let locks = standing.locks.iter().map(|(task, _)| *task);
        let open = standing.open.iter().take(WAITS_MAX).map(|(task, _)| *task);
        let open: BTreeSet<i32> = open.chain(locks).collect();
        let mut briefs: VecDeque<Brief> = standing.inbox.iter().map(|event| Brief::of(event)).collect();
        let mut from = standing.status.history_len;
        let least = from.saturating_sub(self.reach.events);
        while from > least {
            let begin = from.saturating_sub(WINDOW).max(least);
            for brief in
                self.window(id, begin, from - begin, standing.status.execution).await?.into_iter().rev()
            {
                briefs.push_front(brief);
            }
            from = begin;
        }
        let mut missing: BTreeSet<i32> = open.clone();
        for brief in &briefs {
            missing.remove(&brief.id());
        }
        // Where an activity was scheduled is known, however long ago that is.
        let indexed = standing.open.iter().filter_map(|(task, kind)| match kind {
            OpenTask::Activity { index } if missing.contains(task) => Some(*index),
            _ => None,
        });
        for index in indexed.take(LOOKUPS_MAX) {
            for brief in self.window(id, index, 1, standing.status.execution).await? {
                briefs.push_front(brief);
            }
        }
        Ok(Projection::of(briefs.make_contiguous(), &open))
    }

    /// Some events of an execution; none when there is another by now.
    async fn window(
        &self,
        id: &InstanceId,
        from: usize,
        max: usize,
        execution: ExecutionId,
    ) -> Result<Vec<Brief>, WhyError> {
        match self.read(id, Read::History { from, max }).await? {
            Answer::History(Some(page)) if page.execution == execution => {
                Ok(page.events.iter().map(|event| Brief::of(event)).collect())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn entity(&mut self, id: &InstanceId, standing: &EntityStanding) -> Vec<InstanceId> {
        let holder = standing.status.locked_by.as_ref();
        let locked_by = holder.map(|owner| InstanceId::trusted(owner.instance_id.as_str()));
        let name = EntityId::parse(id.as_str()).map(|entity| entity.name().to_owned()).unwrap_or_default();
        let line = Line { kind: Kind::Entity, name, version: None };
        let subject = Subject { line, of: id.clone() };
        let batch = self.due(ItemKey::Entity(id.clone()), subject, standing.batch);
        let backlog = standing.status.backlog;
        let found = EntityEvidence { locked_by: locked_by.clone(), backlog, batch };
        self.evidence.entities.insert(id.clone(), Some(found));
        locked_by.into_iter().collect()
    }

    /// A turn or a batch of operations, if one is due or out.
    fn due(&mut self, key: ItemKey, subject: Subject, standing: TurnStanding) -> Option<Work> {
        let (whereabouts, tries) = match standing {
            TurnStanding::NotDue => return None,
            TurnStanding::Due { ahead } => (self.without_place(&subject.line, ahead), Tries::default()),
            TurnStanding::Offered => self.elsewhere(&key, &subject.line),
            TurnStanding::Out { since } => match self.elsewhere(&key, &subject.line) {
                (Whereabouts::Nowhere, tries) if self.runs_here(&subject.line) => {
                    let here = match &key {
                        ItemKey::Entity(id) => self.waiting_batch(id, &subject.line),
                        _ => None,
                    };
                    (here.unwrap_or(Whereabouts::Here { since }), tries)
                }
                found => found,
            },
        };
        Some(Work { subject, whereabouts, tries })
    }

    /// Where a turn is that nobody was given: it waits if the hub has as many out as it may.
    fn without_place(&mut self, line: &Line, ahead: usize) -> Whereabouts {
        let limit = self.hub.options().dispatch.out_max.of(line.kind);
        let out = self.running.workers.look(|dispatcher| dispatcher.out(line.kind));
        let Some(limit) = limit.filter(|limit| out >= *limit && self.runs_here(line)) else {
            return Whereabouts::Nowhere;
        };
        self.evidence.takers.insert(line.clone(), taken_here(limit, out, None));
        Whereabouts::Queued { ahead }
    }

    /// Where a batch of operations is, if it waits for a place of this process, or of the hub.
    fn waiting_batch(&mut self, id: &InstanceId, line: &Line) -> Option<Whereabouts> {
        let LocalBatch { ahead, running, limit } = self.running.entities.waits(id)?;
        let of_hub = self.hub.options().dispatch.out_max.of(Kind::Entity);
        let limit = of_hub.map_or(limit, |most| most.min(limit));
        self.evidence.takers.insert(line.clone(), taken_here(limit, running, None));
        Some(Whereabouts::Queued { ahead })
    }

    fn activity(&mut self, mut subject: Subject, execution: ExecutionId, task_id: i32) -> Work {
        let key = (subject.of.clone(), execution, task_id);
        if let Some(found) = self.running.activities.whereabouts(&key, self.evidence.now) {
            let LocalActivity { whereabouts, running, limit, per_second } = found;
            // What waits here waits for a place of this process, or of the hub.
            let of_hub = self.hub.options().dispatch.out_max.of(Kind::Activity);
            let limit = of_hub.map_or(limit, |most| most.min(limit));
            self.evidence.takers.insert(subject.line.clone(), taken_here(limit, running, per_second));
            return Work { subject, whereabouts, tries: Tries::default() };
        }
        let (instance, execution, task_id) = key;
        let key = ItemKey::Activity(instance, execution, task_id);
        // It may have been scheduled before what was read of the history.
        if subject.line.name.is_empty()
            && let Some(line) = self.running.workers.look(|dispatcher| dispatcher.line(&key))
        {
            subject.line = line;
        }
        let (whereabouts, tries) = self.elsewhere(&key, &subject.line);
        Work { subject, whereabouts, tries }
    }

    /// Where a work item for workers elsewhere is, and who could take it.
    fn elsewhere(&mut self, key: &ItemKey, line: &Line) -> (Whereabouts, Tries) {
        let now = self.evidence.now;
        let is_known = self.evidence.takers.contains_key(line);
        let (whereabouts, tries, takers) = self.running.workers.look(|dispatcher| {
            let whereabouts = dispatcher.whereabouts(key);
            let waits = matches!(whereabouts, Whereabouts::Queued { .. }) && !is_known;
            let takers = waits.then(|| dispatcher.takers(line, now));
            (whereabouts, dispatcher.tries(key), takers)
        });
        if let Some(mut takers) = takers {
            if let Some(worker) = self.running.worker() {
                takers.workers += 1;
                takers.other_versions += usize::from(lists(&*worker, line) && !serves(&*worker, line));
            }
            if takers.takers == 0 {
                let hubs = self.hub.neighbours();
                let mut hubs: Vec<_> = hubs.iter().filter(|hub| (self.sees)(&hub.info.name)).collect();
                hubs.retain(|hub| {
                    hub.workers.look(|dispatcher| dispatcher.serves(line))
                        || hub.worker().is_some_and(|worker| serves(&*worker, line))
                });
                let names = hubs.iter().map(|hub| hub.info.name.clone());
                let names: BTreeSet<String> = names.collect();
                let names = names.into_iter().take(ELSEWHERE_MAX).collect();
                self.evidence.elsewhere.insert(line.clone(), names);
            }
            self.evidence.takers.insert(line.clone(), takers);
        }
        (whereabouts, tries)
    }

    fn runs_here(&self, line: &Line) -> bool {
        self.running.worker().is_some_and(|worker| serves(&*worker, line))
    }

    /// The names that workers list, where something waits for one that nobody takes.
    fn names(&mut self) {
        let evidence = &mut self.evidence;
        let unserved = evidence.takers.iter().filter(|(_, takers)| takers.takers == 0 && takers.workers > 0);
        let kinds: BTreeSet<Kind> = unserved.map(|(line, _)| line.kind).collect();
        for kind in kinds {
            let mut names: BTreeSet<String> = self
                .running
                .workers
                .look(|dispatcher| dispatcher.names(kind).take(NAMES_MAX).map(str::to_owned).collect());
            if let Some(worker) = self.running.worker() {
                names.extend(listed(&*worker, kind));
            }
            evidence.names.insert(kind, names);
        }
    }
}

/// This process takes it, and has no place for more.
fn taken_here(slots: usize, busy: usize, per_second: Option<f64>) -> Takers {
    Takers { workers: 1, takers: 1, slots, busy, full: true, per_second, ..Takers::default() }
}

fn line_of(status: &InstanceStatus) -> Line {
    let version = status.version().map(str::to_owned);
    Line { kind: Kind::Orchestration, name: status.name().to_owned(), version }
}

fn listed(worker: &dyn Worker, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Orchestration => worker.orchestrators(),
        Kind::Activity => worker.activities(),
        Kind::Entity => worker.entities(),
    }
}

fn lists(worker: &dyn Worker, line: &Line) -> bool {
    is_among(&listed(worker, line.kind), &line.name)
}

fn serves(worker: &dyn Worker, line: &Line) -> bool {
    match line.kind {
        Kind::Orchestration => worker.serves_orchestrator(&line.name, line.version.as_deref()),
        Kind::Activity => worker.serves_activity(&line.name, line.version.as_deref()),
        Kind::Entity => lists(worker, line),
    }
}
