//! The story of a run. Off unless a failing seed is run again, because telling costs more than running.

use std::collections::VecDeque;

/// Bytes of a line.
const LINE: usize = 1_000;
/// Lines kept.
const TAIL: usize = 400;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    on: bool,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(on: bool) -> Self {
        Self { on, lines: VecDeque::new() }
    }

    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.on {
            if self.lines.len() == TAIL {
                self.lines.pop_front();
            }
            let mut line = line();
            if line.len() > LINE {
                let end = (0..=LINE).rev().find(|i| line.is_char_boundary(*i)).unwrap_or(0);
                line.truncate(end);
                line.push('…');
            }
            self.lines.push_back(line);
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
