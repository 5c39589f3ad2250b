//! The orchestrations that are measured.

use strandline::prelude::*;

#[activity(name = "SayHello")]
pub(super) async fn say_hello(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

/// W1, W2: three activities in sequence.
#[orchestrator(name = "HelloSequence")]
pub(super) async fn hello_sequence(ctx: OrchestrationContext, _: ()) -> Result<Vec<String>> {
    Ok(vec![
        ctx.call(say_hello, "Tokyo".to_owned()).await?,
        ctx.call(say_hello, "Seattle".to_owned()).await?,
        ctx.call(say_hello, "London".to_owned()).await?,
    ])
}

#[activity(name = "Square")]
pub(super) async fn square(n: u32) -> Result<u64> {
    Ok(u64::from(n) * u64::from(n))
}

/// W3: all at once.
#[orchestrator(name = "FanOutFanIn")]
pub(super) async fn fan_out(ctx: OrchestrationContext, n: u32) -> Result<u64> {
    let squares = try_join_all((0..n).map(|i| ctx.call(square, i))).await?;
    Ok(squares.iter().sum())
}

/// W4: one after the other.
#[orchestrator(name = "Sequence")]
pub(super) async fn sequence(ctx: OrchestrationContext, n: u32) -> Result<u64> {
    let mut sum = 0;
    for i in 0..n {
        sum += ctx.call(square, i).await?;
    }
    Ok(sum)
}

/// Ends at once: fills a hub.
#[orchestrator(name = "Nothing")]
pub(super) async fn nothing(_ctx: OrchestrationContext, _: ()) -> Result<()> {
    Ok(())
}

/// W6: a timer.
#[orchestrator(name = "Sleep")]
pub(super) async fn sleep(ctx: OrchestrationContext, millis: u64) -> Result<()> {
    ctx.timer(Duration::from_millis(millis)).await
}

/// W8: ten children at once.
#[orchestrator(name = "Parent")]
pub(super) async fn parent(ctx: OrchestrationContext, children: u32) -> Result<u64> {
    let ends = try_join_all((0..children).map(|n| ctx.call(child, n))).await?;
    Ok(ends.iter().sum())
}

#[orchestrator(name = "Child")]
pub(super) async fn child(ctx: OrchestrationContext, n: u32) -> Result<u64> {
    ctx.call(square, n).await
}

pub(super) const READING: Event<u64> = Event::named("Reading");

/// W9: takes so many events.
#[orchestrator(name = "Collect")]
pub(super) async fn collect(ctx: OrchestrationContext, events: u64) -> Result<u64> {
    let mut sum = 0;
    for _ in 0..events {
        sum += ctx.wait_for(READING).await?;
    }
    Ok(sum)
}

/// W5: a number that grows.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Counter {
    value: u64,
}

#[entity]
impl Counter {
    pub fn add(&mut self, n: u64) {
        self.value += n;
    }

    pub fn get(&self) -> u64 {
        self.value
    }
}

/// W5: what all counters say; each answers after all that was sent to it before.
#[orchestrator(name = "CountAll")]
pub(super) async fn count_all(ctx: OrchestrationContext, counters: u32) -> Result<u64> {
    let values = (0..counters).map(|n| ctx.entity(Counter::id(n.to_string())).get());
    Ok(try_join_all(values).await?.iter().sum())
}
