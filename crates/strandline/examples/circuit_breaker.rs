//! A circuit breaker: an entity for each remote service remembers how it fares, so that no
//! orchestration goes on calling one that is down.
//!
//! Closed, calls go through; after three failures in a row it opens, and calls are refused at once;
//! after a pause it is half open: one call goes through, and decides.
//!
//! `cargo run --example circuit_breaker -- 4`: calls a service that fails four times and then
//! recovers, with a pause of one second. With `--dir PATH` to keep the hub, and with it the circuit.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use strandline::prelude::*;

/// Failures in a row that open a circuit.
const FAILURES_MAX: u32 = 3;

/// State of the circuit to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Circuit {
    Closed {
        failures: u32,
    },
    Open {
        until: Timestamp,
    },
    /// One call is on its way; if nothing is heard of it, the next may go at this time.
    HalfOpen {
        until: Timestamp,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// When something is asked or told, and how long a circuit stays open. The time comes from the
/// orchestration, so that of a test is as good as any other.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    pub(crate) pause: Duration,
}

impl Moment {
    fn end_of_pause(self) -> Timestamp {
        self.now.saturating_add(self.pause)
    }
}

#[entity]
impl Circuit {
    /// Whether a call may go through now.
    pub fn admits(&mut self, moment: Moment) -> bool {
        match *self {
            Self::Closed { .. } => true,
            Self::Open { until } | Self::HalfOpen { until } if moment.now < until => false,
            Self::Open { .. } | Self::HalfOpen { .. } => {
                *self = Self::HalfOpen { until: moment.end_of_pause() };
                true
            }
        }
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub fn failed(&mut self, moment: Moment) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES_MAX => {
                Self::Closed { failures: failures + 1 }
            }
            _ => Self::Open { until: moment.end_of_pause() },
        };
    }
}

/// For [`Error::is`]: the service was not called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CircuitOpen {}

/// A call of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) service: String,
    /// How long the circuit stays open.
    pub(crate) pause: Duration,
}

/// The remote service: fails so many times, then works.
pub(crate) struct Remote(pub(crate) AtomicU32);

#[activity(name = "CallService")]
pub(crate) async fn call_service(remote: State<Remote>, service: String) -> Result<String> {
    let left = remote.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    ensure!(left.is_err(), "{service} is down");
    Ok(format!("{service} says hello"))
}

#[orchestrator(name = "GuardedCall")]
pub(crate) async fn guarded_call(ctx: OrchestrationContext, request: Request) -> Result<String> {
    let Request { service, pause } = request;
    let circuit = ctx.entity::<Circuit>(&service);
    if !circuit.admits(Moment { now: ctx.now(), pause }).await? {
        return Err(Error::new("CircuitOpen", format!("{service} was down a moment ago: not called")));
    }
    let answer = ctx.call(call_service, service).await;
    match &answer {
        Ok(_) => circuit.succeeded().await?,
        Err(_) => circuit.failed(Moment { now: ctx.now(), pause }).await?,
    }
    answer
}

/// Calls until the service answers, and waits where it is not called. Returns what each attempt came to.
#[orchestrator(name = "CallUntilItAnswers")]
pub(crate) async fn call_until_it_answers(
    ctx: OrchestrationContext,
    request: Request,
) -> Result<Vec<String>> {
    let mut story = Vec::new();
    loop {
        match ctx.call(guarded_call, request.clone()).await {
            Ok(answer) => {
                story.push(answer);
                return Ok(story);
            }
            Err(error) => {
                story.push(error.to_string());
                if error.is::<CircuitOpen>() {
                    ctx.timer(request.pause).await?;
                }
            }
        }
    }
}

/// Returns what each attempt came to, and the circuit's state in the end.
pub(crate) async fn run(
    dir: &Path,
    failures: u32,
    pause: Duration,
) -> Result<(Vec<String>, Option<Circuit>)> {
    let hub = TaskHub::open(dir).await?;
    hub.worker()
        .register((Circuit, call_service, guarded_call, call_until_it_answers))
        .state(Remote(AtomicU32::new(failures)))
        .start()?;
    let client = hub.client();
    let request = Request { service: "weather".to_owned(), pause };
    let story = client.start(call_until_it_answers, request).await?.output().await?;
    let circuit = client.entity::<Circuit>("weather").state().await?;
    hub.close().await?;
    Ok((story, circuit))
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let (mut dir, mut failures) = (temporary.path().join("hub"), 4);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            number => failures = number.parse().with_context(|| format!("'{number}' is not a number"))?,
        }
    }
    let (story, circuit) = run(&dir, failures, secs(1)).await?;
    for attempt in story {
        println!("{attempt}");
    }
    println!("the circuit is {:?}", circuit.unwrap_or_default());
    Ok(())
}
