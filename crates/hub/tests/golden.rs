//! The format of the log: what was written once must always read the same.
//!
//! `golden/v1.log` holds, in hex, a batch that this code wrote when the format was made, and the rows
//! it led to; `v2.log` the same of what came with entities, rewind and purge. A change of either is a change of the format: give the record a new version instead of
//! changing what the old one means. `STRANDLINE_GOLDEN=v2.log` writes that file anew.

mod support;

use std::collections::BTreeSet;

use prost::Message as _;
use strandline_hub::message::{Message, MessageBody};
use strandline_hub::record::DecodeError;
use strandline_hub::row::{Census, OpenTaskKind, PartitionRow, PartitionRows, QueuedKind};
use strandline_hub::{Command, Identity, Partition, Record, ReusePolicy};
use strandline_model::{
    ActionKind, EntityAction, EntityOutcome, FailureDetails, NewState, Origin, Timestamp,
};
use support::{Hub, activity, again, call, child, complete, fail, fail_of, id, lock, unlock};

/// One of everything there was at first.
fn scenario() -> Hub {
    let mut hub = Hub::new();
    hub.start("parent", ReusePolicy::refuse());
    let due = Timestamp { seconds: 1_700_000_100, nanos: 5 };
    let sent =
        ActionKind::SendEvent { instance_id: "other".to_owned(), name: "News".to_owned(), input: None };
    let actions =
        vec![activity("A"), activity("B"), ActionKind::CreateTimer { fire_at: due }, child("kid"), sent];
    hub.turn("parent", actions);
    let execution = hub.partition.instance("parent").unwrap().execution;
    for (task_id, result) in [
        (0, Ok(Some("\"ok\"".to_owned()))),
        (1, Err(FailureDetails::new("E", "failed").caused_by(FailureDetails::new("F", "root")))),
    ] {
        hub.run(Command::ActivityFinished { id: id("parent"), execution, task_id, result });
    }
    hub.raise("parent", "Late");
    hub.run(Command::Suspend { id: id("parent"), reason: None });
    hub.run(Command::Resume { id: id("parent"), reason: Some("on".to_owned()) });
    hub.turn("kid", vec![fail()]);
    hub.turn("parent", vec![again()]);
    hub.turn("parent", vec![child("kid"), ActionKind::CreateTimer { fire_at: due }]);
    hub.raise("parent", "Unseen");
    hub.terminate("parent", true);
    hub.start("second", ReusePolicy::refuse());
    hub.turn("second", vec![complete()]);
    hub.start("second", ReusePolicy::replace_any());
    hub.run(Command::Acknowledged { by: 0, sequence: 2 });
    hub
}

/// One of everything that came with entities, rewind and purge.
fn second_scenario() -> Hub {
    const E: &str = "@counter@A";
    const F: &str = "@counter@B";
    let mut hub = Hub::new();
    let later = Timestamp { seconds: 1_700_000_100, nanos: 5 };
    hub.begin(&["a", "b", "gone"]);
    // Operations of all kinds, done in a batch that sends and starts.
    let soon = hub.now.saturating_add(std::time::Duration::from_millis(50));
    hub.signal(E, "add");
    hub.turn("a", vec![call(E, "get"), call(E, "fail"), support::signal(E, "set")]);
    let signal = EntityAction::Signal {
        target: F.to_owned(),
        operation: "hello".to_owned(),
        input: Some("1".to_owned()),
        scheduled_time: Some(soon),
        trace: None,
    };
    let start = EntityAction::Start {
        instance_id: String::new(),
        name: "Started".to_owned(),
        version: Some("2".to_owned()),
        input: Some("{}".to_owned()),
        scheduled_start: Some(later),
        trace: None,
    };
    let outcome = EntityOutcome {
        results: vec![
            Ok(None),
            Ok(Some("1".to_owned())),
            Err(FailureDetails::new("E", "no").caused_by(FailureDetails::new("F", "root"))),
        ],
        state: NewState::Set(Some("{\"n\":1}".to_owned())),
        actions: vec![signal, start],
    };
    hub.finish(E, vec![0, 1, 2, 3], outcome);
    hub.pass(100);
    hub.work(E);
    hub.work(F);
    hub.signal_at(F, "late", Some(later));
    // A section that is left, one that waits behind another, and a grant that nobody takes.
    hub.turn("a", vec![lock("s", &[E, F])]);
    hub.turn("a", vec![activity("A"), call(F, "inside")]);
    hub.turn("b", vec![lock("t", &[E, F])]);
    hub.holds_messages = true;
    hub.turn("gone", vec![lock("u", &["@counter@C"])]);
    hub.deliver_one();
    hub.terminate("gone", false);
    hub.purge("gone");
    hub.holds_messages = false;
    hub.deliver();
    // "a" fails inside and is rewound: it regains the section once "b" gives it back.
    hub.activity_ends("a", 4, Err("no"));
    hub.turn("a", vec![unlock("s", E), unlock("s", F), fail_of(Origin::Task(4))]);
    hub.work(F);
    hub.rewind("a");
    // A child that is rewound with its parent, and one that runs and is adopted.
    hub.begin(&["p"]);
    hub.turn("p", vec![child("p-1"), child("p-2")]);
    hub.turn("p-1", vec![fail_of(Origin::Code)]);
    hub.turn("p", vec![fail_of(Origin::Task(0))]);
    hub.rewind("p");
    // A lock that ends with the last operation of its owner.
    hub.begin(&["q", "r"]);
    hub.turn("q", vec![lock("v", &["@counter@D"])]);
    hub.turn("q", vec![call("@counter@D", "last"), complete()]);
    hub.turn("r", vec![lock("w", &["@counter@D"])]);
    hub.turn("r", vec![activity("B")]);
    hub.turn("b", vec![unlock("t", E)]);
    hub
}

fn hex(bytes: &[u8]) -> String {
    let lines: Vec<String> =
        bytes.chunks(48).map(|line| line.iter().map(|b| format!("{b:02x}")).collect()).collect();
    lines.join("\n")
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
}

/// All rows as bytes.
fn rows(partition: &mut Partition) -> Vec<u8> {
    let rows: PartitionRows = partition.capture().into_rows(1, Timestamp::EPOCH);
    // The census is younger than these files; it has a test of its own.
    let mut bytes = PartitionRow { census: None, ..rows.partition }.encode_to_vec();
    for instance in rows.instances {
        bytes.extend(instance.row.map(|r| r.encode_to_vec()).unwrap_or_default());
        bytes.push(u8::from(instance.active));
        assert!(instance.chunks.is_empty() && instance.dropped.is_empty());
    }
    for entity in rows.entities {
        bytes.extend(entity.row.map(|r| r.encode_to_vec()).unwrap_or_default());
        bytes.push(u8::from(entity.active));
    }
    for timer in rows.timers_added {
        bytes.extend(format!("{timer:?}").bytes());
    }
    bytes
}

fn check_golden(mut hub: Hub, file: &str) {
    let mut batch = Vec::new();
    hub.log.iter().for_each(|record| record.encode(&mut batch));
    let written = format!("{}\n\n{}\n", hex(&batch), hex(&rows(&mut hub.partition)));
    let path = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("STRANDLINE_GOLDEN").as_deref() == Ok(file) {
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    let (stored_batch, stored_rows) = stored.split_once("\n\n").unwrap();

    // What was stored leads to the state it led to then.
    let records = Record::decode_all(&unhex(stored_batch)).unwrap();
    let identity = Identity { number: 0, partitions: 1 };
    let mut partition = support::tables::Tables::default().rebuild(identity, &records);
    assert_eq!(hex(&rows(&mut partition)), stored_rows.trim_end());
    // And what is decided today is written the same way.
    assert_eq!(written, stored);
}

#[test]
fn records_and_rows_of_version_1_never_change() {
    check_golden(scenario(), "v1.log");
}

#[test]
fn records_and_rows_of_version_2_never_change() {
    check_golden(second_scenario(), "v2.log");
}

/// Each row says how many instances there are, by status; what is written never changes.
#[test]
fn the_census_counts_all_instances() {
    for mut hub in [scenario(), second_scenario()] {
        let rows = hub.partition.capture().into_rows(1, Timestamp::EPOCH);
        let mut counted = Census::default();
        for row in rows.instances.iter().filter_map(|instance| instance.row.as_ref()) {
            *counted.by_status.entry(row.status).or_default() += 1;
        }
        let mut census = rows.partition.census.unwrap();
        census.by_status.retain(|_, count| *count > 0);
        assert_eq!(census, counted);
    }
    let row = PartitionRow { census: Some(Census { by_status: [(1, 300)].into() }), ..Default::default() };
    assert_eq!(hex(&row.encode_to_vec()), "120032070a05080110ac02");
}

#[test]
fn version_2_holds_one_of_everything_that_came_with_it() {
    let mut hub = second_scenario();
    let kind = |record: &Record| {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes[0]
    };
    let kinds: BTreeSet<u8> = hub.log.iter().map(kind).collect();
    assert!((7..=15).all(|kind| kinds.contains(&kind)), "{kinds:?}");
    let messages: BTreeSet<u32> = hub.partition.outbox(0, 0).map(|message| tag_of(message)).collect();
    assert!((9..=15).all(|tag| messages.contains(&tag)), "{messages:?}");
    let rows = support::tables::rows_of(&mut hub.partition);
    let entities: Vec<_> = rows.entities.iter().filter_map(|e| e.row.as_ref()).collect();
    assert!(entities.iter().any(|e| e.lock.as_ref().is_some_and(|lock| lock.releasing)));
    assert!(entities.iter().any(|e| e.lock.as_ref().is_some_and(|lock| !lock.releasing)));
    assert!(entities.iter().any(|e| e.state.is_some()) && entities.iter().any(|e| !e.scheduled.is_empty()));
    let queued = |is: fn(&QueuedKind) -> bool| {
        entities.iter().flat_map(|e| &e.queue).any(|queued| queued.kind.as_ref().is_some_and(is))
    };
    assert!(queued(|kind| matches!(kind, QueuedKind::Lock(_))));
    assert!(queued(|kind| matches!(kind, QueuedKind::Operation(_))));
    assert!(rows.instances.iter().any(|i| i.row.is_none()));
    let instances: Vec<_> = rows.instances.iter().filter_map(|i| i.row.as_ref()).collect();
    let sections: Vec<_> = instances.iter().flat_map(|i| &i.sections).collect();
    assert!(sections.iter().any(|s| s.regaining && !s.delayed.is_empty()), "{sections:?}");
    assert!(sections.iter().any(|s| s.granted > 0 && !s.released.is_empty()), "{sections:?}");
    let open = instances.iter().flat_map(|i| &i.open).filter_map(|open| open.kind.as_ref());
    assert!(open.into_iter().any(|kind| matches!(kind, OpenTaskKind::EntityCall(_))));
}

/// The field of a message's body.
fn tag_of(message: &Message) -> u32 {
    use MessageBody::*;
    match message.body.as_ref().unwrap() {
        StartChild(_) => 5,
        ChildEnded(_) => 6,
        RaiseEvent(_) => 7,
        Terminate(_) => 8,
        Operation(_) => 9,
        RequestLock(_) => 10,
        ReleaseLock(_) => 11,
        LockGranted(_) => 12,
        Replied(_) => 13,
        Start(_) => 14,
        Rewind(_) => 15,
    }
}

#[test]
fn rows_read_back_as_what_they_were() {
    for mut hub in [scenario(), second_scenario()] {
        let before = hub.partition.timers().count();
        hub.flush();
        hub.check_rebuilt();
        hub.restart();
        hub.check_rebuilt();
        assert_eq!(hub.partition.timers().count(), before);
    }
}

#[test]
fn records_of_a_newer_version_refuse_to_load() {
    let hub = scenario();
    let mut batch = Vec::new();
    hub.log[0].encode(&mut batch);
    let mut newer = batch.clone();
    newer[1] = 2;
    assert_eq!(Record::decode_all(&newer), Err(DecodeError::Unknown { kind: 1, version: 2 }));
    newer[0] = 200;
    assert!(matches!(Record::decode_all(&newer), Err(DecodeError::Unknown { kind: 200, .. })));
    for cut in 1..batch.len() {
        assert!(Record::decode_all(&batch[..cut]).is_err());
    }
}
