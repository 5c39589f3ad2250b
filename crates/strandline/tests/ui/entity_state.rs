//! The state has a default and is written as JSON.

use strandline::prelude::*;

struct Stock {
    left: u32,
}

#[entity]
impl Stock {
    pub fn left(&self) -> u32 {
        self.left
    }
}

fn main() {}
