//! What the tests share.

use std::panic::{AssertUnwindSafe, catch_unwind};

use strandline::testing::TestRun;

/// The text of the panic that `f` ends with.
pub(crate) fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| payload.downcast_ref::<&str>().copied().expect("a panic with a text").to_owned())
}

#[track_caller]
pub(crate) fn mentions(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

/// The names of the events in a history, without the marks of turns.
pub(crate) fn names<O>(run: &TestRun<O>) -> Vec<&'static str> {
    let history = run.history();
    let names = history.events().iter().map(|event| event.kind().name());
    names.filter(|name| !name.starts_with("Orchestrator")).collect()
}
