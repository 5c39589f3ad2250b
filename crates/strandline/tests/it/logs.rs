//! Log lines of orchestrators appear once.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use strandline::prelude::*;
use tracing_subscriber::fmt::MakeWriter;

use crate::engine::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        tracing::info!("dropped");
    }
}

#[activity]
async fn step(n: u8) -> Result<u8> {
    tracing::info!("activity {n}");
    Ok(n)
}

#[orchestrator]
async fn talk(ctx: OrchestrationContext) -> Result<()> {
    let _loud = Loud;
    for n in 0..3 {
        tracing::info!("before {n}");
        ctx.call(step, n).await?;
    }
    tracing::info!("end");
    Ok(())
}

#[test]
fn each_line_appears_once() {
    for rebuild in [true, false] {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut engine = Engine::new(Registry::new().register((talk, step)), talk, ());
            engine.rebuild = rebuild;
            assert_eq!(engine.run().output(), "null");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let expected =
            ["before 0", "activity 0", "before 1", "activity 1", "before 2", "activity 2", "end", "dropped"];
        assert_eq!(lines, expected, "rebuild: {rebuild}");
    }
}
