//! The sample orchestrations.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use strandline::Register;
use strandline::prelude::*;
use strandline::rand_chacha::rand_core::Rng;

use super::board::Board;
use super::files::{Backup, MANIFEST};
use super::{documents, entities, quickstart};

/// How long a step takes at least, so that there is something to watch, and to kill.
pub(super) const PACE: Duration = millis(300);

/// Whether it is granted.
pub(super) const APPROVAL: Event<bool> = Event::named("ApprovalEvent");

#[activity(name = "SayHello")]
async fn say_hello(board: State<Board>, city: String) -> Result<String> {
    tokio::time::sleep(PACE).await;
    let greeting = format!("Hello {city}!");
    board.step("HelloSequence", &greeting);
    Ok(greeting)
}

#[orchestrator(name = "HelloSequence")]
pub(super) async fn hello_sequence(ctx: OrchestrationContext, cities: Vec<String>) -> Result<Vec<String>> {
    let mut greetings = Vec::new();
    for city in cities {
        greetings.push(ctx.call(say_hello, city).await?);
    }
    Ok(greetings)
}

#[activity(name = "GetFileList")]
async fn get_file_list(own: State<Backup>, board: State<Board>, backup: Backup) -> Result<Vec<PathBuf>> {
    own.check(&backup)?;
    let files = backup.list()?;
    // Listing and the manifest are steps too.
    board.total("BackupSiteContent", files.len() + 2);
    board.step("BackupSiteContent", format_args!("{} files found", files.len()));
    Ok(files)
}

#[activity(name = "CopyFileToBlob")]
async fn copy_file_to_blob(
    own: State<Backup>,
    board: State<Board>,
    (backup, file): (Backup, PathBuf),
) -> Result<(PathBuf, u64)> {
    own.check(&backup)?;
    tokio::time::sleep(PACE).await;
    let bytes = backup.copy(&file)?;
    board.step("BackupSiteContent", file.display());
    Ok((file, bytes))
}

#[activity(name = "WriteManifest")]
async fn write_manifest(
    own: State<Backup>,
    board: State<Board>,
    (backup, copies): (Backup, Vec<(PathBuf, u64)>),
) -> Result<()> {
    own.check(&backup)?;
    backup.write_manifest(&copies)?;
    board.step("BackupSiteContent", MANIFEST);
    Ok(())
}

#[orchestrator(name = "BackupSiteContent")]
pub(super) async fn backup_site_content(ctx: OrchestrationContext, backup: Backup) -> Result<String> {
    let files = ctx.call(get_file_list, backup.clone()).await?;
    let copies = files.into_iter().map(|file| ctx.call(copy_file_to_blob, (backup.clone(), file)));
    let copies = try_join_all(copies).await?;
    let (count, bytes) = (copies.len(), copies.iter().map(|(_, bytes)| bytes).sum::<u64>());
    let target = backup.target.display().to_string();
    ctx.call(write_manifest, (backup, copies)).await?;
    Ok(format!("{count} files, {bytes} bytes in {target}"))
}

/// What a monitor waits for, and how long.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Watch {
    pub(super) file: PathBuf,
    pub(super) patience: Duration,
}

#[activity(name = "GetJobStatus")]
async fn get_job_status(own: State<Backup>, board: State<Board>, file: PathBuf) -> Result<bool> {
    ensure!(file == own.manifest(), "this demo looks for {} only", own.manifest().display());
    let is_there = match fs::metadata(&file) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => return Err(error.into()),
    };
    board.step("Monitor", if is_there { "the backup is complete" } else { "no backup yet" });
    Ok(is_there)
}

#[orchestrator(name = "Monitor")]
pub(super) async fn monitor(ctx: OrchestrationContext, watch: Watch) -> Result<String> {
    let expires = ctx.now().saturating_add(watch.patience);
    let mut pause = millis(200);
    for looks in 1.. {
        if ctx.call(get_job_status, watch.file.clone()).await? {
            return Ok(format!("saw the backup complete at look {looks}"));
        }
        let next = ctx.now().saturating_add(pause);
        if next > expires {
            break;
        }
        ctx.timer_at(next).await?;
        pause = (pause * 2).min(secs(1));
    }
    Ok("expired: the backup never was complete".to_owned())
}

#[activity(name = "RequestApproval")]
async fn request_approval(board: State<Board>, what: String) -> Result<()> {
    board.step("Approval", format_args!("asked: may we {what}?"));
    Ok(())
}

#[activity(name = "ProcessApproval")]
async fn process_approval(granted: bool) -> Result<String> {
    Ok(if granted { "approved" } else { "rejected" }.to_owned())
}

#[activity(name = "Escalate")]
async fn escalate(what: String) -> Result<String> {
    Ok(format!("nobody answered for 72 hours: whether we may {what} is escalated"))
}

#[orchestrator(name = "Approval")]
pub(super) async fn approval(ctx: OrchestrationContext, what: String) -> Result<String> {
    ctx.call(request_approval, what.clone()).await?;
    select! {
        granted = ctx.wait_for(APPROVAL) => ctx.call(process_approval, granted?).await,
        _ = ctx.timer(hours(72)) => ctx.call(escalate, what).await,
    }
}

pub(super) const CODE: Event<String> = Event::named("SmsChallengeResponse");
pub(super) const SENDS_CODE: &str = "SendSmsChallenge";

#[activity(name = "SendSmsChallenge")]
async fn send_sms_challenge(board: State<Board>, (phone, code): (String, String)) -> Result<()> {
    board.say(format_args!("PhoneVerification: text to {phone}: your code is {code}"));
    Ok(())
}

#[orchestrator(name = "PhoneVerification")]
pub(super) async fn phone_verification(ctx: OrchestrationContext, phone: String) -> Result<String> {
    // Random, and yet the same on every replay.
    let code = format!("{:04}", ctx.rng().next_u32() % 10_000);
    ctx.call(send_sms_challenge, (phone, code.clone())).await?;
    let mut expired = ctx.timer(secs(90));
    for tries in 1..=3 {
        select! {
            typed = ctx.wait_for(CODE) => if typed? == code {
                return Ok(format!("verified at try {tries}"));
            },
            _ = &mut expired => return Ok("failed: no code for 90 seconds".to_owned()),
        }
    }
    Ok("failed: three wrong codes".to_owned())
}

/// All samples.
pub(super) fn functions() -> impl Register {
    (
        (hello_sequence, say_hello),
        (backup_site_content, get_file_list, copy_file_to_blob, write_manifest),
        (monitor, get_job_status),
        (approval, request_approval, process_approval, escalate),
        (phone_verification, send_sms_challenge),
        documents::functions(),
        entities::functions(),
        quickstart::functions(),
    )
}
