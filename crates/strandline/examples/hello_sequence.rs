//! One activity after another: says hello to each city of a list.
//!
//! `cargo run --example hello_sequence -- Tokyo Seattle London`, with `--dir PATH` to keep the hub.

use std::path::Path;

use strandline::prelude::*;

#[activity(name = "SayHello")]
async fn say_hello(city: String) -> Result<String> {
    Ok(format!("Hello {city}!"))
}

#[orchestrator(name = "HelloSequence")]
async fn hello_sequence(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in cities {
        greetings.push(ctx.call(say_hello, city).await?);
    }
    Ok(greetings)
}

pub(crate) async fn run(dir: &Path, cities: Vec<String>) -> Result<Vec<String>> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((say_hello, hello_sequence)).start()?;
    let instance = hub.client().start(hello_sequence, cities).await?;
    println!("HelloSequence {} started", instance.id());
    let greetings = instance.output().await?;
    for greeting in &greetings {
        println!("{greeting}");
    }
    hub.close().await?;
    Ok(greetings)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut cities: Vec<String> = std::env::args().skip(1).collect();
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    if let Some(at) = cities.iter().position(|argument| argument == "--dir") {
        dir = cities.drain(at..).nth(1).context("--dir needs a path")?.into();
    }
    if cities.is_empty() {
        cities = ["Tokyo", "Seattle", "London"].map(str::to_owned).to_vec();
    }
    run(&dir, cities).await?;
    Ok(())
}
