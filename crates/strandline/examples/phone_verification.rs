//! Human interaction with retries: a code goes to a phone, and whoever holds it has 90 seconds and
//! three tries to type it.
//!
//! `cargo run --example phone_verification -- wrong right`: what is typed, one word a try; three times
//! `wrong` fails, and so does `silence`, with a patience of one second in place of 90. With
//! `--dir PATH` to keep the hub.

use std::path::Path;

use strandline::prelude::*;
use strandline::rand_chacha::rand_core::Rng;
use tokio::sync::mpsc;

const TRIES: u32 = 3;
const CODE: Event<String> = Event::named("SmsChallengeResponse");

#[derive(Serialize, Deserialize)]
struct Challenge {
    phone: String,
    /// For all tries together.
    patience: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Verified,
    Failed,
}

/// What carries texts to phones.
struct Network(mpsc::UnboundedSender<String>);

/// Sends the code. After a crash it may be sent again: it is the same code.
#[activity(name = "SendSmsChallenge")]
async fn send_sms_challenge(network: State<Network>, (phone, code): (String, String)) -> Result<()> {
    println!("text to {phone}: your code is {code}");
    network.0.send(code).context("the network is down")
}

#[orchestrator(name = "PhoneVerification")]
async fn phone_verification(ctx: OrchestrationContext, challenge: Challenge) -> Result<Verdict> {
    // Random, and yet the same on every replay.
    let code = format!("{:04}", ctx.rng().next_u32() % 10_000);
    ctx.call(send_sms_challenge, (challenge.phone, code.clone())).await?;

    // One timer for all tries, so it is kept across them; returning drops it, and that cancels it.
    let mut expired = ctx.timer(challenge.patience);
    for tries in (0..TRIES).rev() {
        select! {
            typed = ctx.wait_for(CODE) => if typed? == code {
                return Ok(Verdict::Verified);
            },
            fired = &mut expired => {
                fired?;
                break;
            }
        }
        ctx.set_custom_status(format!("wrong code, tries left: {tries}"));
    }
    Ok(Verdict::Failed)
}

/// What the one who holds the phone does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    Wrong,
    Right,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) custom_status: Option<String>,
    /// Names of the history's events, in order.
    pub(crate) history: Vec<&'static str>,
}

pub(crate) async fn run(dir: &Path, tries: &[Try], patience: Duration) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    let (network, mut phone) = mpsc::unbounded_channel();
    hub.worker().register((send_sms_challenge, phone_verification)).state(Network(network)).start()?;
    let challenge = Challenge { phone: "+49 151 5550100".to_owned(), patience };
    let instance = hub.client().start(phone_verification, challenge).await?;

    let code = phone.recv().await.context("the hub was closed")?;
    for attempt in tries {
        let typed = match attempt {
            Try::Right => code.clone(),
            Try::Wrong => code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect(),
        };
        println!("typed: {typed}");
        instance.raise(CODE, typed).await?;
        if *attempt == Try::Right {
            break;
        }
    }
    let verdict = instance.output().await?;
    let custom_status = instance.status().await?.and_then(|status| status.custom_status);
    let history = instance.history().await?.iter().map(|event| event.kind().name()).collect();
    hub.close().await?;
    Ok(Report { verdict, custom_status: custom_status.map(|text| text.to_string()), history })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut tries, mut patience) = (temporary.path().join("hub"), Vec::new(), secs(90));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            "wrong" => tries.push(Try::Wrong),
            "right" => tries.push(Try::Right),
            "silence" => patience = secs(1),
            other => bail!("'{other}' is none of wrong, right, silence"),
        }
    }
    ensure!(tries.len() <= TRIES as usize, "there are {TRIES} tries, not {}", tries.len());
    let report = run(&dir, &tries, patience).await?;
    println!("{:?}", report.verdict);
    if let Some(status) = report.custom_status {
        println!("the last status: {status}");
    }
    println!("the history: {}", report.history.join(", "));
    Ok(())
}
