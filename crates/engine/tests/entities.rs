//! Batches of entities in the pipeline: when they leave, and what comes of them.

#[path = "support/pipe.rs"]
mod pipe;

use pipe::{Asked, Pipe, entities, id, operations, records};
use strandline_engine::pipeline::{Answer, Input, PipelineConfig, Read, Release};
use strandline_hub::{Command, Discard, Record};
use strandline_model::{ActionKind, EntityAction, EntityOutcome, EventKind, NewState};
use strandline_store::Store;

const E: &str = "@e@1";
const F: &str = "@f@1";

fn done(results: usize, state: &str) -> EntityOutcome {
    EntityOutcome {
        results: vec![Ok(Some("result".to_owned())); results],
        state: NewState::Set(Some(state.to_owned())),
        actions: Vec::new(),
    }
}

fn call(entity: &str, operation: &str) -> ActionKind {
    ActionKind::CallEntity {
        target: entity.to_owned(),
        request_id: operation.to_owned(),
        operation: operation.to_owned(),
        input: None,
        scheduled_time: None,
    }
}

fn pipe() -> Pipe {
    Pipe::new(PipelineConfig::default())
}

fn state(pipe: &Pipe, entity: &str) -> Option<String> {
    pipe.pipeline.partition().entity(entity)?.state.as_deref().map(str::to_owned)
}

#[test]
fn a_batch_leaves_once_its_operations_are_durable() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    assert!(pipe.pipeline.take_releases().is_empty());
    let batch = pipe.close().unwrap();
    assert!(pipe.pipeline.take_releases().is_empty(), "it is not even written");
    pipe.write(batch);
    let batches = entities(pipe.pipeline.take_releases());
    assert_eq!(batches.len(), 1);
    assert_eq!((operations(&batches[0]), batches[0].batch.state.as_deref()), (vec!["1".to_owned()], None));
    assert_eq!((batches[0].batch.entity.name(), batches[0].batch.entity.key()), ("e", "1"));
}

#[test]
fn at_most_one_batch_of_an_entity_is_out() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    let first = pipe.batches().remove(0);
    pipe.signal(E, "2");
    pipe.signal(F, "other");
    let batches = pipe.batches();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].id, id(F), "entities don't wait for each other");
    pipe.signal(E, "3");
    assert!(pipe.batches().is_empty());
    pipe.finish(&first, done(1, "one"));
    // What follows is handed out with the state that was committed, once that is durable.
    let batch = pipe.close().unwrap();
    assert!(pipe.pipeline.take_releases().is_empty());
    pipe.write(batch);
    let next = entities(pipe.pipeline.take_releases()).remove(0);
    assert_eq!((operations(&next), next.batch.state.as_deref()), (vec!["2".into(), "3".into()], Some("one")));
    assert!(next.token != first.token);
}

#[test]
fn batches_have_a_limit() {
    let mut pipe = Pipe::new(PipelineConfig { operations_per_batch: 50, ..PipelineConfig::default() });
    (0..500).for_each(|n| pipe.signal(E, &n.to_string()));
    let mut seen = Vec::new();
    let mut count = 0;
    while let Some(batch) = pipe.batches().pop() {
        assert_eq!(batch.batch.operations.len(), 50);
        seen.extend(operations(&batch));
        count += 1;
        pipe.finish(&batch, done(50, "s"));
    }
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!((count, seen), (10, expected));
    let counters = pipe.pipeline.counters();
    assert_eq!((counters.entity_batches, counters.entity_operations), (10, 500));
}

#[test]
fn an_outcome_counts_once_and_only_with_its_token() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    let batch = pipe.batches().remove(0);
    for token in [batch.token + 1, 0] {
        let strange = strandline_engine::pipeline::EntityDispatch { token, ..batch.clone() };
        pipe.finish(&strange, done(1, "strange"));
    }
    assert_eq!((pipe.pipeline.counters().discarded[&Discard::StaleTurn], state(&pipe, E)), (2, None));
    pipe.finish(&batch, done(1, "one"));
    pipe.finish(&batch, done(1, "two"));
    assert_eq!(pipe.pipeline.counters().discarded[&Discard::StaleTurn], 3);
    assert_eq!(state(&pipe, E).as_deref(), Some("one"));
    assert!(pipe.batches().is_empty());
}

#[test]
fn an_abandoned_batch_is_handed_out_again() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    let first = pipe.batches().remove(0);
    pipe.signal(E, "2");
    pipe.batches();
    pipe.pipeline.entity_abandoned(&first.id, first.token + 1);
    assert!(pipe.batches().is_empty(), "somebody else's batch");
    pipe.pipeline.entity_abandoned(&first.id, first.token);
    let second = pipe.batches().remove(0);
    assert_eq!(operations(&second), ["1", "2"]);
    // Whoever gave it back has no say in it any more.
    pipe.finish(&first, done(1, "late"));
    pipe.pipeline.entity_abandoned(&first.id, first.token);
    assert!(pipe.batches().is_empty());
    pipe.finish(&second, done(2, "done"));
    assert_eq!(state(&pipe, E).as_deref(), Some("done"));
}

#[test]
fn a_batch_of_which_nothing_was_done_leaves_no_record() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    let batch = pipe.batches().remove(0);
    pipe.finish(&batch, EntityOutcome::default());
    let again = pipe.batches().remove(0);
    assert_eq!((operations(&again), pipe.close()), (vec!["1".to_owned()], None));
}

#[test]
fn after_a_crash_batches_are_handed_out_again() {
    for flushed in [false, true] {
        let mut pipe = pipe();
        pipe.signal(E, "1");
        let lost = pipe.batches().remove(0);
        if flushed {
            pipe.flush();
        }
        pipe.crash();
        let again = pipe.batches().remove(0);
        assert_eq!((operations(&again), operations(&lost)), (vec!["1".to_owned()], vec!["1".to_owned()]));
        pipe.finish(&again, done(1, "one"));
        pipe.commit();
        pipe.crash();
        assert!(pipe.batches().is_empty(), "it is done");
        assert_eq!(pipe.pipeline.partition().entity(E).map(|e| e.snapshot().backlog), Some(0));
    }
}

#[test]
fn one_commit_holds_state_replies_signals_and_starts() {
    for written in [false, true] {
        let mut pipe = pipe();
        pipe.start("a");
        pipe.turn(vec![(0, call(E, "get"))]);
        let batch = pipe.batches().remove(0);
        let actions = vec![
            EntityAction::Signal {
                target: F.to_owned(),
                operation: "hello".to_owned(),
                input: None,
                scheduled_time: None,
                trace: None,
            },
            EntityAction::Start {
                instance_id: "started".to_owned(),
                name: "Test".to_owned(),
                version: None,
                input: None,
                scheduled_start: None,
                trace: None,
            },
        ];
        pipe.finish(&batch, EntityOutcome { actions, ..done(1, "new") });
        let commit = pipe.close().unwrap();
        assert!(matches!(records(&commit)[..], [Record::EntityCommitted(_)]));
        if written {
            pipe.store.append(&[commit]).unwrap();
        }
        pipe.crash();
        // Messages leave again; what they do is there with the rest, or nothing of it.
        let mut batches = pipe.batches();
        batches.sort_by(|a, b| a.id.cmp(&b.id));
        let ids: Vec<_> = batches.iter().map(|batch| batch.id.to_string()).collect();
        let partition = pipe.pipeline.partition();
        let replied = |event: &strandline_model::HistoryEvent| {
            matches!(event.kind(), EventKind::EntityOperationCompleted(_))
        };
        let replies = partition.instance("a").map(|a| a.inbox.iter().filter(|e| replied(e)).count());
        let started = partition.instance("started").is_some();
        assert_eq!(started, written);
        if written {
            assert_eq!((replies, ids, state(&pipe, E).as_deref()), (Some(1), vec![F.into()], Some("new")));
        } else {
            assert_eq!((replies, ids, state(&pipe, E).as_deref()), (Some(0), vec![E.into()], None));
        }
    }
}

#[test]
fn entities_that_are_busy_stay_in_memory() {
    let mut pipe = Pipe::new(PipelineConfig { cache_bytes: 1, ..PipelineConfig::default() });
    pipe.signal(E, "1");
    let batch = pipe.batches().remove(0);
    pipe.flush();
    pipe.work();
    assert!(pipe.pipeline.partition().entity(E).is_some(), "its batch is out");
    pipe.finish(&batch, done(1, "one"));
    pipe.flush();
    pipe.work();
    assert_eq!(pipe.pipeline.partition().loaded(), 0);
    assert_eq!(pipe.pipeline.partition().memory_bytes(), 0);
}

#[test]
fn each_read_looks_at_what_it_is_for() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    pipe.start("a");
    let reads = [
        (E, Read::Entity, true),
        (E, Read::Status, false),
        (E, Read::Started, false),
        (E, Read::Ended, false),
        (E, Read::History { from: 0, max: 9 }, false),
        ("a", Read::Entity, false),
        ("a", Read::Status, true),
        ("@e@absent", Read::Entity, false),
    ];
    for (n, (name, read, _)) in reads.iter().enumerate() {
        let ticket = Asked(n as u32);
        pipe.pipeline.submit(Input::Read { id: id(name), read: *read, ticket });
    }
    pipe.work();
    assert!(pipe.pipeline.take_releases().is_empty(), "what they saw is not durable");
    let mut answered = 0;
    for release in pipe.commit() {
        let Release::Answer(Asked(n), answer) = release else { continue };
        let found = match answer {
            Answer::Status(status) => status.is_some(),
            Answer::Entity(entity) => entity.is_some(),
            Answer::History(page) => page.is_some(),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, reads[n as usize].2, "{:?}", reads[n as usize]);
        answered += 1;
    }
    assert_eq!(answered, reads.len());
    // An entity nobody sent anything to leaves nothing behind.
    pipe.flush();
    pipe.crash();
    assert_eq!(pipe.batches().len(), 1);
}

#[test]
fn an_entity_whose_operations_run_is_not_purged() {
    let mut pipe = pipe();
    pipe.signal(E, "1");
    let batch = pipe.batches().remove(0);
    pipe.signal(E, "2");
    pipe.run(Command::PurgeEntity { id: id(E) });
    pipe.finish(&batch, done(1, "one"));
    assert_eq!(state(&pipe, E).as_deref(), Some("one"));
    // What waits goes with it.
    pipe.run(Command::PurgeEntity { id: id(E) });
    assert!(pipe.batches().is_empty());
    assert!(pipe.pipeline.partition().entity(E).is_none());
    pipe.crash();
    assert!(pipe.pipeline.partition().entity(E).is_none());
}
