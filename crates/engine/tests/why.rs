//! Why an instance waits: one case for each verdict, from evidence alone.

use std::collections::BTreeMap;

use strandline_engine::dispatch::{Kind, Line, Takers, Tries, Whereabouts};
use strandline_engine::why::{
    Arrived, Brief, Diagnosis, EntityEvidence, Evidence, InstanceEvidence, OpenWait, Projection, Retry,
    Severity, Subject, Suspension, Value, Verdict, Work, diagnose,
};
use strandline_model::{
    Empty, EventKind, EventRaised, ExecutionSuspended, FailureDetails, HistoryEvent, InstanceId,
    RuntimeStatus, TaskFailed, TaskScheduled, TimerCreated, Timestamp,
};

const NOW: i64 = 1_795_168_800_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW + seconds * 1000)
}

fn id(id: &str) -> InstanceId {
    InstanceId::trusted(id)
}

/// An orchestration of `Order` that began an hour ago.
fn instance() -> InstanceEvidence {
    InstanceEvidence {
        name: "Order".to_owned(),
        version: None,
        state: RuntimeStatus::Running,
        created: at(-3600),
        updated: at(-600),
        acted: Some(at(-900)),
        ended: None,
        outcome: None,
        suspended: None,
        starts: None,
        turn: None,
        waits: Vec::new(),
        waits_total: 0,
        awaited: None,
        arrived: BTreeMap::new(),
        history_events: 10,
        actions: 2,
    }
}

fn waits_for(waits: Vec<OpenWait>) -> InstanceEvidence {
    InstanceEvidence { waits_total: waits.len(), waits, ..instance() }
}

fn line(kind: Kind, name: &str) -> Line {
    Line { kind, name: name.to_owned(), version: None }
}

fn work(kind: Kind, name: &str, whereabouts: Whereabouts) -> Work {
    let subject = Subject { line: line(kind, name), of: id("order-1") };
    Work { subject, whereabouts, tries: Tries::default() }
}

fn activity(name: &str, whereabouts: Whereabouts) -> OpenWait {
    OpenWait::Activity { task_id: 1, since: Some(at(-120)), work: work(Kind::Activity, name, whereabouts) }
}

fn leased() -> Whereabouts {
    let (since, until) = (Some(at(-30)), Some(at(270)));
    Whereabouts::Leased { worker: "w1".to_owned(), peer: Some("10.0.0.1:5000".to_owned()), since, until }
}

fn queued() -> Whereabouts {
    Whereabouts::Queued { ahead: 4 }
}

fn child(child: &str) -> OpenWait {
    OpenWait::SubOrchestration { task_id: 1, since: Some(at(-500)), id: id(child), name: None }
}

fn lock(entity: &str) -> OpenWait {
    OpenWait::EntityLock { task_id: 2, since: Some(at(-300)), entity: id(entity) }
}

/// Of an instance `order-1`.
fn evidence(instance: InstanceEvidence) -> Evidence {
    let instances = BTreeMap::from([(id("order-1"), Some(instance))]);
    Evidence { now: at(0), instances, deliveries_max: 10, ..Evidence::default() }
}

fn with_takers(mut evidence: Evidence, kind: Kind, name: &str, takers: Takers) -> Evidence {
    evidence.takers.insert(line(kind, name), takers);
    evidence
}

fn entity(locked_by: Option<&str>, backlog: usize, batch: Option<Work>) -> Option<EntityEvidence> {
    Some(EntityEvidence { locked_by: locked_by.map(id), backlog, batch })
}

fn judged(evidence: &Evidence) -> Diagnosis {
    diagnose(evidence, &id("order-1")).unwrap()
}

/// A case: what is known, and what is to come of it: verdict, severity, words of the summary, and the first
/// command suggested.
type Case = (&'static str, Evidence, &'static str, Severity, &'static str, &'static str);

fn ended(state: RuntimeStatus, outcome: &str) -> Evidence {
    let (ended, outcome) = (Some(at(-5)), Some(outcome.to_owned()));
    evidence(InstanceEvidence { state, ended, outcome, ..instance() })
}

fn tried(whereabouts: Whereabouts, tries: Tries) -> Evidence {
    let mut work = work(Kind::Activity, "Pay", whereabouts);
    work.tries = tries;
    evidence(waits_for(vec![OpenWait::Activity { task_id: 1, since: Some(at(-120)), work }]))
}

fn arrived(names: &[(&str, u64, u64)]) -> BTreeMap<String, Arrived> {
    let one = |(name, count, unused): &(&str, u64, u64)| {
        ((*name).to_owned(), Arrived { count: *count, last: Some(at(-60)), unused: *unused })
    };
    names.iter().map(one).collect()
}

fn cases_of_work() -> Vec<Case> {
    let workers = |workers| Takers { workers, ..Takers::default() };
    let order = || {
        evidence(InstanceEvidence { turn: Some(work(Kind::Orchestration, "Order", queued())), ..instance() })
    };
    let pay = |whereabouts| evidence(waits_for(vec![activity("Pay", whereabouts)]));
    let mut misnamed = with_takers(pay(queued()), Kind::Activity, "Pay", workers(2));
    misnamed.names.insert(Kind::Activity, ["Paj".to_owned(), "Ship".to_owned()].into());
    let mut elsewhere = with_takers(order(), Kind::Orchestration, "Order", workers(0));
    elsewhere.elsewhere.insert(line(Kind::Orchestration, "Order"), vec!["billing".to_owned()]);
    let versions = Takers {
        workers: 1,
        other_versions: 1,
        versions: ["1.0".to_owned(), String::new()].into(),
        ..Takers::default()
    };
    let mut version = with_takers(order(), Kind::Orchestration, "Order", workers(1));
    let in_version = Line { version: Some("2.0".to_owned()), ..line(Kind::Orchestration, "Order") };
    version.takers.insert(in_version.clone(), versions);
    if let Some(Some(InstanceEvidence { turn: Some(turn), .. })) = version.instances.get_mut(&id("order-1")) {
        turn.subject.line = in_version;
    }
    let full = Takers {
        workers: 1,
        takers: 1,
        slots: 8,
        busy: 8,
        full: true,
        per_second: Some(0.05),
        ..Takers::default()
    };
    let idle = Takers { workers: 1, takers: 1, slots: 8, busy: 2, ..Takers::default() };
    let slow = work(Kind::Orchestration, "Order", Whereabouts::Here { since: Some(at(-15)) });
    let lost = |lost| Tries { lost, ..Tries::default() };
    let wrong = Tries { lost: 2, refused: 2, problem: Some("an action without an id".to_owned()) };
    use Severity::{Error, Info, Ok, Warning};
    vec![
        (
            "a: no worker lists the name",
            misnamed,
            "unknownName",
            Error,
            "did you mean \"Paj\"",
            "worker list",
        ),
        (
            "b: nobody is there",
            with_takers(pay(queued()), Kind::Activity, "Pay", workers(0)),
            "noWorker",
            Error,
            "no worker is connected to the task hub",
            "worker list",
        ),
        ("b: they are elsewhere", elsewhere, "noWorker", Error, "works for \"billing\"", "worker list"),
        (
            "c: a worker has it",
            pay(leased()),
            "atWorker",
            Info,
            "worker \"w1\" has had activity \"Pay\" for 30s",
            "worker list",
        ),
        (
            "c: for the second time",
            tried(leased(), lost(1)),
            "atWorker",
            Warning,
            "in delivery 2",
            "worker list",
        ),
        (
            "c: it runs here",
            pay(Whereabouts::Here { since: Some(at(-3)) }),
            "atWorker",
            Info,
            "in this process for 3s",
            "worker list",
        ),
        (
            "a turn that blocks",
            evidence(InstanceEvidence { turn: Some(slow), ..instance() }),
            "slowTurn",
            Error,
            "blocks or loops",
            "",
        ),
        (
            "i: it loses workers",
            tried(leased(), lost(4)),
            "poison",
            Error,
            "4 times its worker was lost",
            "worker list",
        ),
        (
            "i: nonsense for answers",
            tried(Whereabouts::Delayed { until: at(3) }, wrong),
            "poison",
            Error,
            "without an id",
            "worker list",
        ),
        (
            "j: not in this version",
            version,
            "versionMismatch",
            Error,
            "do not take it with version \"2.0\": they take no version, \"1.0\"",
            "worker list",
        ),
        (
            "k: others come first",
            with_takers(pay(queued()), Kind::Activity, "Pay", full),
            "backlog",
            Warning,
            "one of 8 slots with 4 before it: about 1m40s",
            "worker list",
        ),
        (
            "about to be handed out",
            with_takers(pay(queued()), Kind::Activity, "Pay", idle),
            "progressing",
            Ok,
            "about to go on",
            "watch order-1",
        ),
    ]
}

fn cases_of_waits() -> Vec<Case> {
    let timer = |retry| {
        let (since, fires) = (Some(at(-60)), at(3725));
        OpenWait::Timer { task_id: 3, since, fires, retry }
    };
    let told = InstanceEvidence {
        awaited: Some(vec!["Approval".to_owned()]),
        arrived: arrived(&[("Aproval", 2, 2), ("Start", 1, 0)]),
        ..instance()
    };
    let case_alone = InstanceEvidence {
        awaited: Some(vec!["Approval".to_owned()]),
        arrived: arrived(&[("approval", 1, 1)]),
        ..instance()
    };
    let with_limit =
        InstanceEvidence { awaited: Some(vec!["Approval".to_owned()]), ..waits_for(vec![timer(None)]) };
    let inferred = InstanceEvidence { arrived: arrived(&[("Aproval", 1, 1)]), ..instance() };
    let unused = InstanceEvidence { arrived: arrived(&[("Aproval", 1, 1)]), ..waits_for(vec![timer(None)]) };
    let retry = Retry { name: "Pay".to_owned(), failures: 3, error: "IoError: reset".to_owned() };
    let suspended = Some(Suspension { since: Some(at(-86_400)), reason: Some("by Ann".to_owned()) });
    use Severity::{Error, Info, Ok, Warning};
    vec![
        (
            "d: it is told",
            evidence(told),
            "externalEvent",
            Warning,
            "\"Aproval\" came instead: was \"Approval\" meant",
            "raise order-1 Approval",
        ),
        (
            "d: case does not matter",
            evidence(case_alone),
            "externalEvent",
            Info,
            "it waits for 15m for external event \"Approval\"",
            "raise order-1 Approval",
        ),
        (
            "d: with a time limit",
            evidence(with_limit),
            "externalEvent",
            Info,
            "with a timer in 1h2m",
            "raise order-1 Approval",
        ),
        (
            "d: inferred",
            evidence(inferred),
            "externalEvent",
            Warning,
            "since nothing else is open; \"Aproval\" came",
            "",
        ),
        (
            "e: a timer",
            evidence(waits_for(vec![timer(None)])),
            "timer",
            Info,
            "fires in 1h2m",
            "watch order-1",
        ),
        (
            "e: and events nobody took",
            evidence(unused),
            "timer",
            Info,
            "nothing was done about them: \"Aproval\"",
            "watch order-1",
        ),
        (
            "e: between attempts",
            evidence(waits_for(vec![timer(Some(retry))])),
            "retrying",
            Warning,
            "\"Pay\" failed 3 times",
            "history order-1 --failed",
        ),
        (
            "h: suspended",
            evidence(InstanceEvidence { suspended, ..waits_for(vec![activity("Pay", leased())]) }),
            "suspended",
            Warning,
            "for 1d: by Ann",
            "resume order-1",
        ),
        (
            "l: not yet",
            evidence(InstanceEvidence { starts: Some(at(90)), state: RuntimeStatus::Pending, ..instance() }),
            "scheduledStart",
            Info,
            "in 1m30s",
            "watch order-1",
        ),
        (
            "m: a long history",
            evidence(InstanceEvidence { history_events: 12_000, ..waits_for(vec![timer(None)]) }),
            "longHistory",
            Warning,
            "12000 events",
            "",
        ),
        (
            "m: too many actions",
            evidence(InstanceEvidence { actions: 95_000, ..instance() }),
            "longHistory",
            Error,
            "95000 of 100000",
            "",
        ),
        (
            "a store without room",
            Evidence { store: Some("no space left".to_owned()), ..evidence(waits_for(vec![timer(None)])) },
            "storeStalled",
            Error,
            "takes nothing: no space left",
            "",
        ),
        ("it completed", ended(RuntimeStatus::Completed, ""), "completed", Ok, "completed", "get order-1"),
        (
            "it failed",
            ended(RuntimeStatus::Failed, "IoError: reset"),
            "failed",
            Error,
            "IoError: reset",
            "history order-1 --failed",
        ),
        (
            "it was ended",
            ended(RuntimeStatus::Terminated, "by Bob"),
            "terminated",
            Info,
            "by Bob",
            "restart order-1",
        ),
        (
            "nothing at all is known to be open",
            evidence(InstanceEvidence {
                turn: Some(work(Kind::Orchestration, "Order", Whereabouts::Nowhere)),
                ..instance()
            }),
            "progressing",
            Ok,
            "about to go on",
            "watch order-1",
        ),
    ]
}

fn cases_of_others() -> Vec<Case> {
    let parent = |child_is: Option<InstanceEvidence>| {
        let mut parent = evidence(waits_for(vec![child("child")]));
        parent.instances.insert(id("child"), child_is);
        parent
    };
    let mut grandchild = parent(Some(waits_for(vec![child("grandchild")])));
    grandchild.instances.insert(id("grandchild"), Some(waits_for(vec![activity("Pay", queued())])));
    let unseen = evidence(waits_for(vec![child("child")]));
    let wants_lock = |holder: &str, holder_is: Option<InstanceEvidence>| {
        let mut wants = evidence(waits_for(vec![lock("@stock@x")]));
        wants.entities.insert(id("@stock@x"), entity(Some(holder), 1, None));
        wants.instances.insert(id(holder), holder_is);
        wants
    };
    let held = wants_lock("other", Some(waits_for(vec![activity("Pay", leased())])));
    let mut circle = evidence(waits_for(vec![child("child")]));
    circle.instances.insert(id("child"), Some(waits_for(vec![lock("@stock@x")])));
    circle.entities.insert(id("@stock@x"), entity(Some("order-1"), 1, None));
    let mut sections = wants_lock("other", Some(waits_for(vec![lock("@stock@y")])));
    sections.entities.insert(id("@stock@y"), entity(Some("order-1"), 1, None));
    let call = OpenWait::EntityCall {
        task_id: 4,
        since: Some(at(-10)),
        entity: id("@stock@x"),
        operation: Some("take".to_owned()),
    };
    let mut busy = evidence(waits_for(vec![call.clone()]));
    let batch = work(Kind::Entity, "stock", leased());
    busy.entities.insert(id("@stock@x"), entity(None, 5_000, Some(batch)));
    let mut unserved = evidence(waits_for(vec![call]));
    unserved.entities.insert(id("@stock@x"), entity(None, 1, Some(work(Kind::Entity, "stock", queued()))));
    let unserved = with_takers(unserved, Kind::Entity, "stock", Takers { workers: 1, ..Takers::default() });
    use Severity::{Error, Info, Ok, Warning};
    vec![
        (
            "f: down to the leaf",
            grandchild,
            "noWorker",
            Error,
            "It waits for instance \"grandchild\": no worker",
            "worker list",
        ),
        ("f: not looked into", unseen, "subOrchestration", Info, "sub-orchestration \"child\"", "why child"),
        ("f: it is gone", parent(None), "subOrchestration", Warning, "was purged", "get child"),
        (
            "f: its end is on its way",
            parent(Some(InstanceEvidence { ended: Some(at(0)), ..instance() })),
            "progressing",
            Ok,
            "about to go on",
            "watch order-1",
        ),
        (
            "g: a lock",
            held,
            "entityLock",
            Warning,
            "locked by instance \"other\", about which: worker \"w1\"",
            "why other",
        ),
        (
            "g: its holder is gone",
            wants_lock("other", None),
            "entityLock",
            Error,
            "over or gone",
            "entity get @stock@x",
        ),
        (
            "g: a circle over a child",
            circle,
            "deadlock",
            Error,
            "order-1 → child → @stock@x → order-1",
            "terminate child",
        ),
        (
            "g: a circle of sections",
            sections,
            "deadlock",
            Error,
            "order-1 → @stock@x → other → @stock@y → order-1",
            "terminate other",
        ),
        ("g: much to do", busy, "entityBusy", Warning, "5000 operations", "entity get @stock@x"),
        ("a: an entity nobody serves", unserved, "unknownName", Error, "entity \"stock\"", "worker list"),
    ]
}

#[test]
fn every_verdict_is_reached() {
    let mut wrong = Vec::new();
    let cases = [cases_of_work(), cases_of_waits(), cases_of_others()];
    for (name, evidence, verdict, severity, words, cli) in cases.into_iter().flatten() {
        let diagnosis = judged(&evidence);
        let summary = diagnosis.summary();
        let suggestions = diagnosis.suggestions();
        let first = suggestions.first().map(|first| first.cli.join(" "));
        let found = (diagnosis.verdict.code(), diagnosis.severity, first.as_deref());
        if found != (verdict, severity, Some(cli)) || !summary.contains(words) {
            wrong.push(format!("{name}: {found:?}: {summary}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_worst_of_many_decides() {
    let timer = OpenWait::Timer { task_id: 0, since: None, fires: at(60), retry: None };
    let waits = vec![timer, activity("Pay", leased()), activity("Ship", queued())];
    let mut order = waits_for(waits);
    order.waits_total = 500;
    let diagnosis = judged(&evidence(order));
    assert_eq!(diagnosis.verdict.code(), "noWorker");
    let kinds: Vec<_> = diagnosis.waiting_on.iter().map(|w| (w.name.as_str(), w.severity)).collect();
    assert_eq!(kinds, [("Ship", Severity::Error), ("Pay", Severity::Info), ("", Severity::Info)]);
    assert_eq!(diagnosis.waiting_on_total, 500);
    assert_eq!(diagnosis.since, Some(at(-120)));
}

#[test]
fn facts_have_names_that_programs_can_rely_on() {
    let evidence = evidence(waits_for(vec![activity("Pay", leased())]));
    let facts: Vec<_> = judged(&evidence).facts().into_iter().map(|fact| (fact.name, fact.value)).collect();
    assert_eq!(
        facts,
        [
            ("activity", Value::Text("Pay".to_owned())),
            ("worker", Value::Text("w1".to_owned())),
            ("peer", Value::Text("10.0.0.1:5000".to_owned())),
            ("workerSince", Value::Time(at(-30))),
            ("delivery", Value::Count(1)),
            ("leaseUntil", Value::Time(at(270))),
        ]
    );
}

#[test]
fn waits_that_are_wide_and_mutual_are_judged_at_once() {
    let ids: Vec<String> = (1..=40).map(|n| format!("order-{n}")).collect();
    let mut evidence = evidence(instance());
    for own in &ids {
        let others = ids.iter().filter(|other| *other != own);
        let waits = others.flat_map(|other| [child(other), lock(&format!("@seat@{other}"))]).collect();
        evidence.instances.insert(id(own), Some(waits_for(waits)));
        evidence.entities.insert(id(&format!("@seat@{own}")), entity(Some(own), 1, None));
    }
    let found = judged(&evidence);
    assert_eq!((found.verdict.code(), found.severity), ("deadlock", Severity::Error));
}

#[test]
fn who_is_not_there_has_no_diagnosis() {
    assert_eq!(diagnose(&evidence(instance()), &id("other")), None);
}

fn briefs(events: Vec<(i32, EventKind)>) -> Vec<Brief> {
    let event = |(number, (id, kind)): (usize, (i32, EventKind))| {
        Brief::of(&HistoryEvent::of_action(id, at(number as i64), kind))
    };
    events.into_iter().enumerate().map(event).collect()
}

fn begin() -> (i32, EventKind) {
    (-1, EventKind::OrchestratorStarted(Empty {}))
}

fn end() -> (i32, EventKind) {
    (-1, EventKind::OrchestratorCompleted(Empty {}))
}

fn raised(name: &str) -> (i32, EventKind) {
    (-1, EventKind::EventRaised(EventRaised { name: name.to_owned(), ..EventRaised::default() }))
}

fn scheduled(id: i32, name: &str) -> (i32, EventKind) {
    (id, EventKind::TaskScheduled(TaskScheduled { name: name.to_owned(), ..TaskScheduled::default() }))
}

#[test]
fn a_history_tells_which_events_came_to_nothing() {
    let events = vec![
        begin(),
        scheduled(0, "Ask"),
        end(),
        begin(),
        raised("Yes"),
        scheduled(1, "Pay"),
        end(),
        begin(),
        raised("Yess"),
        end(),
    ];
    let read = Projection::of(&briefs(events), &[1].into());
    assert_eq!((read.arrived["Yes"].count, read.arrived["Yes"].unused), (1, 0));
    assert_eq!((read.arrived["Yess"].unused, read.arrived["Yess"].last), (1, Some(at(8))));
    assert_eq!(read.scheduled[&1].since, at(5));
    assert_eq!(read.acted, Some(at(6)));
    assert_eq!(read.scheduled[&1].name.as_deref(), Some("Pay"));
    assert!(!read.scheduled.contains_key(&0));
}

#[test]
fn a_history_tells_what_is_tried_again() {
    let failed = |task_id| {
        let failure = FailureDetails::new("IoError", "reset");
        (-1, EventKind::TaskFailed(TaskFailed { task_id, failure }))
    };
    let timer = |id| (id, EventKind::TimerCreated(TimerCreated { fire_at: at(100) }));
    let events = vec![
        begin(),
        scheduled(0, "Pay"),
        end(),
        begin(),
        failed(0),
        timer(1),
        end(),
        begin(),
        scheduled(2, "Pay"),
        end(),
        begin(),
        failed(2),
        timer(3),
        end(),
    ];
    let read = Projection::of(&briefs(events), &[3].into());
    let retry = Retry { name: "Pay".to_owned(), failures: 2, error: "IoError: reset".to_owned() };
    assert_eq!(read.retries[&3], retry);
}

#[test]
fn a_history_tells_who_suspended_it() {
    let suspended = EventKind::ExecutionSuspended(ExecutionSuspended { input: Some("by Ann".to_owned()) });
    let read = Projection::of(&briefs(vec![begin(), end(), (-1, suspended)]), &[].into());
    let suspension = Suspension { since: Some(at(2)), reason: Some("by Ann".to_owned()) };
    assert_eq!(read.suspension, Some(suspension));
}

#[test]
fn circles_end() {
    let mut circle = evidence(waits_for(vec![child("child")]));
    circle.instances.insert(id("child"), Some(waits_for(vec![child("order-1")])));
    let diagnosis = judged(&circle);
    assert_eq!(diagnosis.verdict, Verdict::Deadlock { cycle: vec![id("order-1"), id("child")] });
    assert_eq!(diagnosis.path, [id("order-1"), id("child")]);
}
