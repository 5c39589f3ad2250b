//! Orchestrators and activities through the worker's interface; the tests play the engine.

mod activities;
mod calls;
mod engine;
mod errors;
mod keeping;
mod logs;
mod registering;
mod waiting;
