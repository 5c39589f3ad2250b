//! Pages that fit into one message.

use prost::Message;
use tonic::Status;

use strandline_hub::query::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};

/// Bytes of entries after which a page is closed: most clients refuse messages over 4 MiB.
pub(super) const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// How many of these entries fit one page, the first whatever its size.
pub(super) fn fitting<M: Message>(entries: &[M]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&M| {
        bytes += entry.encoded_len();
        bytes <= PAGE_BYTES
    };
    entries.iter().take_while(fits).count().max(1)
}

/// The size of a page; 0 leaves it to the server.
pub(super) fn size(asked: i32, field: &str) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        // What does not fit one page follows on the next.
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Status::invalid_argument(format!("{field} is {asked}: give 0 or more"))),
    }
}

/// A token as clients pass it on: the empty one stands for none.
pub(super) fn token(token: &Option<String>) -> Option<&str> {
    token.as_deref().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_by_bytes_but_never_empty() {
        let entry = |bytes: usize| "x".repeat(bytes);
        assert_eq!(fitting(&[entry(10), entry(10)]), 2);
        assert_eq!(fitting(&[entry(PAGE_BYTES / 2), entry(PAGE_BYTES / 3), entry(PAGE_BYTES / 2)]), 2);
        assert_eq!(fitting(&[entry(PAGE_BYTES * 2), entry(1)]), 1);
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size(0, "f").unwrap(), PAGE_SIZE_DEFAULT);
        assert_eq!(size(7, "f").unwrap(), 7);
        assert_eq!(size(i32::MAX, "f").unwrap(), PAGE_SIZE_MAX);
        assert_eq!(size(-1, "f").unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
