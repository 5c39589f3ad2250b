//! The test hub, and histories in files, as users' tests use them.

mod activities;
mod determinism;
mod entities;
mod golden;
mod histories;
mod misuse;
mod patterns;
mod rewinding;
mod support;
mod texts;
