//! Entities: a counter, written as a type with methods and as one function for all operations.
//!
//! Both keep the same state and give the same answers. The client signals, an orchestration calls, and
//! the client reads the state.
//!
//! `cargo run --example counter -- 5 -2 39`: what is added, with `--dir PATH` to keep the hub, and with
//! it the counters.

use std::path::Path;

use strandline::prelude::*;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Counter {
    value: i64,
}

/// Its public methods are its operations.
#[entity]
impl Counter {
    pub fn add(&mut self, amount: i64) -> i64 {
        self.value += amount;
        self.value
    }

    pub fn reset(&mut self) {
        self.value = 0;
    }

    /// Takes `&self`, so it writes nothing.
    pub fn get(&self) -> i64 {
        self.value
    }
}

/// The same counter: operations by name, and the state is in the context.
#[entity(name = "CounterFunction")]
async fn counter_function(ctx: EntityContext<i64>) -> Result<i64> {
    match ctx.operation() {
        "add" => ctx.set_state(ctx.state()? + ctx.input::<i64>()?)?,
        "reset" => ctx.set_state(0)?,
        "get" => {}
        _ => return ctx.otherwise(),
    }
    ctx.state()
}

/// Adds the amounts to both counters, one after the other; returns what each was after each step.
#[orchestrator(name = "Count")]
async fn count(ctx: OrchestrationContext, amounts: Vec<i64>) -> Result<Vec<(i64, i64)>> {
    let methods = ctx.entity::<Counter>("sample");
    let function = ctx.entity(counter_function::id("sample"));
    let mut steps = vec![try_join!(methods.get(), function.call("get", ()))?];
    for amount in amounts {
        steps.push(try_join!(methods.add(amount), function.call("add", amount))?);
    }
    Ok(steps)
}

/// What came of it; the first of each pair is the counter with methods.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) steps: Vec<(i64, i64)>,
    /// As the client reads it.
    pub(crate) states: (Option<Counter>, Option<i64>),
}

/// Adds the amounts twice: by signals, then by calls.
pub(crate) async fn run(dir: &Path, amounts: Vec<i64>) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((Counter, counter_function, count)).start()?;
    let client = hub.client();
    let methods = client.entity::<Counter>("sample");
    let function = client.entity(counter_function::id("sample"));
    for amount in &amounts {
        // Durable when it is awaited; nobody waits for the operation itself.
        methods.signal().add(*amount).await?;
        function.signal().send("add", amount).await?;
    }
    // Operations are carried out in the order in which they came: the calls see all signals.
    let steps = client.start(count, amounts).await?.output().await?;
    let states = (methods.state().await?, function.state().await?);
    hub.close().await?;
    Ok(Report { steps, states })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut amounts) = (temporary.path().join("hub"), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => amounts.push(number.parse().with_context(|| format!("'{number}' is not a number"))?),
        }
    }
    let report = run(&dir, amounts).await?;
    for (methods, function) in report.steps {
        println!("with methods {methods}, as a function {function}");
    }
    println!("the states: {:?}", report.states);
    Ok(())
}
