//! Who answers the samples that wait for people: one who types, or with `--once` a simulation.

use std::io::{BufRead, IsTerminal};

use serde::Serialize;
use strandline::prelude::*;
use strandline::{EventKind, InstanceOver};
use tokio::sync::mpsc;

use super::board::Board;
use super::demo::{self, PACE};
use super::documents::{ASKS_FOR_REVIEW, DOCUMENT_APPROVAL, Review};
use super::offers::Offers;
use super::scene::Scene;

/// The samples that wait for people.
pub(super) struct Waiting<'a> {
    pub(super) approval: &'a Scene,
    pub(super) pipeline: &'a Scene,
    pub(super) phone: &'a Scene,
}

impl Waiting<'_> {
    /// Says what can be typed.
    pub(super) async fn tell(&self, board: &Board, offers: Option<&Offers>) -> Result<()> {
        if self.approval.goes_on().await? {
            board.say("Approval waits up to 72 hours for an answer: type approve or reject, then Enter");
            for line in
                offers.iter().flat_map(|offers| offers.raise(self.approval.id(), demo::APPROVAL.name()))
            {
                board.say(format_args!("  or elsewhere: {line}"));
            }
        }
        if self.pipeline.goes_on().await? {
            board.say("DocumentPipeline waits up to 48 hours: type approve document or reject document");
        }
        if self.phone.goes_on().await? {
            board.say("PhoneVerification waits up to 90 seconds: type the code it sent");
        }
        Ok(())
    }

    /// Hands on what is typed.
    pub(super) async fn typed(&self, board: &Board) -> Result<()> {
        let mut typed = typed_lines();
        while let Some(line) = typed.recv().await {
            let line = line.trim();
            let handed_on = match line {
                "approve" => self.approval.raise(demo::APPROVAL, true).await,
                "reject" => self.approval.raise(demo::APPROVAL, false).await,
                "approve document" => self.pipeline.raise(DOCUMENT_APPROVAL, Review { approved: true }).await,
                "reject document" => self.pipeline.raise(DOCUMENT_APPROVAL, Review { approved: false }).await,
                code if !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()) => {
                    self.phone.raise(demo::CODE, code.to_owned()).await
                }
                "" => continue,
                other => {
                    board.say(format_args!("'{other}' is neither approve nor reject, nor a code"));
                    continue;
                }
            };
            if let Err(error) = handed_on {
                board.say(error);
            }
        }
        Ok(())
    }

    /// Answers for the reviewer and for the one who has the phone. Ends only with an error.
    pub(super) async fn simulated(&self, board: &Board) -> Result<()> {
        let code = |input: &str| {
            let (_, code) = serde_json::from_str::<(String, String)>(input)?;
            Ok(code)
        };
        let reviews = answer(board, self.pipeline, ASKS_FOR_REVIEW, DOCUMENT_APPROVAL, |_| {
            Ok(Review { approved: true })
        });
        let codes = answer(board, self.phone, demo::SENDS_CODE, demo::CODE, code);
        try_join!(reviews, codes)?;
        Ok(())
    }
}

/// Looks now and then how often a sample has asked, and answers each time by what it asked with.
async fn answer<T: Serialize>(
    board: &Board,
    scene: &Scene,
    asks: &str,
    event: Event<T>,
    answer: impl Fn(&str) -> Result<T>,
) -> Result<()> {
    let mut answered = 0;
    loop {
        let history = scene.history().await?;
        let asked = history.iter().filter_map(|event| match event.kind() {
            EventKind::TaskScheduled(task) if task.name == asks => Some(task),
            _ => None,
        });
        for task in asked.skip(answered) {
            match scene.raise(event, answer(task.input.as_deref().unwrap_or_default())?).await {
                // A run before had answered already, and by now it is over.
                Err(error) if error.is::<InstanceOver>() => {}
                raised => {
                    raised?;
                    board.say(format_args!("{}: answered, by nobody real", scene.name));
                }
            }
            answered += 1;
        }
        tokio::time::sleep(PACE).await;
    }
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
