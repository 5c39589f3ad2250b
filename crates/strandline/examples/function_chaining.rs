//! A chain, each step's output the next one's input, undone from its end when a step fails.
//!
//! Reports the most frequent words of a text. Every step leaves a file in the work directory:
//! F1 takes the text over, F2 splits it into words, F3 counts them, F4 writes the report.
//!
//! `cargo run --example function_chaining -- README.md`, with `--fail-at-f3` to see F2 and F1 undone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use strandline::prelude::*;

#[derive(Clone, Serialize, Deserialize)]
struct Job {
    text: PathBuf,
    work: PathBuf,
}

/// Whether F3 is to fail: a setting of the worker, not part of the job.
struct FailAtF3(bool);

/// Takes the text over into the work directory.
#[activity(name = "F1")]
async fn f1(job: Job) -> Result<PathBuf> {
    let text = fs::read_to_string(&job.text).with_context(|| format!("reading {}", job.text.display()))?;
    fs::create_dir_all(&job.work)?;
    leave(job.work.join("1-text"), &text)
}

/// Splits the text into words, one a line.
#[activity(name = "F2")]
async fn f2(text: PathBuf) -> Result<PathBuf> {
    let content = fs::read_to_string(&text)?;
    let words: Vec<String> = content
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    leave(text.with_file_name("2-words"), &words.join("\n"))
}

/// Counts each word.
#[activity(name = "F3")]
async fn f3(fail: State<FailAtF3>, words: PathBuf) -> Result<PathBuf> {
    ensure!(!fail.0, "F3 was told to fail");
    let content = fs::read_to_string(&words)?;
    let mut counts = BTreeMap::<&str, usize>::new();
    for word in content.lines() {
        *counts.entry(word).or_default() += 1;
    }
    leave(words.with_file_name("3-counts"), &serde_json::to_string(&counts)?)
}

/// Reports the most frequent words.
#[activity(name = "F4")]
async fn f4(counts: PathBuf) -> Result<String> {
    let content = fs::read_to_string(&counts)?;
    let mut counted: Vec<(String, usize)> =
        serde_json::from_str::<BTreeMap<String, usize>>(&content)?.into_iter().collect();
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let report: String = counted.iter().take(10).map(|(word, count)| format!("{count:6} {word}\n")).collect();
    leave(counts.with_file_name("4-report"), &report)?;
    Ok(report)
}

/// Undoes a step: its file goes. Done twice it does no more harm than once.
#[activity(name = "Undo")]
async fn undo(file: PathBuf) -> Result<()> {
    println!("undo {}", file.display());
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn leave(file: PathBuf, content: &str) -> Result<PathBuf> {
    fs::write(&file, content)?;
    println!("made {} ({} bytes)", file.display(), content.len());
    Ok(file)
}

#[orchestrator(name = "FunctionChaining")]
async fn function_chaining(ctx: OrchestrationContext, job: Job) -> Result<String> {
    let mut done = Vec::new();
    let outcome = steps(&ctx, job, &mut done).await;
    if outcome.is_err() {
        for file in done.into_iter().rev() {
            ctx.call(undo, file).await?;
        }
    }
    outcome
}

async fn steps(ctx: &OrchestrationContext, job: Job, done: &mut Vec<PathBuf>) -> Result<String> {
    let text = ctx.call(f1, job).await?;
    done.push(text.clone());
    let words = ctx.call(f2, text).await?;
    done.push(words.clone());
    let counts = ctx.call(f3, words).await?;
    done.push(counts.clone());
    ctx.call(f4, counts).await
}

/// Returns the outcome, and what the history says was called.
pub(crate) async fn run(dir: &Path, text: &Path, fail_at_f3: bool) -> Result<(Result<String>, Vec<String>)> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((f1, f2, f3, f4, undo, function_chaining)).state(FailAtF3(fail_at_f3)).start()?;
    let job = Job { text: fs::canonicalize(text)?, work: dir.with_extension("work") };
    let instance = hub.client().start(function_chaining, job).await?;
    let outcome = instance.output().await;
    let mut called = Vec::new();
    for event in instance.history().await? {
        if let strandline::EventKind::TaskScheduled(task) = event.kind() {
            called.push(task.name.clone());
        }
    }
    hub.close().await?;
    Ok((outcome, called))
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut text, mut fail) = (temporary.path().join("hub"), PathBuf::from("README.md"), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            "--fail-at-f3" => fail = true,
            path => text = path.into(),
        }
    }
    let (outcome, called) = run(&dir, &text, fail).await?;
    println!("called: {}", called.join(", "));
    match outcome {
        Ok(report) => println!("the most frequent words:\n{report}"),
        Err(error) => println!("failed, and undone: {error:#}"),
    }
    Ok(())
}
