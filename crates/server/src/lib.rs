//! The parts of the `strandline` program that do not depend on its command line.
//!
//! [`keys`] are what callers are known by, [`access`] decides by them who may do what;
//! [`exit`] is how commands end.

pub mod access;
pub mod exit;
pub mod keys;
