//! The commands for a running server, as people and scripts use them.

mod asking;
mod fake;
mod help;
mod lists;
mod outcomes;
mod place;
mod refusals;
mod why;
mod worker;
