//! A saga: each step registers what undoes it, and a failure undoes all finished steps in reverse.
//!
//! Books a trip: flight, hotel, car. [`Saga`] is small enough to copy.
//!
//! `cargo run --example saga -- --fail BookCar`: the activities named by `--fail` fail; without any the
//! trip is booked. With `--dir PATH` to keep the hub.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strandline::prelude::*;

/// What undoes the steps that are done, the newest last.
struct Saga {
    ctx: OrchestrationContext,
    undo: Vec<Box<dyn FnOnce() -> Task<()>>>,
}

impl Saga {
    /// Runs the steps. If they fail, undoes what they registered, in reverse; their error stays the
    /// error.
    async fn run<T>(
        ctx: &OrchestrationContext,
        steps: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let mut saga = Self { ctx: ctx.clone(), undo: Vec::new() };
        let outcome = steps(&mut saga).await;
        if outcome.is_err() {
            saga.compensate().await;
        }
        outcome
    }

    /// Registers what undoes the step just done.
    fn undo_with<C>(&mut self, undo: C, input: C::Input)
    where
        C: Callable<Output = ()> + 'static,
        C::Input: Serialize,
    {
        let ctx = self.ctx.clone();
        self.undo.push(Box::new(move || ctx.call(undo, input)));
    }

    /// One undo that fails does not keep the others from being done; somebody has to look after it.
    async fn compensate(&mut self) {
        let mut left = Vec::new();
        while let Some(undo) = self.undo.pop() {
            if let Err(error) = undo().await {
                left.push(error.to_string());
            }
        }
        if !left.is_empty() {
            self.ctx.set_custom_status(format!("not undone: {}", left.join("; ")));
        }
    }
}

/// Where trips are booked.
#[derive(Default)]
struct Agency {
    /// Names of activities that are to fail.
    failing: Vec<String>,
    booked: Mutex<BTreeSet<String>>,
}

impl Agency {
    fn booked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.booked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, ctx: &ActivityContext) -> Result<()> {
        ensure!(!self.failing.iter().any(|name| name == ctx.name()), "{} was told to fail", ctx.name());
        Ok(())
    }

    /// Books under the key of the call: done twice it is one booking.
    fn book(&self, ctx: &ActivityContext, what: &str) -> Result<String> {
        self.check(ctx)?;
        let booking = format!("{what} ({})", ctx.idempotency_key());
        println!("{}: {booking}", ctx.name());
        self.booked().insert(booking.clone());
        Ok(booking)
    }

    /// Cancels a booking: done twice it does no more harm than once.
    fn cancel(&self, ctx: &ActivityContext, booking: &str) -> Result<()> {
        self.check(ctx)?;
        println!("{}: {booking}", ctx.name());
        self.booked().remove(booking);
        Ok(())
    }
}

#[activity(name = "BookFlight")]
async fn book_flight(agency: State<Arc<Agency>>, ctx: ActivityContext, to: String) -> Result<String> {
    agency.book(&ctx, &format!("flight to {to}"))
}

#[activity(name = "BookHotel")]
async fn book_hotel(agency: State<Arc<Agency>>, ctx: ActivityContext, city: String) -> Result<String> {
    agency.book(&ctx, &format!("hotel in {city}"))
}

#[activity(name = "BookCar")]
async fn book_car(agency: State<Arc<Agency>>, ctx: ActivityContext, city: String) -> Result<String> {
    agency.book(&ctx, &format!("car in {city}"))
}

#[activity(name = "CancelFlight")]
async fn cancel_flight(agency: State<Arc<Agency>>, ctx: ActivityContext, booking: String) -> Result<()> {
    agency.cancel(&ctx, &booking)
}

#[activity(name = "CancelHotel")]
async fn cancel_hotel(agency: State<Arc<Agency>>, ctx: ActivityContext, booking: String) -> Result<()> {
    agency.cancel(&ctx, &booking)
}

#[activity(name = "CancelCar")]
async fn cancel_car(agency: State<Arc<Agency>>, ctx: ActivityContext, booking: String) -> Result<()> {
    agency.cancel(&ctx, &booking)
}

#[activity(name = "ConfirmTrip")]
async fn confirm_trip(
    agency: State<Arc<Agency>>,
    ctx: ActivityContext,
    bookings: Vec<String>,
) -> Result<Vec<String>> {
    agency.check(&ctx)?;
    Ok(bookings)
}

#[orchestrator(name = "BookTrip")]
async fn book_trip(ctx: OrchestrationContext, city: String) -> Result<Vec<String>> {
    Saga::run(&ctx, async |saga| {
        let flight = ctx.call(book_flight, city.clone()).await?;
        saga.undo_with(cancel_flight, flight.clone());
        let hotel = ctx.call(book_hotel, city.clone()).await?;
        saga.undo_with(cancel_hotel, hotel.clone());
        let car = ctx.call(book_car, city).await?;
        saga.undo_with(cancel_car, car.clone());
        ctx.call(confirm_trip, vec![flight, hotel, car]).await
    })
    .await
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) outcome: Result<Vec<String>>,
    /// Names of the activities called, in order.
    pub(crate) called: Vec<String>,
    pub(crate) custom_status: Option<String>,
    /// Bookings that stand.
    pub(crate) left: usize,
}

pub(crate) async fn run(dir: &Path, failing: &[&str]) -> Result<Report> {
    let hub = TaskHub::open(dir).await?;
    let booking = (book_flight, book_hotel, book_car, confirm_trip);
    let failing = failing.iter().map(|name| (*name).to_owned()).collect();
    let agency = Arc::new(Agency { failing, ..Agency::default() });
    hub.worker()
        .register((booking, cancel_flight, cancel_hotel, cancel_car, book_trip))
        .state(agency.clone())
        .start()?;
    let instance = hub.client().start(book_trip, "Lisbon".to_owned()).await?;
    let status = instance.wait().await?;
    let outcome = instance.output().await;
    let mut called = Vec::new();
    for event in instance.history().await? {
        if let strandline::EventKind::TaskScheduled(task) = event.kind() {
            called.push(task.name.clone());
        }
    }
    hub.close().await?;
    let custom_status = status.custom_status.map(|text| text.to_string());
    let left = agency.booked().len();
    Ok(Report { outcome, called, custom_status, left })
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut failing = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            "--fail" => failing.push(arguments.next().context("--fail needs the name of an activity")?),
            other => bail!("'{other}' is neither --fail NAME nor --dir PATH"),
        }
    }
    let failing: Vec<&str> = failing.iter().map(String::as_str).collect();
    let report = run(&dir, &failing).await?;
    println!("called: {}", report.called.join(", "));
    println!("{} bookings stand", report.left);
    match report.outcome {
        Ok(bookings) => println!("booked: {}", bookings.join(", ")),
        Err(error) => println!("failed, and undone: {error:#}"),
    }
    if let Some(status) = report.custom_status {
        println!("{status}");
    }
    Ok(())
}
