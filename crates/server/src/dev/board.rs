//! What the terminal shows: lines that stay, and on a terminal one last line that changes.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Longest changing line: one that wraps could not be taken back.
const LINE_CHARS_MAX: usize = 78;

/// Cheap to clone; all clones write to the same terminal.
#[derive(Clone)]
pub(crate) struct Board {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    live: bool,
    /// By orchestration: steps done, and of how many if that is known.
    steps: BTreeMap<&'static str, (usize, Option<usize>)>,
    shown: bool,
    resting: bool,
}

impl Board {
    pub(crate) fn new() -> Self {
        let live = std::io::stdout().is_terminal();
        let inner = Inner { live, steps: BTreeMap::new(), shown: false, resting: false };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line that stays.
    pub(crate) fn say(&self, line: impl Display) {
        self.lock().say(&line.to_string());
    }

    /// Where an orchestration stands before it goes on.
    pub(crate) fn stands(&self, of: &'static str, done: usize, total: Option<usize>) {
        self.lock().steps.insert(of, (done, total));
    }

    /// How many steps an orchestration has turned out to have.
    pub(crate) fn total(&self, of: &'static str, total: usize) {
        self.lock().steps.entry(of).or_default().1 = Some(total);
    }

    /// One more step of an orchestration is done.
    pub(crate) fn step(&self, of: &'static str, what: impl Display) {
        let mut inner = self.lock();
        if inner.resting {
            inner.say(&format!("{of}: {what}"));
            return;
        }
        let steps = inner.steps.entry(of).or_default();
        steps.0 += 1;
        let (done, total) = *steps;
        if inner.live {
            inner.redraw();
        } else if worth_a_line(done, total) {
            inner.say(&format!("{of}: {} ({what})", progress(done, total)));
        }
    }

    /// Nothing moves any more: no changing line, so that a person can type.
    pub(crate) fn rest(&self) {
        let mut inner = self.lock();
        inner.steps.clear();
        inner.resting = true;
    }

    /// An orchestration is over: it leaves the changing line.
    pub(crate) fn over(&self, of: &'static str, line: impl Display) {
        let mut inner = self.lock();
        inner.steps.remove(of);
        inner.say(&format!("{of} {line}"));
    }
}

/// Of many steps only some are worth a line of their own.
fn worth_a_line(done: usize, total: Option<usize>) -> bool {
    total.is_none_or(|total| total <= 10 || done.is_multiple_of(total.div_ceil(4)))
}

fn progress(done: usize, total: Option<usize>) -> String {
    match total {
        // A step whose result was lost in a crash is done twice.
        Some(total) => format!("{} of {total} steps", done.min(total)),
        None => format!("{done} steps"),
    }
}

impl Inner {
    fn say(&mut self, line: &str) {
        let shown = std::mem::take(&mut self.shown);
        // Nobody may be reading any more; that stops nothing.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{}{line}", if shown { "\r\x1b[2K" } else { "" });
        drop(out);
        if self.live {
            self.redraw();
        }
    }

    fn redraw(&mut self) {
        let all: Vec<_> = self
            .steps
            .iter()
            // What has done its steps waits for something else.
            .filter(|(_, (done, total))| total.is_none_or(|total| *done < total))
            .map(|(of, (done, total))| {
                let total = total.map(|total| format!("/{total}")).unwrap_or_default();
                format!("{of} {done}{total}")
            })
            .collect();
        let line: String = all.join(" · ").chars().take(LINE_CHARS_MAX).collect();
        if line.is_empty() && !self.shown {
            return;
        }
        let mut out = std::io::stdout().lock();
        let _ = write!(out, "\r\x1b[2K{line}");
        let _ = out.flush();
        self.shown = !line.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_steps_get_a_line_each_and_many_get_four() {
        let lines = |total| (1..=total).filter(|done| worth_a_line(*done, Some(total))).count();
        assert_eq!(lines(5), 5);
        assert_eq!(lines(400), 4);
        assert!(worth_a_line(7, None));
    }

    #[test]
    fn counts_no_more_steps_than_there_are() {
        assert_eq!(progress(6, Some(5)), "5 of 5 steps");
        assert_eq!(progress(2, None), "2 steps");
    }
}
