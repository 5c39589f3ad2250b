use std::io;

use strandline_store::StoreError;

/// Turns an I/O error into the store's, saying what was being done.
pub(crate) fn io_error(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { what: what(), source }
}

/// Whether an error means that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
