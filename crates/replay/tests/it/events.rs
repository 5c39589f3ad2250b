//! External events: buffered by name, oldest waiter first.

use futures::future::{Either, join_all, select};
use strandline_replay::{ContextHandle, TaskHandle};

use crate::driver::*;

fn wait(ctx: &ContextHandle, name: &str) -> TaskHandle {
    ctx.wait_for(name)
}

#[test]
fn early_events_are_taken_in_order_ignoring_case() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        activity(&ctx, "a").await?;
        let mut all = String::new();
        for name in ["GO", "go", "Go"] {
            all += &text(wait(&ctx, name).await);
        }
        Ok(all)
    }));
    hub.raise("go", "1");
    hub.raise("gO", "2");
    hub.raise("other", "x");
    hub.complete(0, "");
    assert!(hub.ended.is_none(), "the third event is still to come");
    hub.raise("GO", "3");
    assert_eq!(hub.result(), "123");
}

#[test]
fn the_oldest_waiter_gets_the_next_event() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let waits = (0..40).map(|_| wait(&ctx, "e"));
        let results: Vec<String> = join_all(waits).await.into_iter().map(text).collect();
        Ok(results.join(","))
    }));
    let events = (0..40).map(|i| raised("E", &i.to_string())).collect();
    hub.turn(events);
    let expected: Vec<String> = (0..40).map(|i| i.to_string()).collect();
    assert_eq!(hub.result(), expected.join(","));
}

#[test]
fn names_beyond_ascii_are_compared_as_they_are() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        wait(&ctx, "größe").await.map(|v| v.unwrap_or_default())
    }));
    hub.raise("grÖße", "no");
    assert!(hub.ended.is_none());
    hub.raise("GRößE", "yes");
    assert_eq!(hub.result(), "yes");
}

#[test]
fn a_wait_that_is_given_up_leaves_the_event_in_the_buffer() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let timer = ctx.timer(ctx.now());
        let gone = matches!(select(wait(&ctx, "e"), timer).await, Either::Right(_));
        activity(&ctx, "a").await?;
        Ok(format!("{gone} {}", text(wait(&ctx, "e").await)))
    }));
    hub.complete(0, "");
    hub.raise("e", "late");
    hub.complete(1, "");
    assert_eq!(hub.result(), "true late");
}

#[test]
fn an_event_nobody_looked_at_goes_back_to_its_place() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let first = wait(&ctx, "e");
        activity(&ctx, "a").await?;
        // Holds event 1 by now, unseen.
        drop(first);
        let (a, b) = (text(wait(&ctx, "e").await), text(wait(&ctx, "e").await));
        Ok(a + &b)
    }));
    hub.raise("e", "1");
    hub.raise("e", "2");
    hub.complete(0, "");
    assert_eq!(hub.result(), "12");
}

#[test]
fn an_event_nobody_looked_at_goes_to_the_next_waiter() {
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        let (first, second) = (wait(&ctx, "e"), wait(&ctx, "e"));
        let second = async {
            let value = text(second.await);
            Ok::<_, strandline_replay::TaskError>(value)
        };
        let giver = async {
            activity(&ctx, "a").await?;
            drop(first);
            Ok(String::new())
        };
        let (a, b) = futures::try_join!(second, giver)?;
        Ok(a + &b)
    }));
    hub.raise("e", "1");
    hub.complete(0, "");
    assert_eq!(hub.result(), "1");
}

#[test]
fn an_undelivered_event_is_not_seen() {
    use strandline_model::{EventKind, EventRaised};
    let mut hub = Hub::started(program(|ctx: ContextHandle| async move {
        wait(&ctx, "e").await.map(|v| v.unwrap_or_default())
    }));
    let event = EventRaised { name: "e".into(), input: None, undelivered: true };
    hub.turn(vec![EventKind::EventRaised(event)]);
    assert!(hub.ended.is_none());
}
