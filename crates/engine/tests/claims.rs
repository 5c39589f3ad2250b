//! Claiming what a pipeline offers to workers elsewhere.

#[path = "support/pipe.rs"]
#[allow(dead_code, reason = "each test uses its own part of this")]
mod pipe;

use pipe::{Asked, Pipe, id};
use strandline_engine::pipeline::{Claimed, ClaimedWork, Offer, PipelineConfig, Release};
use strandline_engine::worker::TurnOutcome;
use strandline_hub::{Command, ReusePolicy, Start};
use strandline_model::{ExecutionId, InstanceId};

fn start(pipe: &mut Pipe, instance: &str, name: &str, execution: u128) {
    pipe.run(Command::Start(Box::new(Start {
        id: id(instance),
        name: name.to_owned(),
        version: None,
        input: None,
        tags: Default::default(),
        scheduled_start: None,
        reuse: ReusePolicy::replace_any(),
        execution: ExecutionId(execution),
        seed: 0,
        trace_parent: None,
        trace_state: None,
    })));
    assert!(pipe.next_turn().is_none(), "nobody here serves it");
}

fn offers(pipe: &mut Pipe) -> Vec<Offer> {
    pipe.pipeline.take_offers()
}

fn claimed(releases: Vec<Release<Asked>>) -> Vec<Claimed> {
    let claimed = releases.into_iter().filter_map(|release| match release {
        Release::Claimed(claimed) => Some(claimed),
        _ => None,
    });
    claimed.collect()
}

fn turn_of(claimed: &Claimed) -> (InstanceId, ExecutionId, u64) {
    match &claimed.work {
        Some(ClaimedWork::Turn(out)) => (claimed.id.clone(), out.turn.execution, out.token),
        other => panic!("{other:?} is no turn"),
    }
}

#[test]
fn a_claimed_turn_leaves_when_it_is_durable() {
    let mut pipe = Pipe::new(PipelineConfig::default());
    start(&mut pipe, "i", "Elsewhere", 1);
    let offer = offers(&mut pipe).remove(0);
    assert_eq!((offer.name.as_str(), &offer.version), ("Elsewhere", &None));
    pipe.pipeline.claim(offer.clone(), 7);
    pipe.work();
    assert!(pipe.pipeline.take_releases().is_empty());
    let claimed = claimed(pipe.commit());
    assert_eq!((claimed.len(), claimed[0].claim), (1, 7));
    assert_eq!(turn_of(&claimed[0]).1, ExecutionId(1));
    assert_eq!(pipe.pipeline.unserved().count(), 0);

    // Nobody gets it as long as it is out.
    pipe.pipeline.claim(offer, 8);
    pipe.work();
    assert!(self::claimed(pipe.commit())[0].work.is_none());
}

#[test]
fn a_turn_that_comes_back_undone_is_offered_again() {
    let mut pipe = Pipe::new(PipelineConfig::default());
    start(&mut pipe, "i", "Elsewhere", 1);
    let offer = offers(&mut pipe).remove(0);
    pipe.pipeline.claim(offer.clone(), 7);
    pipe.work();
    let (instance, _, token) = turn_of(&claimed(pipe.commit())[0]);
    pipe.pipeline.turn_abandoned(&instance, token + 1);
    assert!(pipe.next_turn().is_none() && offers(&mut pipe).is_empty(), "a foreign token");
    pipe.pipeline.turn_abandoned(&instance, token);
    assert!(pipe.next_turn().is_none());
    assert_eq!(offers(&mut pipe), [offer]);
}

#[test]
fn an_offer_is_good_for_the_name_it_was_made_under() {
    let mut pipe = Pipe::new(PipelineConfig::default());
    start(&mut pipe, "i", "Elsewhere", 1);
    let old = offers(&mut pipe).remove(0);
    start(&mut pipe, "i", "Other", 2);
    let new = offers(&mut pipe).remove(0);
    assert_eq!(new.name, "Other");
    pipe.pipeline.claim(old, 7);
    pipe.pipeline.claim(new, 8);
    pipe.work();
    let claimed = claimed(pipe.commit());
    assert!(claimed[0].claim == 7 && claimed[0].work.is_none(), "its worker may not take the other");
    assert_eq!(turn_of(&claimed[1]).1, ExecutionId(2));
    assert_eq!(pipe.pipeline.unserved().count(), 0);
}

#[test]
fn a_replaced_instance_is_offered_while_the_turn_of_the_old_one_is_out() {
    let mut pipe = Pipe::new(PipelineConfig::default());
    start(&mut pipe, "i", "Elsewhere", 1);
    let offer = offers(&mut pipe).remove(0);
    pipe.pipeline.claim(offer.clone(), 7);
    pipe.work();
    let (instance, _, token) = turn_of(&claimed(pipe.commit())[0]);
    start(&mut pipe, "i", "Elsewhere", 2);
    assert_eq!(offers(&mut pipe), std::slice::from_ref(&offer));
    let killed = pipe
        .commit()
        .into_iter()
        .any(|release| matches!(release, Release::Killed { execution, .. } if execution == ExecutionId(1)));
    assert!(killed, "whoever has it hears of it");

    // The old one comes back late.
    pipe.pipeline.turn_finished(&instance, token, TurnOutcome::default(), None, &mut || 3);
    pipe.pipeline.turn_abandoned(&instance, token);
    pipe.pipeline.claim(offer, 8);
    pipe.work();
    assert_eq!(turn_of(&claimed(pipe.commit())[0]).1, ExecutionId(2));
}

#[test]
fn an_instance_that_is_gone_is_claimed_in_vain() {
    let mut pipe = Pipe::new(PipelineConfig::default());
    start(&mut pipe, "i", "Elsewhere", 1);
    let offer = offers(&mut pipe).remove(0);
    pipe.run(Command::Terminate { id: id("i"), reason: None, recursive: false });
    pipe.run(Command::Purge { id: id("i"), execution: None });
    pipe.pipeline.claim(offer, 7);
    pipe.work();
    assert!(claimed(pipe.commit())[0].work.is_none());
    assert_eq!(pipe.pipeline.unserved().count(), 0, "nothing is kept of it");
}
