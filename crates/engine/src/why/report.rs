//! A diagnosis in words: a sentence, what it rests on, and what to do.

use std::time::Duration;

use strandline_model::{InstanceId, RuntimeStatus, Timestamp};

use super::diagnose::{Diagnosis, Waiting};
use super::evidence::Subject;
use super::verdict::Verdict;
use crate::dispatch::Kind;

/// Something a verdict rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// In camelCase.
    pub name: &'static str,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Time(Timestamp),
    Count(u64),
    Number(f64),
    Texts(Vec<String>),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    pub text: String,
    /// The words of a command after `strandline`; empty: there is none for it.
    pub cli: Vec<String>,
}

impl Diagnosis {
    /// The verdict as a sentence.
    pub fn summary(&self) -> String {
        let said = self.verdict.summary(self.now, self.since);
        match self.leaf() {
            Some(leaf) => format!("It waits for {}: {said}", described(leaf)),
            None => said,
        }
    }

    /// What the verdict is about, if that is not the instance itself.
    fn leaf(&self) -> Option<&InstanceId> {
        let about_path = matches!(self.verdict, Verdict::Deadlock { .. } | Verdict::EntityLock { .. });
        self.path.last().filter(|leaf| **leaf != self.id && !about_path)
    }

    /// What the verdict rests on.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = self.verdict.facts();
        if let Some(leaf) = self.leaf() {
            facts.push(Fact { name: "leaf", value: Value::Text(leaf.to_string()) });
        }
        facts
    }

    /// What to do, the most promising first.
    pub fn suggestions(&self) -> Vec<Suggestion> {
        let leaf = self.path.last().filter(|leaf| !leaf.is_entity()).unwrap_or(&self.id);
        let mut suggestions = self.verdict.suggestions(leaf, self.state);
        if let Some(leaf) = self.leaf().filter(|leaf| !leaf.is_entity()) {
            suggestions.push(suggest("see what it waits for", &["why", leaf.as_str()]));
        }
        suggestions
    }
}

impl Waiting {
    /// What becomes of it, as a sentence.
    pub fn summary(&self, now: Timestamp) -> String {
        self.verdict.summary(now, self.since)
    }
}

fn described(id: &InstanceId) -> String {
    if id.is_entity() { format!("entity {id}") } else { format!("instance {id:?}", id = id.as_str()) }
}

/// `activity "Pay" in version "2"`
fn called(work: &Subject) -> String {
    let kind = kind(work);
    let version = work.line.version.as_deref().filter(|version| !version.is_empty());
    let version = version.map(|version| format!(" in version {version:?}")).unwrap_or_default();
    format!("{kind} {:?}{version}", work.line.name)
}

fn kind(work: &Subject) -> &'static str {
    match work.line.kind {
        Kind::Orchestration => "orchestrator",
        Kind::Activity => "activity",
        Kind::Entity => "entity",
    }
}

/// Its singular work item: `a turn of orchestrator "Order"`, `activity "Pay"`.
fn item(work: &Subject) -> String {
    match work.line.kind {
        Kind::Orchestration => format!("the turn of {}", called(work)),
        Kind::Activity => called(work),
        Kind::Entity => format!("the operations of entity {}", work.of),
    }
}

/// A duration in its largest unit or two: `3d4h`, `12m`, `8s`.
fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{smaller}"),
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        _ => format!("{count} times"),
    }
}

fn versions(served: &[String]) -> String {
    let version = |version: &String| match version.as_str() {
        "" => "no version".to_owned(),
        version => format!("{version:?}"),
    };
    served.iter().map(version).collect::<Vec<_>>().join(", ")
}

impl Verdict {
    /// The verdict as a sentence, without the instance it is about.
    pub fn summary(&self, now: Timestamp, since: Option<Timestamp>) -> String {
        let lasted = |since: Option<Timestamp>| {
            let lasted = since.map(|since| format!(" for {}", coarse(now.saturating_since(since))));
            lasted.unwrap_or_default()
        };
        let lasting = lasted(since);
        let until = |time: &Timestamp| coarse(time.saturating_since(now));
        match self {
            Self::Completed => "it completed".to_owned(),
            Self::Failed { error } => format!("it failed: {error}"),
            Self::Terminated { reason: None } => "it was terminated".to_owned(),
            Self::Terminated { reason: Some(reason) } => format!("it was terminated: {reason}"),
            Self::Progressing => "nothing keeps it: it is about to go on".to_owned(),
            Self::StoreStalled { reason } => format!("the store takes nothing: {reason}"),
            Self::Suspended { reason: None } => format!("it is suspended{lasting}"),
            Self::Suspended { reason: Some(reason) } => format!("it is suspended{lasting}: {reason}"),
            Self::ScheduledStart { at } => format!("it starts in {}, as scheduled", until(at)),
            Self::UnknownName { work, nearest, .. } => {
                let meant = nearest.as_ref().map(|n| format!(": did you mean {n:?}?")).unwrap_or_default();
                format!("no connected worker registers {}{meant}", called(work))
            }
            Self::NoWorker { work, elsewhere } if elsewhere.is_empty() => {
                format!("no worker is connected to the task hub, so nobody runs {}", called(work))
            }
            Self::NoWorker { work, elsewhere } => {
                let hubs = quoted(elsewhere);
                format!("no worker is connected to this task hub; who runs {} works for {hubs}", called(work))
            }
            Self::VersionMismatch { work, served } => {
                let version = match work.line.version.as_deref() {
                    Some(version) if !version.is_empty() => format!("version {version:?}"),
                    _ => "no version".to_owned(),
                };
                let served = match served.as_slice() {
                    [] => String::new(),
                    served => format!(": they take {}", versions(served)),
                };
                let (kind, name) = (kind(work), &work.line.name);
                format!("workers register {kind} {name:?}, but do not take it with {version}{served}")
            }
            Self::AtWorker { work, worker: Some(worker), since, delivery, .. } => {
                let delivery = match delivery {
                    0 | 1 => String::new(),
                    delivery => format!(", in delivery {delivery}"),
                };
                format!("worker {worker:?} has had {}{}{delivery}", item(work), lasted(*since))
            }
            Self::AtWorker { work, worker: None, since, .. } => {
                format!("{} has been running in this process{}", item(work), lasted(*since))
            }
            Self::SlowTurn { work, took } => {
                format!("{} has been running for {}: its code blocks or loops", item(work), coarse(*took))
            }
            Self::Poison { work, lost, refused, problem, .. } => {
                let mut counts = Vec::new();
                if *lost > 0 {
                    counts
                        .push(format!("{} its worker was lost or answered wrongly", times(u64::from(*lost))));
                }
                if *refused > 0 {
                    counts.push(format!("{} a worker gave it back", times(u64::from(*refused))));
                }
                let problem = problem.as_ref().map(|p| format!(": {p}")).unwrap_or_default();
                format!("{} was handed out in vain, {}{problem}", item(work), counts.join(", "))
            }
            Self::Backlog { work, ahead, slots, estimate, .. } => {
                let estimate = match estimate {
                    Some(estimate) => format!("about {} at the speed of late", coarse(*estimate)),
                    None => "nothing of it was done of late".to_owned(),
                };
                format!("{} waits for one of {slots} slots with {ahead} before it: {estimate}", item(work))
            }
            Self::ExternalEvent { awaited, misspelt, deadline, .. } => {
                let event = match awaited.as_slice() {
                    [] => "an external event, since nothing else is open".to_owned(),
                    [name] => format!("external event {name:?}"),
                    names => format!("one of the external events {}", quoted(names)),
                };
                let deadline = deadline.as_ref().map(|at| format!(", with a timer in {}", until(at)));
                let misspelt = match misspelt {
                    Some((name, Some(meant))) => format!("; {name:?} came instead: was {meant:?} meant?"),
                    Some((name, None)) => format!("; {name:?} came, and nothing was done about it"),
                    None => String::new(),
                };
                format!("it waits{lasting} for {event}{}{misspelt}", deadline.unwrap_or_default())
            }
            Self::Timer { fires, unused } if unused.is_empty() => {
                format!("its timer fires in {}", until(fires))
            }
            Self::Timer { fires, unused } => {
                let names: Vec<_> = unused.iter().map(|(name, _)| name.clone()).collect();
                format!(
                    "its timer fires in {}; external events came, and nothing was done about them: {}",
                    until(fires),
                    quoted(&names)
                )
            }
            Self::Retrying { retry, fires } => format!(
                "{:?} failed {}, and is tried again in {}: {}",
                retry.name,
                times(u64::from(retry.failures)),
                until(fires),
                retry.error
            ),
            Self::SubOrchestration { child, is_missing: true } => {
                format!(
                    "its sub-orchestration {:?} is not there: it is about to start, or was purged",
                    child.as_str()
                )
            }
            Self::SubOrchestration { child, is_missing: false } => {
                format!("it waits{lasting} for its sub-orchestration {:?}", child.as_str())
            }
            Self::EntityLock { entity, holder, holder_waits: None } => {
                format!("entity {entity} is locked by instance {:?}, which is over or gone", holder.as_str())
            }
            Self::EntityLock { entity, holder, holder_waits: Some(waits) } => {
                let waits = if waits.is_empty() { String::new() } else { format!(", about which: {waits}") };
                format!("entity {entity} is locked by instance {:?}{waits}", holder.as_str())
            }
            Self::Deadlock { cycle } => {
                let mut names: Vec<_> = cycle.iter().map(ToString::to_string).collect();
                names.extend(names.first().cloned());
                format!("they wait for each other in a circle: {}", names.join(" → "))
            }
            Self::EntityBusy { entity, backlog } => {
                format!("{backlog} operations and lock requests wait for entity {entity}")
            }
            Self::LongHistory { events, actions, actions_max } => format!(
                "its history has {events} events, and it has taken {actions} of {actions_max} actions"
            ),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = Facts::default();
        match self {
            Self::Completed | Self::Progressing => {}
            Self::Failed { error } => facts.text("error", error),
            Self::Terminated { reason } | Self::Suspended { reason } => {
                facts.maybe("reason", reason.as_ref())
            }
            Self::StoreStalled { reason } => facts.text("reason", reason),
            Self::ScheduledStart { at } => facts.time("startsAt", *at),
            Self::UnknownName { work, nearest, elsewhere, workers } => {
                facts.work(work);
                facts.count("workersConnected", *workers as u64);
                facts.maybe("nearestName", nearest.as_ref());
                facts.texts("hubsWithWorkers", elsewhere);
            }
            Self::NoWorker { work, elsewhere } => {
                facts.work(work);
                facts.count("workersConnected", 0);
                facts.texts("hubsWithWorkers", elsewhere);
            }
            Self::VersionMismatch { work, served } => {
                facts.work(work);
                facts.texts("servedVersions", served);
            }
            Self::AtWorker { work, worker, peer, since, delivery, until } => {
                facts.work(work);
                facts.text("worker", worker.as_deref().unwrap_or("in-process"));
                facts.maybe("peer", peer.as_ref());
                facts.maybe_time("workerSince", *since);
                facts.count("delivery", u64::from(*delivery));
                facts.maybe_time("leaseUntil", *until);
            }
            Self::SlowTurn { work, took } => {
                facts.work(work);
                facts.number("tookSeconds", took.as_secs_f64());
            }
            Self::Poison { work, lost, refused, limit, problem, until } => {
                facts.work(work);
                facts.count("deliveriesLost", u64::from(*lost));
                facts.count("deliveriesGivenBack", u64::from(*refused));
                facts.count("deliveriesMax", u64::from(*limit));
                facts.maybe("problem", problem.as_ref());
                facts.maybe_time("until", *until);
            }
            Self::Backlog { work, ahead, slots, busy, per_second, estimate } => {
                facts.work(work);
                facts.count("position", *ahead as u64 + 1);
                facts.count("slots", *slots as u64);
                facts.count("slotsInUse", *busy as u64);
                if let Some(rate) = per_second {
                    facts.number("perSecond", *rate);
                }
                if let Some(estimate) = estimate {
                    facts.number("estimatedSeconds", estimate.as_secs_f64());
                }
            }
            Self::ExternalEvent { awaited, misspelt, others, deadline } => {
                facts.texts("awaitedEvents", awaited);
                facts.counted("arrivedEvents", others);
                if let Some((name, meant)) = misspelt {
                    facts.text("misspeltEvent", name);
                    facts.maybe("nearestName", meant.as_ref());
                }
                facts.maybe_time("timerFiresAt", *deadline);
            }
            Self::Timer { fires, unused } => {
                facts.time("firesAt", *fires);
                facts.counted("arrivedEvents", unused);
            }
            Self::Retrying { retry, fires } => {
                facts.text("name", &retry.name);
                facts.count("failures", u64::from(retry.failures));
                facts.text("error", &retry.error);
                facts.time("firesAt", *fires);
            }
            Self::SubOrchestration { child, .. } => facts.text("child", child.as_str()),
            Self::EntityLock { entity, holder, holder_waits } => {
                facts.text("entity", entity.as_str());
                facts.text("lockedBy", holder.as_str());
                facts.maybe("holder", holder_waits.as_ref().filter(|waits| !waits.is_empty()));
            }
            Self::Deadlock { cycle } => {
                let cycle: Vec<_> = cycle.iter().map(ToString::to_string).collect();
                facts.texts("cycle", &cycle);
            }
            Self::EntityBusy { entity, backlog } => {
                facts.text("entity", entity.as_str());
                facts.count("backlog", *backlog as u64);
            }
            Self::LongHistory { events, actions, actions_max } => {
                facts.count("historyEvents", *events as u64);
                facts.count("actions", u64::from(*actions));
                facts.count("actionsMax", u64::from(*actions_max));
            }
        }
        facts.0
    }

    /// What to do about it; `leaf` is the instance it is about.
    fn suggestions(&self, leaf: &InstanceId, state: RuntimeStatus) -> Vec<Suggestion> {
        let id = leaf.as_str();
        match self {
            Self::Completed => vec![suggest("see what came of it", &["get", id])],
            Self::Failed { .. } => vec![
                suggest("see what failed", &["history", id, "--failed"]),
                suggest("do what failed again, once its cause is gone", &["rewind", id]),
                suggest("or start it anew with the same input", &["restart", id]),
            ],
            Self::Terminated { .. } => {
                vec![suggest("start it anew with the same input", &["restart", id])]
            }
            Self::Progressing => vec![suggest("watch it", &["watch", id])],
            Self::StoreStalled { .. } => {
                vec![advice("make room on the store's disk: it goes on by itself")]
            }
            Self::Suspended { .. } => vec![suggest("let it go on", &["resume", id])],
            Self::ScheduledStart { .. } => vec![suggest("wait for it", &["watch", id])],
            Self::UnknownName { work, nearest, elsewhere, .. } => {
                let mut suggestions = vec![match nearest {
                    Some(nearest) => {
                        suggest(&format!("compare names: workers register {nearest:?}"), &["worker", "list"])
                    }
                    None => {
                        let text = format!("start a worker that registers {}", called(work));
                        suggest(&text, &["worker", "list"])
                    }
                }];
                suggestions.extend(elsewhere.iter().map(|hub| in_hub(hub)));
                suggestions
            }
            Self::NoWorker { work, elsewhere } => {
                let text = format!("start a worker that registers {}", called(work));
                let mut suggestions = vec![suggest(&text, &["worker", "list"])];
                suggestions.extend(elsewhere.iter().map(|hub| in_hub(hub)));
                suggestions
            }
            Self::VersionMismatch { .. } => vec![
                suggest("start a worker that takes this version, or see which do", &["worker", "list"]),
                advice(
                    "a worker that takes the current version and older ones keeps running instances alive",
                ),
            ],
            Self::AtWorker { .. } => vec![
                suggest("see what its worker does", &["worker", "list"]),
                suggest("wait for it", &["watch", id]),
            ],
            Self::SlowTurn { .. } => vec![
                advice("move what blocks or computes long into an activity"),
                suggest("end the instance", &["terminate", id]),
            ],
            Self::Poison { problem, .. } => {
                let text = match problem {
                    Some(_) => "look at its worker's log, and at the versions of its SDK",
                    None => "look at the logs of its workers: they end or give it back while they have it",
                };
                vec![suggest(text, &["worker", "list"]), suggest("see how far it came", &["history", id])]
            }
            Self::Backlog { .. } => {
                vec![suggest("start more workers, or give them more slots", &["worker", "list"])]
            }
            Self::ExternalEvent { awaited, misspelt, .. } => {
                let meant = misspelt.as_ref().and_then(|(_, meant)| meant.as_ref());
                let mut suggestions = Vec::new();
                match meant.or(awaited.first()) {
                    Some(name) => suggestions.push(suggest("raise the event", &["raise", id, name])),
                    None => {
                        suggestions.push(advice("raise the event that its code waits for: strandline raise"));
                    }
                }
                suggestions.push(suggest("see what came already", &["history", id]));
                suggestions
            }
            Self::Timer { .. } => vec![suggest("wait for it", &["watch", id])],
            Self::Retrying { .. } => {
                vec![suggest("see how the attempts failed", &["history", id, "--failed"])]
            }
            Self::SubOrchestration { child, is_missing: true } => vec![
                suggest("see whether it is there by now", &["get", child.as_str()]),
                suggest("if it was purged nothing wakes its parent: end it", &["terminate", id]),
            ],
            Self::SubOrchestration { child, is_missing: false } => {
                vec![suggest("see what that one waits for", &["why", child.as_str()])]
            }
            Self::EntityLock { entity, holder_waits: None, .. } => {
                vec![suggest("see who holds it now", &["entity", "get", entity.as_str()])]
            }
            Self::EntityLock { entity, holder, .. } => vec![
                suggest("see what the holder waits for", &["why", holder.as_str()]),
                suggest("see what waits for the entity", &["entity", "get", entity.as_str()]),
            ],
            Self::Deadlock { cycle } => {
                let mut instances = cycle.iter().filter(|id| !id.is_entity());
                let ends = instances.next_back().map_or(id, InstanceId::as_str);
                vec![
                    suggest("end one of them: its locks are given back", &["terminate", ends]),
                    advice(
                        "take locks before starting sub-orchestrations, and never wait inside for who needs them",
                    ),
                ]
            }
            Self::EntityBusy { entity, .. } => vec![
                suggest("see what waits for it", &["entity", "get", entity.as_str()]),
                advice("an entity works on one thing at a time: spread its work over several keys"),
            ],
            Self::LongHistory { .. } => {
                let mut suggestions =
                    vec![advice("continue as new from time to time: a turn may replay the whole history")];
                if !state.is_terminal() {
                    suggestions.push(suggest("see what it does", &["history", id]));
                }
                suggestions
            }
        }
    }
}

fn suggest(text: &str, cli: &[&str]) -> Suggestion {
    Suggestion { text: text.to_owned(), cli: cli.iter().map(|word| (*word).to_owned()).collect() }
}

fn advice(text: &str) -> Suggestion {
    suggest(text, &[])
}

fn in_hub(hub: &str) -> Suggestion {
    let text =
        format!("workers of task hub {hub:?} take it: is the instance, or the worker, in the wrong hub?");
    suggest(&text, &["worker", "list", "--hub", hub])
}

#[derive(Default)]
struct Facts(Vec<Fact>);

impl Facts {
    fn put(&mut self, name: &'static str, value: Value) {
        self.0.push(Fact { name, value });
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.put(name, Value::Text(text.to_owned()));
    }

    fn maybe(&mut self, name: &'static str, text: Option<&String>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn time(&mut self, name: &'static str, time: Timestamp) {
        self.put(name, Value::Time(time));
    }

    fn maybe_time(&mut self, name: &'static str, time: Option<Timestamp>) {
        if let Some(time) = time {
            self.time(name, time);
        }
    }

    fn count(&mut self, name: &'static str, count: u64) {
        self.put(name, Value::Count(count));
    }

    fn number(&mut self, name: &'static str, number: f64) {
        self.put(name, Value::Number(number));
    }

    fn texts(&mut self, name: &'static str, texts: &[String]) {
        if !texts.is_empty() {
            self.put(name, Value::Texts(texts.to_vec()));
        }
    }

    /// `name` and `name (3 times)`
    fn counted(&mut self, name: &'static str, counted: &[(String, u64)]) {
        let said = |(name, count): &(String, u64)| match count {
            1 => name.clone(),
            count => format!("{name} ({count} times)"),
        };
        let counted: Vec<_> = counted.iter().map(said).collect();
        self.texts(name, &counted);
    }

    /// What is to be done, and of what.
    fn work(&mut self, work: &Subject) {
        self.text(kind(work), &work.line.name);
        self.maybe("version", work.line.version.as_ref());
    }
}
