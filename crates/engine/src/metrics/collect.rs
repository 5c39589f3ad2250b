//! All families of a node, as they are at one moment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use strandline_hub::Discard;
use strandline_model::RuntimeStatus;

use super::Metrics;
use super::encode::{Families, Labels};
use super::hub::{Activity, ENDS, Entity, HubMetrics, Orchestration};
use crate::dispatch::{Kind, Redelivered};
use crate::pipeline::Counters;

/// What waits for a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) count: usize,
    /// How long the oldest has waited, as far as that is known.
    pub(crate) oldest: Option<Duration>,
}

/// A hub, as it is at one moment.
#[derive(Debug, Default)]
pub(crate) struct HubSample {
    pub(crate) name: String,
    /// Partitions that run.
    pub(crate) partitions: u16,
    pub(crate) counters: Counters,
    /// Instances by status, if known.
    pub(crate) census: Option<BTreeMap<i32, u64>>,
    pub(crate) timers: usize,
    pub(crate) memory_bytes: usize,
    /// By kind of work.
    pub(crate) waiting: [Waiting; 3],
    /// Out to workers, in this process and elsewhere, by kind; of turns only those elsewhere.
    pub(crate) out: [usize; 3],
    /// Workers elsewhere.
    pub(crate) workers: usize,
    pub(crate) redelivered: Redelivered,
}

/// A node, as it is at one moment.
#[derive(Debug, Default)]
pub(crate) struct NodeSample {
    pub(crate) hubs: Vec<HubSample>,
    pub(crate) tables_bytes: u64,
    pub(crate) log_bytes: u64,
    pub(crate) log_syncs: u64,
    pub(crate) flushes: u64,
}

/// What can be looked at.
pub(crate) trait Sampled: Send + Sync + 'static {
    /// Nothing once it is gone.
    fn sample(&self) -> Option<NodeSample>;
}

/// A node among the metrics of a registry.
pub(crate) struct NodeCollector {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) node: Box<dyn Sampled>,
}

impl fmt::Debug for NodeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCollector").finish_non_exhaustive()
    }
}

impl Collector for NodeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sample = self.node.sample().unwrap_or_default();
        let hubs = self.metrics.hubs();
        let mut families = Families(&mut encoder);
        orchestrations(&mut families, &hubs)?;
        work(&mut families, &hubs)?;
        state(&mut families, &sample)?;
        counters(&mut families, &sample)?;
        store(&mut families, &self.metrics, &sample)
    }
}

type Hubs = [(String, Arc<HubMetrics>)];

/// All names of one kind, over all hubs.
struct Named<'h, T>(Vec<(&'h str, Box<str>, Arc<T>)>);

impl<'h, T> Named<'h, T> {
    fn of(hubs: &'h Hubs, all: impl Fn(&HubMetrics) -> Vec<(Box<str>, Arc<T>)>) -> Self {
        let of_hub = |(hub, of): &'h (String, Arc<HubMetrics>)| {
            all(of).into_iter().map(move |(name, of)| (hub.as_str(), name, of))
        };
        Self(hubs.iter().flat_map(of_hub).collect())
    }

    fn each(&self) -> impl Iterator<Item = (Labels<'_>, &T)> {
        self.0.iter().map(|(hub, name, of)| (vec![("hub", (*hub).into()), ("name", (&**name).into())], &**of))
    }
}

fn with<'l>(mut labels: Labels<'l>, name: &'l str, value: impl Into<Cow<'l, str>>) -> Labels<'l> {
    labels.push((name, value.into()));
    labels
}

fn orchestrations(families: &mut Families<'_, '_>, hubs: &Hubs) -> fmt::Result {
    let named: Named<'_, Orchestration> = Named::of(hubs, |hub| hub.orchestrations.all());
    families.counter(
        "orchestrations_started",
        "Instances created, by orchestrator.",
        named.each().map(|(labels, of)| (labels, of.started.get())),
    )?;
    let ends = named.each().flat_map(|(labels, of)| {
        let counted = ENDS.iter().zip(&of.ended).filter(|(_, count)| count.get() > 0);
        counted.map(move |(end, count)| (with(labels.clone(), "status", end.name()), count.get()))
    });
    families.counter("orchestrations_completed", "Executions that came to an end, by how.", ends)?;
    families.histogram(
        "orchestration_duration_seconds",
        "From the creation of an instance to its end.",
        named.each().map(|(labels, of)| (labels, &of.duration)),
    )?;
    families.counter(
        "nondeterminism",
        "Executions that failed because the code did not do what their history says.",
        named.each().map(|(labels, of)| (labels, of.nondeterminism.get())),
    )
}

fn work(families: &mut Families<'_, '_>, hubs: &Hubs) -> fmt::Result {
    let each = || hubs.iter().map(|(hub, of)| (vec![("hub", hub.as_str().into())], &**of));
    families.histogram(
        "orchestration_turn_duration_seconds",
        "How long a turn of an orchestrator took, in this process or out to a worker.",
        each().map(|(labels, of)| (labels, &of.turns)),
    )?;
    let starts = each().flat_map(|(labels, of)| {
        let kinds = Kind::ALL.iter().zip(&of.schedule_to_start);
        kinds.map(move |(kind, times)| (with(labels.clone(), "kind", kind.name()), times))
    });
    families.histogram(
        "work_item_schedule_to_start_seconds",
        "From when a work item was there until a worker had it.",
        starts,
    )?;
    let activities: Named<'_, Activity> = Named::of(hubs, |hub| hub.activities.all());
    let durations = activities.each().flat_map(|(labels, of)| {
        let outcomes = [("completed", &of.completed), ("failed", &of.failed)];
        outcomes.map(|(outcome, times)| (with(labels.clone(), "outcome", outcome), times))
    });
    families.histogram(
        "activity_duration_seconds",
        "How long one execution of an activity took, by outcome.",
        durations,
    )?;
    families.counter(
        "activity_retries",
        "Executions of activities that a retry policy of an orchestrator in this process asked for.",
        activities.each().map(|(labels, of)| (labels, of.retries.get())),
    )?;
    let entities: Named<'_, Entity> = Named::of(hubs, |hub| hub.entities.all());
    let operations = entities.each().flat_map(|(labels, of)| {
        let outcomes = [("completed", of.completed.get()), ("failed", of.failed.get())];
        outcomes.map(|(outcome, count)| (with(labels.clone(), "outcome", outcome), count))
    });
    families.counter("entity_operations", "Operations of entities that were carried out.", operations)?;
    families.histogram(
        "entity_lock_wait_seconds",
        "From when an orchestration asked for locks of entities until it had them all.",
        each().map(|(labels, of)| (labels, &of.lock_wait)),
    )?;
    families.histogram(
        "timer_lateness_seconds",
        "How long after its time a timer fired.",
        each().map(|(labels, of)| (labels, &of.timer_lateness)),
    )
}

fn state(families: &mut Families<'_, '_>, sample: &NodeSample) -> fmt::Result {
    let hub = |of: &HubSample| -> Labels<'_> { vec![("hub", of.name.clone().into())] };
    let each = || sample.hubs.iter().map(|of| (hub(of), of));
    let statuses = each().flat_map(|(labels, of)| {
        let shown = of.census.iter().flatten().filter_map(move |(status, count)| {
            let status = RuntimeStatus::try_from(*status).ok()?;
            Some((with(labels.clone(), "status", status.name()), *count as f64))
        });
        shown.collect::<Vec<_>>()
    });
    families.gauge("orchestrations", "Instances there are, by status.", statuses)?;
    let kinds = |value: fn(&HubSample, usize) -> Option<f64>| {
        let series = each().flat_map(move |(labels, of)| {
            let kinds = Kind::ALL.into_iter().enumerate();
            kinds.filter_map(move |(at, kind)| {
                Some((with(labels.clone(), "kind", kind.name()), value(of, at)?))
            })
        });
        series.collect::<Vec<_>>()
    };
    families.gauge(
        "work_item_queue_depth",
        "Work items that wait for a worker.",
        kinds(|of, at| Some(of.waiting[at].count as f64)),
    )?;
    families.gauge(
        "work_item_oldest_age_seconds",
        "How long the oldest of them has waited; 0 when none does.",
        kinds(|of, at| {
            let waiting = &of.waiting[at];
            if waiting.count == 0 { Some(0.0) } else { waiting.oldest.map(|age| age.as_secs_f64()) }
        }),
    )?;
    families.gauge(
        "work_items_out",
        "Work items that workers have; of turns those that are out of this process.",
        kinds(|of, at| Some(of.out[at] as f64)),
    )?;
    families.gauge(
        "timers_pending",
        "Timers that wait to fire.",
        each().map(|(labels, of)| (labels, of.timers as f64)),
    )?;
    families.gauge(
        "workers_connected",
        "Workers of other processes that are connected.",
        each().map(|(labels, of)| (labels, of.workers as f64)),
    )?;
    families.gauge(
        "hub_memory_bytes",
        "Memory that instances and entities take, about.",
        each().map(|(labels, of)| (labels, of.memory_bytes as f64)),
    )?;
    let owned = each().flat_map(|(labels, of)| {
        (0..of.partitions)
            .map(move |partition| (with(labels.clone(), "partition", partition.to_string()), 1.0))
    });
    families.gauge("partition_owner", "1 for each partition that this node runs.", owned)
}

/// How labels call a rule by which input is dropped.
fn reason(discard: Discard) -> &'static str {
    match discard {
        Discard::StaleTurn => "stale_turn",
        Discard::LateResult => "late_result",
        Discard::UnknownTarget => "unknown_target",
        Discard::TargetOver => "target_over",
        Discard::DuplicateMessage => "duplicate_message",
        Discard::LateTimer => "late_timer",
        Discard::InvalidAction => "invalid_action",
        Discard::IdTaken => "id_taken",
    }
}

fn counters(families: &mut Families<'_, '_>, sample: &NodeSample) -> fmt::Result {
    let each = || sample.hubs.iter().map(|of| (vec![("hub", Cow::from(&of.name))], of));
    let mut count = |name: &str, help: &str, value: fn(&Counters) -> u64| {
        families.counter(name, help, each().map(|(labels, of)| (labels, value(&of.counters))))
    };
    count("history_events", "Events that entered histories.", |c| c.history_events)?;
    count("history_bytes", "Bytes of the records that brought them.", |c| c.history_bytes)?;
    count("replayed_events", "Events that turns were given again.", |c| c.replayed_events)?;
    count("turns", "Turns of orchestrators that were handed out.", |c| c.turns)?;
    count("refused", "Starts, events and signals refused for want of room.", |c| c.refused)?;
    let discarded = each().flat_map(|(labels, of)| {
        let counted = of.counters.discarded.iter();
        counted.map(move |(rule, count)| (with(labels.clone(), "reason", reason(*rule)), *count))
    });
    families.counter("discarded", "Input that was dropped because nobody waits for it.", discarded)?;
    let redelivered = each().flat_map(|(labels, of)| {
        of.redelivered.by_reason().map(move |(reason, count)| (with(labels.clone(), "reason", reason), count))
    });
    families.counter(
        "work_items_redelivered",
        "Work items that came back undone from a worker and were handed out again.",
        redelivered,
    )
}

fn store(families: &mut Families<'_, '_>, metrics: &Metrics, sample: &NodeSample) -> fmt::Result {
    families.histogram(
        "store_commit_seconds",
        "How long an append to the log took, its sync included.",
        [(Labels::new(), &metrics.commit)],
    )?;
    families.histogram(
        "store_commit_batch_size",
        "Batches of partitions in one append.",
        [(Labels::new(), &metrics.commit_batches)],
    )?;
    let parts = [("tables", sample.tables_bytes), ("log", sample.log_bytes)];
    families.gauge(
        "store_size_bytes",
        "How large the tables are, and what of the log they do not hold yet.",
        parts.map(|(part, bytes)| (vec![("part", part.into())], bytes as f64)),
    )?;
    families.counter("store_log_syncs", "Syncs of the log.", [(Labels::new(), sample.log_syncs)])?;
    families.counter("store_flushes", "Transactions of the tables.", [(Labels::new(), sample.flushes)])
}
