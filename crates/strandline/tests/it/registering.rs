//! What a worker refuses to be built from.

use strandline::prelude::*;
use strandline_engine::worker::Worker;

#[activity]
async fn greet(city: String) -> Result<String> {
    Ok(city)
}

#[activity]
async fn counts(_counter: State<u64>) -> Result<()> {
    Ok(())
}

#[orchestrator]
async fn flow(_ctx: OrchestrationContext) -> Result<()> {
    Ok(())
}

#[test]
fn names_are_announced() {
    let worker = Registry::new().register((greet, (flow, counts))).state(1u64).build().unwrap();
    assert_eq!(worker.activities(), ["counts", "greet"]);
    assert_eq!(worker.orchestrators(), ["flow"]);
    assert!(worker.serves_activity("GREET", Some("any")));
    assert!(!worker.serves_orchestrator("greet", None), "an activity is no orchestrator");
}

#[test]
fn everything_wrong_is_named() {
    let again = activity_fn("Greet", |_ctx, n: u8| async move { Ok::<_, Error>(n) });
    let nameless = orchestrator_fn("", |_ctx: OrchestrationContext, (): ()| async { Ok::<_, Error>(()) });
    let registry = Registry::new().register((greet, again, counts, nameless)).state(1u8).state(2u8);
    let error = registry.build().unwrap_err();
    assert_eq!(error.error_type(), "RegistrationError");
    let expected = [
        "activity 'Greet' is registered twice (names ignore ASCII case)",
        "orchestrator '': a name has 1 to 256 bytes",
        "state `u8` is given twice",
        "activity 'counts' needs state `u64`: give it with `.state(..)`",
    ];
    assert_eq!(error.message(), expected.join("; "));
}
