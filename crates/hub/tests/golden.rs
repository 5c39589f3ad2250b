//! The format of the log: what was written once must always read the same.
//!
//! `golden/v1.log` holds, in hex, a batch that this code wrote when the format was made, and the rows
//! it led to. A change of either is a change of the format: give the record a new version instead of
//! changing what the old one means. `STRANDLINE_GOLDEN=write` writes the file anew.

mod support;

use prost::Message as _;
use strandline_hub::record::DecodeError;
use strandline_hub::row::PartitionRows;
use strandline_hub::{Command, Identity, Partition, Record, ReusePolicy, evolve};
use strandline_model::{ActionKind, FailureDetails, Timestamp};
use support::{Hub, activity, again, child, complete, fail, id};

/// One of everything.
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
    let mut bytes = rows.partition.encode_to_vec();
    for instance in rows.instances {
        bytes.extend(instance.row.map(|r| r.encode_to_vec()).unwrap_or_default());
        bytes.push(u8::from(instance.active));
        assert!(instance.chunks.is_empty() && instance.dropped.is_empty());
    }
    for timer in rows.timers_added {
        bytes.extend(format!("{timer:?}").bytes());
    }
    bytes
}

#[test]
fn records_and_rows_of_version_1_never_change() {
    let mut hub = scenario();
    let mut batch = Vec::new();
    hub.log.iter().for_each(|record| record.encode(&mut batch));
    let written = format!("{}\n\n{}\n", hex(&batch), hex(&rows(&mut hub.partition)));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/v1.log");
    if std::env::var("STRANDLINE_GOLDEN").as_deref() == Ok("write") {
        std::fs::write(path, &written).unwrap();
    }
    let stored = std::fs::read_to_string(path).unwrap();
    let (stored_batch, stored_rows) = stored.split_once("\n\n").unwrap();

    // What was stored leads to the state it led to then.
    let mut partition = Partition::new(Identity { number: 0, partitions: 1 }, None, Vec::new());
    for record in Record::decode_all(&unhex(stored_batch)).unwrap() {
        if let Some(id) = record.key().filter(|id| partition.is_missing(id)) {
            partition.install(id, None);
        }
        evolve(&mut partition, record);
    }
    assert_eq!(hex(&rows(&mut partition)), stored_rows.trim_end());
    // And what is decided today is written the same way.
    assert_eq!(written, stored);
}

#[test]
fn rows_read_back_as_what_they_were() {
    let mut hub = scenario();
    let before: Vec<_> =
        ["parent", "second", "kid"].map(|n| hub.partition.instance(n).unwrap().clone()).into_iter().collect();
    let rows = hub.partition.capture().into_rows(1, Timestamp::EPOCH);
    let identity = Identity { number: 0, partitions: 1 };
    let mut partition = Partition::new(identity, Some(rows.partition), rows.timers_added);
    for instance in rows.instances {
        partition.install(instance.id, instance.row);
    }
    for instance in before {
        assert_eq!(partition.instance(instance.id.as_str()), Some(&instance));
    }
    assert!(partition.timers().eq(hub.partition.timers()));
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
