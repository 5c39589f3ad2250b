//! How clients ask for pages.

use tonic::Status;

use strandline_hub::query::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};

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
    fn sizes_are_bounded() {
        assert_eq!(size(0, "f").unwrap(), PAGE_SIZE_DEFAULT);
        assert_eq!(size(7, "f").unwrap(), 7);
        assert_eq!(size(i32::MAX, "f").unwrap(), PAGE_SIZE_MAX);
        assert_eq!(size(-1, "f").unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
