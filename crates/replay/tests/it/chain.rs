use crate::driver::*;

#[test]
fn steps_take_ids_in_call_order() {
    let mut hub = Hub::started(program(|ctx| async move {
        let mut all = String::new();
        for name in ["a", "b", "c"] {
            all += &text(activity(&ctx, name).await);
        }
        Ok(all)
    }));
    assert_eq!(hub.names(), [(0, "a".into())]);
    hub.complete(0, "1");
    hub.complete(1, "2");
    let last = hub.complete(2, "3");
    assert_eq!(hub.result(), "123");
    assert_eq!(last.actions[0].id, 3, "the end takes an id too");
}

#[test]
fn ten_thousand_steps_replay_fast() {
    let mut hub = Hub::new(program(|ctx| async move {
        let mut sum = 0u64;
        for _ in 0..10_000 {
            sum += text(activity(&ctx, "step").await).len() as u64;
        }
        Ok(sum.to_string())
    }));
    hub.double = false;
    hub.start();
    for id in 0..9_999 {
        hub.complete(id, "x");
    }
    hub.evict();
    let begun = std::time::Instant::now();
    hub.complete(9_999, "x");
    println!("replay of a 10,000-step chain: {:?}", begun.elapsed());
    assert_eq!(hub.result(), "10000");
}
