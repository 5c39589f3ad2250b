//! Runs the examples as their users do, and looks at what came of it.

#[path = "../examples/approval.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod approval;
#[path = "../examples/backup_site_content.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod backup_site_content;
#[path = "../examples/circuit_breaker.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod circuit_breaker;
#[path = "../examples/counter.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod counter;
#[path = "../examples/device_sensors.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod device_sensors;
#[path = "../examples/document_counter.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod document_counter;
#[path = "../examples/document_pipeline.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod document_pipeline;
#[path = "../examples/eternal.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod eternal;
#[path = "../examples/function_chaining.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod function_chaining;
#[path = "../examples/hello_sequence.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod hello_sequence;
#[cfg(feature = "http")]
#[path = "../examples/http_monitor.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod http_monitor;
#[path = "../examples/monitor.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod monitor;
#[path = "../examples/phone_verification.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod phone_verification;
#[path = "../examples/saga.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod saga;
#[path = "../examples/sub_orchestrations.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod sub_orchestrations;
#[path = "../examples/transfer.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod transfer;
#[path = "../examples/versions.rs"]
#[allow(dead_code, reason = "only `main` uses some of it")]
mod versions;

#[path = "examples/pipeline.rs"]
mod pipeline;

use std::fs;
use std::path::PathBuf;

use strandline::prelude::*;
use tempfile::tempdir;

#[tokio::test]
async fn greets_three_cities() -> Result<()> {
    let dir = tempdir()?;
    let cities = ["Tokyo", "Seattle", "London"].map(str::to_owned).to_vec();
    let greetings = hello_sequence::run(&dir.path().join("hub"), cities).await?;
    assert_eq!(greetings, ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]);
    Ok(())
}

#[tokio::test]
async fn chains_four_functions() -> Result<()> {
    let dir = tempdir()?;
    let text = dir.path().join("text");
    fs::write(&text, "the sea, the SEA and the shore")?;
    let (outcome, called) = function_chaining::run(&dir.path().join("hub"), &text, false).await?;
    assert_eq!(outcome?, "     3 the\n     2 sea\n     1 and\n     1 shore\n");
    assert_eq!(called, ["F1", "F2", "F3", "F4"]);
    let left: Vec<_> = fs::read_dir(dir.path().join("hub.work"))?.collect();
    assert_eq!(left.len(), 4);
    Ok(())
}

#[tokio::test]
async fn undoes_a_broken_chain_from_its_end() -> Result<()> {
    let dir = tempdir()?;
    let text = dir.path().join("text");
    fs::write(&text, "the sea")?;
    let (outcome, called) = function_chaining::run(&dir.path().join("hub"), &text, true).await?;
    assert_eq!(outcome.map_err(|error| error.message().to_owned()), Err("F3 was told to fail".to_owned()));
    assert_eq!(called, ["F1", "F2", "F3", "Undo", "Undo"]);
    assert_eq!(fs::read_dir(dir.path().join("hub.work"))?.count(), 0);
    Ok(())
}

#[tokio::test]
async fn backs_up_a_tree() -> Result<()> {
    let dir = tempdir()?;
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let target = dir.path().join("copy");
    let backup = backup_site_content::Backup { source: source.clone(), target: target.clone() };
    let total = backup_site_content::run(&dir.path().join("hub"), backup).await?;
    let sums = fs::read_to_string(target.join("SHA256SUMS"))?;
    assert_eq!(sums.lines().count(), total.files);
    let mut bytes = 0;
    for line in sums.lines() {
        let Some((sum, file)) = line.split_once("  ") else { panic!("not a line of sha256sum: {line}") };
        let content = fs::read(source.join(file))?;
        assert_eq!(fs::read(target.join(file))?, content, "{file}");
        assert_eq!(backup_site_content::checksum(&content), sum, "{file}");
        bytes += content.len() as u64;
    }
    assert_eq!(total.bytes, bytes);
    assert!(sums.contains("  src/lib.rs\n") && sums.contains("  Cargo.toml\n"));
    Ok(())
}

#[test]
fn knows_the_checksum_of_nothing() {
    let of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(backup_site_content::checksum(b""), of_nothing);
}

#[tokio::test]
async fn monitors_until_done_expired_or_ended() -> Result<()> {
    let dir = tempdir()?;
    let report = monitor::run(&dir.path().join("hub"), 100_000).await?;
    assert_eq!(report.done, "done: 9592 primes below 100000");
    assert_eq!(report.expired, "expired");
    assert_eq!(report.ended.error_type(), "Terminated");
    assert!(report.ended.message().contains("nobody cares any more"), "{}", report.ended);
    Ok(())
}

#[cfg(feature = "http")]
#[tokio::test]
async fn monitors_a_job_over_http() -> Result<()> {
    let dir = tempdir()?;
    let report = http_monitor::run(&dir.path().join("hub"), 10_000).await?;
    assert_eq!(report.result, "1229 primes");
    assert!(report.requests >= 2, "it was taken, and looked for");
    Ok(())
}

#[tokio::test]
async fn takes_the_timer_away_when_the_answer_comes() -> Result<()> {
    for (granted, outcome) in [(true, "approved by me"), (false, "rejected by me")] {
        let dir = tempdir()?;
        let answer = approval::Answer { by: "me".to_owned(), granted };
        let report = approval::run(&dir.path().join("hub"), Some(answer)).await?;
        assert_eq!(report.outcome, outcome);
        assert!(report.history.contains(&"TimerCreated") && !report.history.contains(&"TimerFired"));
        assert_eq!(report.timers, (1, 0));
    }
    Ok(())
}

#[tokio::test]
async fn escalates_when_nobody_answers() -> Result<()> {
    let dir = tempdir()?;
    let report = approval::run(&dir.path().join("hub"), None).await?;
    assert_eq!(report.outcome, "nobody answered within 1s: the purchase of a coffee machine is escalated");
    assert!(report.history.contains(&"TimerFired") && !report.history.contains(&"EventRaised"));
    Ok(())
}

#[tokio::test]
async fn stays_small_for_ever() -> Result<()> {
    let dir = tempdir()?;
    let (sizes, history) = eternal::run(&dir.path().join("hub"), vec![100, 1000]).await?;
    assert_eq!(sizes.len(), 2);
    // Ten times as many generations take no more space.
    assert!(sizes[1].tables <= sizes[0].tables && sizes[1].log <= sizes[0].log, "{sizes:?}");
    assert!(history < 20, "{history} events");
    Ok(())
}

#[tokio::test]
async fn adds_up_what_a_thousand_children_found() -> Result<()> {
    let dir = tempdir()?;
    assert_eq!(sub_orchestrations::run(&dir.path().join("hub"), 1000).await?, 78_498);
    Ok(())
}

#[tokio::test]
async fn verifies_a_phone_within_three_tries() -> Result<()> {
    use phone_verification::{Try::Right, Try::Wrong, Verdict};
    let cases: [(&[_], _, _); 4] = [
        (&[Right], Verdict::Verified, None),
        (&[Wrong, Right], Verdict::Verified, Some("\"wrong code, tries left: 2\"")),
        (&[Wrong, Wrong, Right], Verdict::Verified, Some("\"wrong code, tries left: 1\"")),
        (&[Wrong, Wrong, Wrong], Verdict::Failed, Some("\"wrong code, tries left: 0\"")),
    ];
    for (tries, verdict, custom_status) in cases {
        let dir = tempdir()?;
        let report = phone_verification::run(&dir.path().join("hub"), tries, secs(90)).await?;
        assert_eq!((report.verdict, report.custom_status.as_deref()), (verdict, custom_status), "{tries:?}");
        assert!(!report.history.contains(&"TimerFired"));
    }
    Ok(())
}

#[tokio::test]
async fn verifies_no_phone_whose_owner_is_silent() -> Result<()> {
    use phone_verification::{Try::Wrong, Verdict};
    for tries in [&[][..], &[Wrong, Wrong]] {
        let dir = tempdir()?;
        let report = phone_verification::run(&dir.path().join("hub"), tries, millis(500)).await?;
        assert_eq!(report.verdict, Verdict::Failed);
        assert!(report.history.contains(&"TimerFired"));
    }
    Ok(())
}

#[tokio::test]
async fn books_a_whole_trip_or_none_of_it() -> Result<()> {
    let steps = ["BookFlight", "BookHotel", "BookCar", "ConfirmTrip"];
    let undone = ["CancelCar", "CancelHotel", "CancelFlight"];
    for (at, step) in steps.into_iter().enumerate() {
        let dir = tempdir()?;
        let report = saga::run(&dir.path().join("hub"), &[step]).await?;
        assert_eq!(report.outcome.map_err(|e| e.to_string()), Err(format!("{step} was told to fail")));
        assert_eq!(report.called, [&steps[..=at], &undone[3 - at..]].concat());
        assert_eq!((report.left, report.custom_status), (0, None));
    }
    let dir = tempdir()?;
    let report = saga::run(&dir.path().join("hub"), &[]).await?;
    assert_eq!((report.outcome?.len(), report.left), (3, 3));
    Ok(())
}

#[tokio::test]
async fn undoes_the_rest_when_something_cannot_be_undone() -> Result<()> {
    let dir = tempdir()?;
    let report = saga::run(&dir.path().join("hub"), &["BookCar", "CancelHotel"]).await?;
    assert_eq!(report.outcome.map_err(|e| e.to_string()), Err("BookCar was told to fail".to_owned()));
    assert_eq!(report.called, ["BookFlight", "BookHotel", "BookCar", "CancelHotel", "CancelFlight"]);
    assert_eq!(report.custom_status.as_deref(), Some("\"not undone: CancelHotel was told to fail\""));
    assert_eq!(report.left, 1);
    Ok(())
}

#[tokio::test]
async fn counts_the_same_with_methods_and_as_a_function() -> Result<()> {
    let dir = tempdir()?;
    let report = counter::run(&dir.path().join("hub"), vec![5, -2, 39]).await?;
    assert_eq!(report.steps, [(42, 42), (47, 47), (45, 45), (84, 84)]);
    let (methods, function) = report.states;
    assert_eq!((serde_json::to_string(&methods)?, function), ("84".to_owned(), Some(84)));
    // The counters are there after a restart.
    let report = counter::run(&dir.path().join("hub"), vec![1]).await?;
    assert_eq!(report.steps, [(85, 85), (86, 86)]);
    Ok(())
}

#[tokio::test]
async fn makes_a_counter_for_each_metric_that_comes() -> Result<()> {
    let dir = tempdir()?;
    let file = dir.path().join("readings.jsonl");
    let lines = [("lux", 3.0), ("noise", 40.5), ("lux", 4.5)].map(|(metric, value)| {
        let reading = device_sensors::Reading { metric: metric.to_owned(), value };
        serde_json::to_string(&reading).map(|line| line + "\n\n")
    });
    fs::write(&file, lines.into_iter().collect::<Result<String, _>>()?)?;
    let counters = device_sensors::run(&dir.path().join("hub"), device_sensors::lines_of(&file)?).await?;
    let told: Vec<_> = counters.iter().map(|(metric, c)| (metric.as_str(), c.readings, c.sum)).collect();
    assert_eq!(told, [("lux", 2, 7.5), ("noise", 1, 40.5)]);
    let counters = device_sensors::run(&dir.path().join("hub"), device_sensors::sample()).await?;
    assert_eq!(counters.values().map(|counter| counter.readings).sum::<u64>(), 1000);

    fs::write(&file, "{\"metric\": \"lux\", \"value\": 3}\nlux: 4\n")?;
    let failed = device_sensors::run(&dir.path().join("hub2"), device_sensors::lines_of(&file)?).await;
    let expected = format!("line 2 of {} is not a reading", file.display());
    assert_eq!(failed.map_err(|error| error.to_string()), Err(expected));
    Ok(())
}

#[tokio::test]
async fn counts_documents_in_one_entity_and_in_shards() -> Result<()> {
    let dir = tempdir()?;
    let report = document_counter::run(&dir.path().join("hub"), 400).await?;
    let counts = |processed, failed| {
        let counts = [("processed", processed), ("failed", failed)].map(|(field, n)| (field.to_owned(), n));
        document_counter::Counts::from(counts)
    };
    assert_eq!((&report.in_one, &report.in_shards), (&counts(360, 40), &counts(360, 40)));
    assert_eq!(report.in_first_shard.values().sum::<u64>(), 50);
    assert_eq!(report.after_reset, document_counter::Counts::new());
    Ok(())
}

fn order(from: &str, to: &str, amount: u64) -> transfer::Order {
    transfer::Order { from: from.to_owned(), to: to.to_owned(), amount }
}

#[tokio::test]
async fn moves_money_whole_or_not_at_all() -> Result<()> {
    let dir = tempdir()?;
    let hub = dir.path().join("hub");
    let report = transfer::run(&hub, &[order("alice", "bob", 70)]).await?;
    assert_eq!(report.transfers[0].as_ref().ok(), Some(&(30, 170)));
    let report = transfer::run(&hub, &[order("alice", "bob", 31), order("bob", "bob", 1)]).await?;
    let failures: Vec<_> = report.transfers.into_iter().map(|t| t.map_err(|e| e.to_string())).collect();
    assert_eq!(failures[0], Err("insufficient funds: 30 < 31".to_owned()));
    assert_eq!(failures[1], Err("a transfer needs two accounts, not bob twice".to_owned()));
    assert_eq!(report.balances.into_values().collect::<Vec<_>>(), [30, 170]);
    Ok(())
}

#[tokio::test]
async fn transfers_at_the_same_time_lose_nothing() -> Result<()> {
    let dir = tempdir()?;
    let names = ["alice", "bob", "carol"];
    let orders: Vec<_> =
        (0..60).map(|n| order(names[n % 3], names[(n + 1 + n / 3 % 2) % 3], 10 + n as u64)).collect();
    let report = transfer::run(&dir.path().join("hub"), &orders).await?;
    assert_eq!(report.balances.values().sum::<u64>(), 300, "{report:?}");
    let mut expected: std::collections::BTreeMap<_, _> = names.map(|name| (name, 100)).into();
    for (order, outcome) in orders.iter().zip(&report.transfers) {
        if outcome.is_ok() {
            *expected.get_mut(order.from.as_str()).unwrap() -= order.amount as i64;
            *expected.get_mut(order.to.as_str()).unwrap() += order.amount as i64;
        }
    }
    assert!(report.balances.iter().all(|(name, balance)| expected[name.as_str()] == *balance as i64));
    Ok(())
}

/// What the breaker's caller sees of a service that fails four times.
const STORY: [&str; 7] = [
    "weather is down",
    "weather is down",
    "weather is down",
    "weather was down a moment ago: not called",
    "weather is down",
    "weather was down a moment ago: not called",
    "weather says hello",
];

#[tokio::test]
async fn breaks_the_circuit_to_a_service_that_is_down() -> Result<()> {
    let dir = tempdir()?;
    let (story, circuit) = circuit_breaker::run(&dir.path().join("hub"), 4, millis(100)).await?;
    assert_eq!(story, STORY);
    assert_eq!(circuit, Some(circuit_breaker::Circuit::Closed { failures: 0 }));
    Ok(())
}

#[test]
fn the_circuit_goes_by_the_time_of_the_orchestration() {
    use circuit_breaker::{Circuit, Remote, Request, call_service, call_until_it_answers, guarded_call};
    let hub = TestHub::new()
        .register((Circuit, call_service, guarded_call, call_until_it_answers))
        .state(Remote(4.into()));
    let run = hub.start(call_until_it_answers, Request { service: "weather".to_owned(), pause: hours(1) });
    assert_eq!(run.status(), strandline::RuntimeStatus::Running);
    hub.advance(minutes(119));
    assert_eq!(run.status(), strandline::RuntimeStatus::Running);
    hub.advance(minutes(1));
    assert_eq!(run.output(), STORY);
}

#[tokio::test]
async fn ends_with_the_version_it_was_begun_with() -> Result<()> {
    let dir = tempdir()?;
    let [first, second] = versions::run(&dir.path().join("hub")).await?;
    let called = |order: &versions::Order| order.called.join(" ");
    assert_eq!((first.version.as_str(), called(&first)), ("1", "Reserve Ship".to_owned()));
    assert_eq!(first.output, "a lamp reserved: shipped for 30 euros");
    assert_eq!((second.version.as_str(), called(&second)), ("2", "CheckAddress Reserve Ship".to_owned()));
    assert_eq!(second.output, "a chair with its address checked reserved: shipped for 80 euros");
    Ok(())
}
