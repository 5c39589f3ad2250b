//! Entities through the worker's interface: dispatch, transactions, what is written.

use std::sync::Arc;

use strandline::prelude::*;
use strandline::{FailureDetails, RustWorker};
use strandline_engine::worker::{EntityBatch, Worker};
use strandline_model::{EntityAction, EntityId as Id, EntityOperation, EntityOutcome, NewState};

const REORDER: Orchestration<String, ()> = Orchestration::named("Reorder");

#[derive(Default, Serialize, Deserialize)]
struct Stock {
    left: u32,
    #[serde(skip)]
    unwritable: bool,
}

#[entity]
impl Stock {
    pub fn add(&mut self, n: u32) -> u32 {
        self.left += n;
        self.left
    }

    pub async fn take(&mut self, ctx: &EntityContext, n: u32) -> Result<u32> {
        ctx.signal(Stock::id("total")).take(n)?;
        ctx.start(REORDER.instance_id("r1").version("2"), ctx.key().to_owned())?;
        tokio::task::yield_now().await;
        self.left = self.left.checked_sub(n).context("sold out")?;
        Ok(self.left)
    }

    pub fn left(&self) -> u32 {
        self.left
    }

    pub fn clear(&mut self) {
        self.left = 0;
    }

    pub fn break_down(&mut self) {
        self.left = 99;
        panic!("the shelf fell");
    }

    /// What cannot be written fails.
    pub fn unreadable(&self) -> Result<f64, std::num::ParseIntError> {
        let _helper = self.helper();
        "x".parse::<i32>().map(f64::from)
    }

    pub fn remove(&mut self, ctx: EntityContext) -> bool {
        self.left = 5;
        ctx.delete();
        ctx.has_state()
    }

    pub fn scaled(
        &self,
        factor: State<u32>,
        ctx: &EntityContext,
        by: (u32, u32),
    ) -> Result<(u32, usize, usize)> {
        Ok((self.left * *factor * by.0 * by.1, ctx.batch_position(), ctx.batch_size()))
    }

    fn helper(&self) -> bool {
        self.unwritable
    }
}

#[entity(name = "stock")]
async fn stock_fn(ctx: EntityContext<Json>, factor: State<u32>) -> Result<Json> {
    let left = ctx.state()?["left"].as_u64().unwrap_or(0);
    let left = match ctx.operation() {
        "add" => left + ctx.input::<u64>()?,
        "take" => {
            let n = ctx.input::<u32>()?;
            ctx.signal(Stock::id("total")).take(n)?;
            ctx.start(REORDER.instance_id("r1").version("2"), ctx.key().to_owned())?;
            left.checked_sub(n.into()).context("sold out")?
        }
        "left" => return Ok(left.into()),
        "clear" => {
            ctx.set_state(serde_json::json!({ "left": 0 }))?;
            return Ok(Json::Null);
        }
        "break_down" => {
            ctx.set_state(serde_json::json!({ "left": 99 }))?;
            panic!("the shelf fell")
        }
        "unreadable" => return Ok("x".parse::<i32>()?.into()),
        "remove" => {
            ctx.delete();
            return Ok(ctx.has_state().into());
        }
        "scaled" => {
            let (a, b) = ctx.input::<(u64, u64)>()?;
            let scaled = left * u64::from(*factor) * a * b;
            return Ok(serde_json::json!([scaled, ctx.batch_position(), ctx.batch_size()]));
        }
        _ => return ctx.otherwise(),
    };
    ctx.set_state(serde_json::json!({ "left": left }))?;
    Ok(left.into())
}

fn both() -> [RustWorker; 2] {
    [Registry::new().register(Stock), Registry::new().register(stock_fn)]
        .map(|registry| registry.state(2u32).build().unwrap())
}

fn run(worker: &RustWorker, state: Option<&str>, operations: &[(&str, Option<&str>)]) -> EntityOutcome {
    let operation = |(name, input): &(&str, Option<&str>)| {
        let (name, input) = ((*name).to_owned(), input.map(str::to_owned));
        Arc::new(EntityOperation { request_id: "r".into(), name, input, ..EntityOperation::default() })
    };
    let batch = EntityBatch {
        entity: Id::new("Stock", "a").unwrap(),
        state: state.map(Arc::from),
        operations: operations.iter().map(operation).collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(worker.run_entity(batch))
}

/// Results as text, with type and message of errors.
fn told(outcome: &EntityOutcome) -> Vec<String> {
    let error = |f: &FailureDetails| format!("{}: {}", f.error_type, f.message);
    let tell = |result: &Result<Option<String>, _>| match result {
        Ok(output) => output.clone().unwrap(),
        Err(failure) => error(failure),
    };
    outcome.results.iter().map(tell).collect()
}

fn set(text: &str) -> NewState {
    NewState::Set(Some(text.to_owned()))
}

#[test]
fn operations_are_found_by_name_in_any_case() {
    for worker in both() {
        let outcome = run(&worker, None, &[("ADD", Some("5")), ("Take", Some("2")), ("left", None)]);
        assert_eq!(told(&outcome), ["5", "3", "3"]);
        assert_eq!(outcome.state, set(r#"{"left":3}"#));
    }
}

#[test]
fn what_is_no_operation_is_refused() {
    let [methods, function] = both();
    let typo = [("tak", None), ("helper", None), ("break-down", None)];
    let outcome = run(&methods, None, &typo);
    assert_eq!(
        told(&outcome),
        [
            "OperationNotFound: entity 'stock' has no operation 'tak' (did you mean 'take'?)",
            "OperationNotFound: entity 'stock' has no operation 'helper'",
            "OperationNotFound: entity 'stock' has no operation 'break-down' (did you mean 'break_down'?)",
        ]
    );
    assert!(outcome.results.iter().all(|result| result.as_ref().unwrap_err().is_non_retriable));
    assert_eq!(outcome.state, NewState::Unchanged);
    assert_eq!(
        told(&run(&function, None, &typo))[0],
        "OperationNotFound: entity 'stock' has no operation 'tak'"
    );
}

#[test]
fn deleting() {
    for worker in both() {
        let outcome = run(&worker, Some(r#"{"left":3}"#), &[("delete", None)]);
        assert_eq!((told(&outcome), outcome.state), (vec!["null".to_owned()], NewState::Set(None)));
        let outcome =
            run(&worker, Some(r#"{"left":3}"#), &[("Delete", None), ("left", None), ("add", Some("1"))]);
        assert_eq!(told(&outcome), ["null", "0", "1"], "it begins anew");
        assert_eq!(outcome.state, set(r#"{"left":1}"#));
        let outcome = run(&worker, Some(r#"{"left":3}"#), &[("remove", None), ("left", None)]);
        assert_eq!((told(&outcome), outcome.state), (vec!["false".into(), "0".into()], NewState::Set(None)));
        assert_eq!(run(&worker, None, &[("add", Some("1")), ("delete", None)]).state, NewState::Unchanged);
    }
}

#[test]
fn an_own_delete_comes_first() {
    #[derive(Default, Serialize, Deserialize)]
    struct Kept(u32);

    #[entity(name = "Stock")]
    impl Kept {
        pub fn delete(&mut self) -> String {
            self.0 += 1;
            "kept".into()
        }
    }
    // A tuple struct: the name is its constructor, so a value is registered.
    let worker = Registry::new().register(Kept(0)).build().unwrap();
    let outcome = run(&worker, Some("4"), &[("delete", None)]);
    assert_eq!((told(&outcome), outcome.state), (vec!["\"kept\"".to_owned()], set("5")));
}

#[test]
fn a_failed_operation_changes_nothing() {
    for worker in both() {
        let outcome = run(
            &worker,
            Some(r#"{"left":1}"#),
            &[("add", Some("1")), ("take", Some("9")), ("take", Some("1"))],
        );
        assert_eq!(told(&outcome), ["2", "Error: sold out", "1"]);
        assert_eq!(outcome.state, NewState::Unchanged, "one came, one went");
        let sent = |n: &str| EntityAction::Signal {
            target: "@stock@total".into(),
            operation: "take".into(),
            input: Some(n.into()),
            scheduled_time: None,
            trace: None,
        };
        let started = EntityAction::Start {
            instance_id: "r1".into(),
            name: "Reorder".into(),
            version: Some("2".into()),
            input: Some("\"a\"".into()),
            scheduled_start: None,
            trace: None,
        };
        assert_eq!(outcome.actions, [sent("1"), started], "those of the failed one are dropped");
    }
}

#[test]
fn a_panic_is_a_failure() {
    for worker in both() {
        let outcome = run(&worker, None, &[("add", Some("1")), ("break_down", None), ("left", None)]);
        assert_eq!(told(&outcome), ["1", "panic: the shelf fell", "1"]);
        assert_eq!(outcome.state, set(r#"{"left":1}"#));
    }
}

#[test]
fn reading_writes_nothing() {
    for worker in both() {
        let outcome = run(&worker, None, &[("left", None), ("scaled", Some("[2,3]")), ("unreadable", None)]);
        assert_eq!(told(&outcome)[..2], ["0", "[0,1,3]"]);
        assert!(told(&outcome)[2].starts_with("ParseIntError: "));
        assert_eq!(outcome.state, NewState::Unchanged, "a default state that was only read does not exist");
        // Written otherwise than this code writes it: left as it is.
        let outcome =
            run(&worker, Some(r#"{ "left": 7, "more": 1 }"#), &[("left", None), ("scaled", Some("[1,1]"))]);
        assert_eq!(
            (told(&outcome), outcome.state),
            (vec!["7".into(), "[14,1,2]".into()], NewState::Unchanged)
        );
    }
}

#[test]
fn inputs_must_be_readable() {
    for worker in both() {
        let outcome = run(&worker, None, &[("add", Some("\"five\"")), ("add", None), ("clear", Some("17"))]);
        let told = told(&outcome);
        assert!(
            told[0].starts_with(
                "DeserializationError: the input of operation 'add' of entity '@stock@a' is not"
            )
        );
        assert!(told[1].starts_with("DeserializationError: "), "{}", told[1]);
        assert_eq!(told[2], "null", "an input that nobody asks for is ignored");
        assert_eq!(outcome.state, set(r#"{"left":0}"#));
    }
}

#[test]
fn a_state_nobody_can_read_stays() {
    let [methods, _] = both();
    let outcome = run(&methods, Some("true"), &[("left", None), ("add", Some("1"))]);
    for told in told(&outcome) {
        assert!(
            told.starts_with("DeserializationError: the state of entity '@stock@a' is not a `"),
            "{told}"
        );
    }
    assert_eq!(outcome.state, NewState::Unchanged);
    assert_eq!(
        run(&methods, Some("true"), &[("delete", None)]).state,
        NewState::Set(None),
        "but can be deleted"
    );
}

#[test]
fn a_state_nobody_can_write_fails_its_operation() {
    #[derive(Default, Serialize, Deserialize)]
    struct Odd {
        keys: std::collections::BTreeMap<Vec<u8>, u8>,
    }

    #[entity(name = "Stock")]
    impl Odd {
        pub fn spoil(&mut self, ctx: &EntityContext) -> Result<()> {
            self.keys.insert(vec![1], 1);
            ctx.signal(Odd::id("b")).spoil()
        }

        pub fn size(&self) -> usize {
            self.keys.len()
        }
    }
    let worker = Registry::new().register(Odd).build().unwrap();
    let outcome = run(&worker, None, &[("size", None), ("spoil", None), ("size", None)]);
    let told = told(&outcome);
    assert!(
        told[1].starts_with("SerializationError: the state of entity '@stock@a' cannot be written"),
        "{}",
        told[1]
    );
    assert_eq!((told[0].as_str(), told[2].as_str()), ("0", "0"));
    assert_eq!((outcome.state, outcome.actions), (NewState::Unchanged, vec![]));
}

#[test]
fn too_much_is_refused() {
    let huge = entity_fn("Stock", |ctx: EntityContext<String>| async move {
        ctx.set_state("x".repeat(16 * 1024 * 1024))?;
        Ok::<_, Error>(())
    });
    let worker = Registry::new().register(huge).build().unwrap();
    let outcome = run(&worker, None, &[("fill", None)]);
    let expected = "PayloadTooLarge: the state after it has 16777218 bytes: the limit is 16777216";
    assert_eq!((told(&outcome), outcome.state), (vec![expected.to_owned()], NewState::Unchanged));
}

#[test]
fn a_batch_that_gets_large_is_cut() {
    fn large() -> String {
        "x".repeat((2 << 20) + 1)
    }
    let large = entity_fn("Stock", |ctx: EntityContext<u32>| async move {
        let n = ctx.state()? + 1;
        ctx.set_state(n)?;
        ctx.signal(Stock::id("total")).add(n)?;
        match ctx.operation() {
            "send" => ctx.signal(EntityId::named("Other", "k")).send("keep", large())?,
            "fail" => return Err(Error::msg(large())),
            _ => return Ok(large()),
        }
        Ok(String::new())
    });
    let worker = Registry::new().register(large).build().unwrap();
    for (name, signals) in [("tell", 2), ("send", 4), ("fail", 0)] {
        let outcome = run(&worker, None, &[(name, None); 5]);
        assert_eq!(outcome.results.len(), 2, "{name}");
        assert_eq!(outcome.actions.len(), signals, "{name}");
        let state = if name == "fail" { NewState::Unchanged } else { set("2") };
        assert_eq!(outcome.state, state, "{name}");
    }
}

#[test]
fn a_large_state_does_not_make_batches_of_one() {
    let large = entity_fn("Stock", |ctx: EntityContext<String>| async move {
        ctx.set_state(ctx.state()? + "x")?;
        Ok::<_, Error>(1)
    });
    let worker = Registry::new().register(large).build().unwrap();
    let state = format!("\"{}\"", "x".repeat(6 << 20));
    assert_eq!(run(&worker, Some(&state), &[("grow", None); 5]).results.len(), 5);
}

#[test]
fn signals_in_time_and_to_anyone() {
    let time = Timestamp { seconds: 9, nanos: 0 };
    let sender = entity_fn("Stock", move |ctx: EntityContext<()>| async move {
        ctx.signal_at(EntityId::named("Other", "k@1"), time).send("Poke", ())?;
        ctx.signal(Stock::id("b")).left()?;
        ctx.start_at(REORDER, String::new(), time)?;
        let refused = [
            ctx.signal(Stock::id("b\n")).left().unwrap_err(),
            ctx.signal(EntityId::named("a@b", "k")).send("x", 1).unwrap_err(),
            ctx.start(REORDER.tag("a", "b"), String::new()).unwrap_err(),
            ctx.start(REORDER.instance_id("@a@b"), String::new()).unwrap_err(),
        ];
        Ok::<_, Error>(refused.map(|error| error.to_string()))
    });
    let worker = Registry::new().register(sender).build().unwrap();
    let outcome = run(&worker, None, &[("go", None)]);
    let refused: Vec<String> = serde_json::from_str(&told(&outcome)[0]).unwrap();
    assert!(refused[0].contains("'\\n'") && refused[1].contains("holds '@'"), "{refused:?}");
    assert!(
        refused[2].contains("no retry policy and no tags") && refused[3].contains("belong to entities"),
        "{refused:?}"
    );
    let signal = |target: &str, operation: &str, input: Option<&str>, scheduled_time| EntityAction::Signal {
        target: target.into(),
        operation: operation.into(),
        input: input.map(str::to_owned),
        scheduled_time,
        trace: None,
    };
    let [poke, left, EntityAction::Start { instance_id, scheduled_start, .. }] = &outcome.actions[..] else {
        panic!("{:?}", outcome.actions)
    };
    assert_eq!(*poke, signal("@other@k@1", "Poke", Some("null"), Some(time)));
    assert_eq!(*left, signal("@stock@b", "left", None, None));
    assert_eq!((instance_id.len(), *scheduled_start), (32, Some(time)));
}

#[test]
fn impossible_names_fail_the_operation() {
    let sender = entity_fn("Stock", |ctx: EntityContext<String>| async move {
        let (of, name) = ctx.input::<(String, String)>()?;
        ctx.signal(Stock::id("total")).add(1)?;
        match of.as_str() {
            "signal" => ctx.signal(Stock::id("b").untyped()).send(&name, ())?,
            _ => drop(ctx.start(strandline::Call::<strandline::AnOrchestration, (), ()>::named(name), ())?),
        }
        Ok::<_, Error>(())
    });
    let worker = Registry::new().register(sender).build().unwrap();
    let send = |of: &str, name: &str| {
        let input = serde_json::to_string(&(of, name)).unwrap();
        let outcome = run(&worker, None, &[("go", Some(&input))]);
        (told(&outcome).remove(0), outcome.actions.len())
    };
    let long = "x".repeat(257);
    let operation = "InvalidRequest: entity '@stock@b': the name of an operation has 1 to 256 bytes, not ";
    let orchestrator = "InvalidRequest: the name of an orchestrator has 1 to 256 bytes, not ";
    for (of, text) in [("signal", operation), ("start", orchestrator)] {
        assert_eq!(send(of, ""), (format!("{text}0"), 0));
        assert_eq!(send(of, &long), (format!("{text}257"), 0));
        assert_eq!(send(of, &long[1..]), ("null".to_owned(), 2));
    }
}

#[test]
fn a_context_is_of_no_use_after_its_operation() {
    let kept = Arc::new(std::sync::Mutex::new(Vec::<EntityContext<u32>>::new()));
    let keeps = kept.clone();
    let leaks = entity_fn("Stock", move |ctx: EntityContext<u32>| {
        keeps.lock().unwrap().push(ctx.clone());
        async move { ctx.set_state(7) }
    });
    let worker = Registry::new().register(leaks).build().unwrap();
    let outcome = run(&worker, None, &[("delete", None)]);
    assert_eq!(outcome.state, set("7"));
    let ctx = kept.lock().unwrap().pop().unwrap();
    let errors = [
        ctx.state().unwrap_err(),
        ctx.set_state(8).unwrap_err(),
        ctx.signal(Stock::id("b")).left().unwrap_err(),
        ctx.start(REORDER, String::new()).unwrap_err(),
        ctx.otherwise::<()>().unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.error_type(), "InvalidRequest");
        assert!(error.message().starts_with("the operation is over"), "{error}");
    }
    ctx.delete();
    assert!(!ctx.has_state());
    assert_eq!((ctx.key(), ctx.operation(), ctx.input::<()>().unwrap()), ("a", "delete", ()));
}

#[test]
fn a_name_nobody_serves() {
    let worker = Registry::new().build().unwrap();
    let outcome = run(&worker, Some("1"), &[("a", None), ("b", None)]);
    assert_eq!(told(&outcome), ["EntityTaskNotFound: this worker has no entity named 'stock'"; 2]);
    assert_eq!(outcome.state, NewState::Unchanged);
}

#[test]
fn methods_can_be_called_directly() {
    let mut stock = Stock::default();
    stock.add(5);
    assert_eq!(stock.left(), 5);
    assert_eq!(Stock::id("a").to_string(), "@stock@a");
    assert_eq!(stock_fn::id("a").untyped(), EntityId::named("STOCK", "a"));
}

#[derive(Clone, Default, PartialEq, Debug, Serialize, Deserialize)]
struct Pair {
    one: [u8; 2],
}

impl Pair {
    const SIZE: usize = 2;
}

#[entity(name = "Stock")]
impl Pair {
    #[cfg(any())]
    pub fn never(&mut self, factor: State<Missing>, n: AlsoMissing) {}

    pub fn swap(&mut self, with: Self) -> Self {
        std::mem::replace(self, with)
    }

    #[cfg(test)]
    pub fn either(&self) -> u8 {
        1
    }

    #[cfg(not(test))]
    pub fn either(&self) -> Missing {
        Missing
    }

    pub fn all(&self, mut more: Vec<Option<Self>>) -> Result<(Self, Vec<Option<Self>>)> {
        more.push(None);
        Ok((self.clone(), more))
    }

    pub fn bytes(&self, add: [u8; Self::SIZE]) -> [u8; Self::SIZE] {
        [self.one[0] + add[0], self.one[1] + add[1]]
    }
}

/// The types in signatures are those of the proxy, too.
#[allow(dead_code)]
async fn calls(ctx: OrchestrationContext) -> Result<[u8; 2]> {
    let pair = ctx.entity(Pair::id("a"));
    let before: Pair = pair.swap(Pair { one: [1, 2] }).await?;
    let (_now, _more): (Pair, Vec<Option<Pair>>) = pair.all(vec![Some(before)]).await?;
    let _one: u8 = pair.either().await?;
    pair.bytes([1, 1]).await
}

#[test]
fn the_own_type_and_conditions_in_signatures() {
    let worker = Registry::new().register(Pair).build().unwrap();
    let operations =
        [("never", None), ("swap", Some(r#"{"one":[1,2]}"#)), ("either", None), ("bytes", Some("[1,1]"))];
    let outcome = run(&worker, None, &operations);
    let told = told(&outcome);
    assert!(told[0].starts_with("OperationNotFound: "), "{told:?}");
    assert_eq!(told[1..], [r#"{"one":[0,0]}"#, "1", "[2,3]"]);
    let all = run(&worker, None, &[("all", Some(r#"[{"one":[1,2]}]"#))]);
    assert_eq!(self::told(&all), [r#"[{"one":[0,0]},[{"one":[1,2]},null]]"#]);
}

#[test]
fn names_of_entities() {
    let worker = Registry::new().register(Stock).state(1u32).build().unwrap();
    assert_eq!(worker.entities(), ["stock"]);
    let nameless = entity_fn("a@b", |_ctx: EntityContext<()>| async { Ok::<_, Error>(()) });
    let error = Registry::new().register((Stock, stock_fn, nameless)).build().unwrap_err();
    let expected = [
        "entity 'stock' is registered twice (names ignore ASCII case)",
        "entity 'a@b': a name has no '@'",
        "entity 'Stock' needs state `u32`: give it with `.state(..)`",
        "entity 'stock' needs state `u32`: give it with `.state(..)`",
    ];
    assert_eq!(error.message(), expected.join("; "));
}
