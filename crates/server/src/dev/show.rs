//! The demo: starts the samples or carries them on, and tells what comes of them.

use std::fs;
use std::path::Path;

use strandline::prelude::*;

use super::board::Board;
use super::demo::{self, Watch};
use super::documents::{self, Cabinet, Outcome};
use super::entities::{self, Counter, Order};
use super::files::{self, Backup};
use super::offers::Offers;
use super::people::Waiting;
use super::scene::{Left, Scene};

const CITIES: [&str; 5] = ["Tokyo", "Seattle", "London", "Nairobi", "Lima"];
const PHONE: &str = "+49 151 5550100";

/// What can be typed next. Each command is one that exists.
const NEXT: [&str; 7] = [
    "cargo run --release -- dev --demo --fresh      the same again, from the beginning",
    "cargo run --example approval -- approve        an answer takes the timer away",
    "cargo run --example function_chaining -- README.md --fail-at-f3",
    "cargo run --example transfer -- alice bob 70   two accounts, locked together",
    "cargo run --example document_pipeline -- docs --failures 1",
    "cargo run --example sub_orchestrations -- 1000",
    "cargo run --release -- bench --help            how fast it is here",
];

/// The samples. The first four need nobody.
struct Scenes {
    hello: Scene,
    backup: Scene,
    monitor: Scene,
    transfer: Scene,
    pipeline: Scene,
    phone: Scene,
    approval: Scene,
}

impl Scenes {
    async fn find(client: &Client, board: &Board, fresh: bool) -> Result<Self> {
        let find = |name, id| Scene::find(client, board, name, id, fresh);
        Ok(Self {
            hello: find("HelloSequence", "demo-hello-sequence").await?,
            backup: find("BackupSiteContent", "demo-backup-site-content").await?,
            monitor: find("Monitor", "demo-monitor").await?,
            transfer: find("Transfer", "demo-transfer").await?,
            pipeline: find("DocumentPipeline", "demo-document-pipeline").await?,
            phone: find("PhoneVerification", "demo-phone-verification").await?,
            approval: find("Approval", "demo-approval").await?,
        })
    }

    /// Those that end without a person.
    fn alone(&self) -> [&Scene; 4] {
        [&self.hello, &self.backup, &self.monitor, &self.transfer]
    }

    /// Those that a person is asked by, and that `--once` answers for.
    fn asking(&self) -> [&Scene; 2] {
        [&self.pipeline, &self.phone]
    }

    /// Starts those of which nothing was left.
    async fn begin(&self, client: &Client, board: &Board, job: Backup) -> Result<()> {
        if matches!(self.backup.left, Left::Nothing) {
            board.say(format_args!("copies of {} go to {}", job.source.display(), job.target.display()));
            // The monitor must not take an older backup for this one.
            match fs::remove_file(job.manifest()) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let watch = Watch { file: job.manifest(), patience: minutes(5) };
        let cities = CITIES.map(str::to_owned).to_vec();
        let order = Order { from: "alice".to_owned(), to: "bob".to_owned(), amount: 70 };
        let papers = documents::documents(&job.source);
        let number = papers.len();
        self.hello.begin(client, board, demo::hello_sequence, cities, Some(CITIES.len())).await?;
        self.backup.begin(client, board, demo::backup_site_content, job, None).await?;
        self.monitor.begin(client, board, demo::monitor, watch, None).await?;
        self.transfer.begin(client, board, entities::transfer, order, Some(0)).await?;
        self.pipeline.begin(client, board, documents::document_pipeline, papers, Some(number)).await?;
        self.phone.begin(client, board, demo::phone_verification, PHONE.to_owned(), Some(0)).await?;
        self.approval.begin(client, board, demo::approval, "spend 800 euros".to_owned(), Some(1)).await
    }
}

/// Returns when everything that can finish has finished (`once`), otherwise never but for an error.
pub(super) async fn run(
    hub: &TaskHub,
    board: &Board,
    dir: &Path,
    offers: Option<&Offers>,
    once: bool,
    fresh: bool,
) -> Result<()> {
    let client = hub.client();
    let scenes = Scenes::find(&client, board, fresh).await?;
    let (alone, asking) = (scenes.alone(), scenes.asking());
    if alone.iter().chain(&asking).all(|scene| matches!(scene.left, Left::Over)) {
        board.say("nothing is left to do: --fresh runs the samples anew");
    }
    let job = Backup::beside(dir)?;
    let cabinet = Cabinet(files::cabinet(&job.hub));
    hub.worker()
        .register(demo::functions())
        .state(board.clone())
        .state(cabinet)
        .state(job.clone())
        .start()?;
    scenes.begin(&client, board, job).await?;

    let people = Waiting { approval: &scenes.approval, pipeline: &scenes.pipeline, phone: &scenes.phone };
    let alone = try_join_all(alone.map(|scene| scene.end(board)));
    let asking = try_join_all(asking.map(|scene| scene.end(board)));
    if once {
        let (alone, asking) = tokio::select! {
            ended = async { try_join!(alone, asking) } => ended?,
            broken = people.simulated(board) => return broken,
        };
        let completed = alone.into_iter().chain(asking).all(|completed| completed);
        ensure!(completed, "a sample did not complete: --fresh runs them anew");
        return tell_counts(&client, board).await;
    }
    alone.await?;
    board.rest();
    people.tell(board, offers).await?;
    board.say(format_args!(
        "kill it: `kill -9 {}`, then the same command again carries on",
        std::process::id()
    ));
    board.say("or try, in the repository:");
    for line in NEXT {
        board.say(format_args!("  {line}"));
    }
    board.say("Ctrl-C closes the hub");
    try_join!(asking, scenes.approval.end(board), people.typed(board))?;
    std::future::pending().await
}

async fn tell_counts(client: &Client, board: &Board) -> Result<()> {
    for outcome in Outcome::ALL {
        if let Some(Counter { value }) = client.entity(Counter::id(outcome.key())).state().await? {
            board.say(format_args!("{} is {value}", Counter::id(outcome.key())));
        }
    }
    Ok(())
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
