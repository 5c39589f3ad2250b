//! The embedded store: one shared commit log and flushed tables.
//!
//! A data directory belongs to one process and holds the store of all its hubs:
//!
//! | file | |
//! |---|---|
//! | `LOCK` | locked while a process has the store open; holds its process id |
//! | `format` | marks the directory, with the version of its format and its identity |
//! | `log-00000001` … | the log, in segments: batches of all partitions in the order of their commits, and what became of hubs |
//! | `tables.redb` | the tables, which lag behind the log, and how far they are |
//!
//! A batch is durable when the frames that hold it are synced in the log. Tables are written later, many
//! batches at a time, in one transaction with the position of each partition that they reflect; a segment
//! is used again when the tables have passed everything in it.
//!
//! When a store is opened, the log is read once. What was never finished at its end is cut off; anything
//! else that cannot be read is corruption, and the store refuses to open without having changed
//! anything. To tell the two apart every frame, a trailer written when the store is idle, and the tables
//! say up to which frame the log was known durable.

mod backend;
mod background;
mod error;
mod format;
mod frame;
mod fs_disk;
mod hubs;
mod index;
mod keys;
mod ledger;
mod list;
mod lock;
mod log;
mod migrate;
mod options;
mod recover;
mod scan;
mod schema;
mod segment;
mod store;
mod tables;
mod window;

pub use fs_disk::FsDisk;
pub use options::{FRAME_BYTES_MAX, LocalOptions, Sabotage};
pub use store::LocalStore;
