//! The demo: starts the samples or carries them on, and tells what comes of them.

use std::fs;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

use strandline::prelude::*;
use tokio::sync::mpsc;

use super::board::Board;
use super::demo::{self, Answer, Watch};
use super::files::Backup;
use super::scene::{Left, Scene};

const CITIES: [&str; 5] = ["Tokyo", "Seattle", "London", "Nairobi", "Lima"];

/// What can be typed next. Each command is one that exists.
const NEXT: [&str; 5] = [
    "cargo run --release -- dev --demo --fresh      the same again, from the beginning",
    "cargo run --example approval -- approve        an answer takes the timer away",
    "cargo run --example function_chaining -- README.md --fail-at-f3",
    "cargo run --example sub_orchestrations -- 1000",
    "cargo run --release -- bench --help            how fast it is here",
];

/// Returns when everything that can finish has finished (`once`), otherwise never but for an error.
pub(super) async fn run(hub: &TaskHub, board: &Board, dir: &Path, once: bool, fresh: bool) -> Result<()> {
    let client = hub.client();
    let find = |name, id| Scene::find(&client, board, name, id, fresh);
    let hello = find("HelloSequence", "demo-hello-sequence").await?;
    let backup = find("BackupSiteContent", "demo-backup-site-content").await?;
    let monitor = find("Monitor", "demo-monitor").await?;
    let approval = find("Approval", "demo-approval").await?;
    let all_over = [&hello, &backup, &monitor].iter().all(|scene| matches!(scene.left, Left::Over));
    if all_over {
        board.say("nothing is left to do: --fresh runs the samples anew");
    }

    hub.worker().register(demo::functions()).state(board.clone()).start()?;
    let job = Backup::beside(dir)?;
    if matches!(backup.left, Left::Nothing) {
        board.say(format_args!("copies of {} go to {}", job.source.display(), job.target.display()));
        // The monitor must not take an older backup for this one.
        match fs::remove_file(job.manifest()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let watch = Watch { file: job.manifest(), patience: minutes(5) };
    let cities = CITIES.map(str::to_owned).to_vec();
    hello.begin(&client, board, demo::hello_sequence, cities, Some(CITIES.len())).await?;
    backup.begin(&client, board, demo::backup_site_content, job, None).await?;
    monitor.begin(&client, board, demo::monitor, watch, None).await?;
    approval.begin(&client, board, demo::approval, "spend 800 euros".to_owned(), Some(1)).await?;

    let (hello, backup, monitor) = try_join!(hello.end(board), backup.end(board), monitor.end(board))?;
    if once {
        ensure!(hello && backup && monitor, "a sample did not complete: --fresh runs them anew");
        return Ok(());
    }
    board.rest();
    if !matches!(approval.left, Left::Over) {
        board.say("Approval waits up to 72 hours for an answer: type approve or reject, then Enter");
    }
    board.say(format_args!(
        "kill it: `kill -9 {}`, then the same command again carries on",
        std::process::id()
    ));
    board.say("or try, in the repository:");
    for line in NEXT {
        board.say(format_args!("  {line}"));
    }
    board.say("Ctrl-C closes the hub");
    try_join!(approval.end(board), answers(&approval, board))?;
    std::future::pending().await
}

/// Hands typed answers to the approval.
async fn answers(approval: &Scene, board: &Board) -> Result<()> {
    let mut typed = typed_lines();
    while let Some(line) = typed.recv().await {
        let granted = match line.trim() {
            "approve" => true,
            "reject" => false,
            "" => continue,
            other => {
                board.say(format_args!("'{other}' is neither approve nor reject"));
                continue;
            }
        };
        if let Err(error) = approval.raise(demo::APPROVAL, Answer { granted }).await {
            board.say(error);
        }
    }
    Ok(())
}

/// Lines a person types; none when nobody sits there.
fn typed_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        // A thread of its own: reading a terminal can't be given up.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_examples_that_exist() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../strandline/examples");
        for line in NEXT {
            let Some((_, rest)) = line.split_once("--example ") else { continue };
            let name = rest.split_whitespace().next().unwrap_or_default();
            assert!(examples.join(format!("{name}.rs")).is_file(), "{line}");
        }
    }
}
