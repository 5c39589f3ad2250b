//! The configuration of a server: how it is said, what is wrong with it, and that it takes effect.

mod bounds;
mod bounds_of;
mod check;
mod import;
mod place;
mod serve;
mod show;
