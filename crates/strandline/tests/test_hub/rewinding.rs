//! What failed is done again, and what followed from the failure is forgotten.

use std::cell::RefCell;
use std::rc::Rc;

use strandline::prelude::*;
use strandline::testing::TestRun;

use crate::support::{mentions, names, panic_of};

const STEP: Activity<String, String> = Activity::named("Step");

/// A hub where the first call of `Step` with the input `bad` fails, and the calls it saw.
fn hub(functions: impl strandline::Register) -> (TestHub, Rc<RefCell<Vec<String>>>) {
    let calls = Rc::new(RefCell::new(Vec::new()));
    let seen = calls.clone();
    let hub = TestHub::new().register(functions).fake(STEP, move |step| {
        let mut seen = seen.borrow_mut();
        let first = !seen.contains(&step);
        seen.push(step.clone());
        ensure!(step != "bad" || !first, "not yet");
        Ok(step)
    });
    (hub, calls)
}

/// Fails once; then it is rewound and completes.
#[track_caller]
fn rewound(run: &TestRun<String>) -> String {
    assert_eq!(run.error().message(), "not yet");
    run.rewind("it works now");
    run.output()
}

async fn step(ctx: &OrchestrationContext, name: &str) -> Result<String> {
    ctx.call(STEP, name.to_owned()).await
}

#[test]
fn only_the_call_that_failed_is_made_again() {
    #[orchestrator]
    async fn plain(ctx: OrchestrationContext) -> Result<String> {
        let steps = [step(&ctx, "a").await?, step(&ctx, "bad").await?, step(&ctx, "b").await?];
        Ok(steps.join(" "))
    }
    let (hub, calls) = hub(plain);
    let run = hub.start(plain, ());
    assert_eq!(rewound(&run), "a bad b");
    assert_eq!(*calls.borrow(), ["a", "bad", "bad", "b"]);
    assert!(names(&run).contains(&"ExecutionRewound"));
    run.history().replay(&Registry::new().register(plain).build().unwrap()).unwrap();
    mentions(&panic_of(|| run.rewind("again")), &["Completed"]);
}

#[test]
fn what_the_code_did_about_the_failure_is_taken_back() {
    #[orchestrator]
    async fn compensating(ctx: OrchestrationContext) -> Result<String> {
        let done = step(&ctx, "a").await?;
        match step(&ctx, "bad").await {
            Ok(bad) => Ok(format!("{done} {bad} {}", step(&ctx, "b").await?)),
            Err(error) => {
                step(&ctx, "undo").await?;
                ctx.timer(secs(1)).await?;
                step(&ctx, "tell").await?;
                Err(error)
            }
        }
    }
    let (hub, calls) = hub(compensating);
    let run = hub.start(compensating, ());
    hub.advance(secs(1));
    assert_eq!(rewound(&run), "a bad b");
    assert_eq!(*calls.borrow(), ["a", "bad", "undo", "tell", "bad", "b"]);
}

#[test]
fn what_went_on_beside_it_is_not_done_again() {
    #[orchestrator]
    async fn beside(ctx: OrchestrationContext) -> Result<String> {
        let failing = step(&ctx, "bad");
        let going_on = async {
            ctx.timer(secs(1)).await?;
            let one = step(&ctx, "one").await?;
            ctx.timer(secs(1)).await?;
            Ok::<_, Error>(one + &step(&ctx, "two").await?)
        };
        let (failing, going_on) = join!(failing, going_on);
        let going_on = going_on?;
        Ok(format!("{} {going_on}", failing?))
    }
    let (hub, calls) = hub(beside);
    let run = hub.start(beside, ());
    hub.advance(secs(2));
    assert_eq!(rewound(&run), "bad onetwo");
    assert_eq!(*calls.borrow(), ["bad", "one", "two", "bad"]);
}

#[test]
fn failures_that_were_handled_stay() {
    #[orchestrator]
    async fn handled(ctx: OrchestrationContext) -> Result<String> {
        let policy = RetryPolicy::exponential(secs(1)).max_attempts(2);
        let first = ctx.call(STEP.retry(policy), "bad".to_owned()).await?;
        let last = ctx.call(Activity::<String, String>::named("Late"), first).await?;
        Ok(last)
    }
    let (hub, calls) = hub(handled);
    let late = Activity::<String, String>::named("Late");
    let hub = hub.fail(late, 1, Error::msg("not yet")).fake(late, Ok);
    let run = hub.start(handled, ());
    hub.advance(secs(1));
    assert_eq!(rewound(&run), "bad");
    assert_eq!(*calls.borrow(), ["bad", "bad"]);
}
