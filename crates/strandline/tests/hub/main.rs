//! The SDK on a real hub: what a program sees of orchestrations, clients and activities.

mod activities;
mod bad_input;
mod children;
mod control;
mod entities;
mod entity_queries;
mod events;
mod isolation;
mod lifecycle;
mod maintenance;
mod queries;
mod restart;
mod rewind;
mod starts;
mod support;
mod timers;
mod versions;
