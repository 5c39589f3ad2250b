//! Orchestrators, activities and entities through the worker's interface; the tests play the engine.

mod activities;
mod calls;
mod critical_sections;
mod engine;
mod entities;
mod errors;
mod keeping;
mod logs;
mod registering;
mod waiting;
