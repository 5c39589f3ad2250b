//! Results of activities.

use strandline_model::FailureDetails;

use crate::{failure, wire};

/// Failure details that are there, even empty ones, mean that it failed.
pub fn from_wire(response: wire::ActivityResponse) -> Result<Option<String>, FailureDetails> {
    match response.failure_details {
        Some(failure) => Err(failure::from_wire(failure)),
        None => Ok(response.result),
    }
}

/// The rest of the response says whose result it is.
pub fn to_wire(result: Result<Option<String>, FailureDetails>) -> wire::ActivityResponse {
    match result {
        Ok(result) => wire::ActivityResponse { result, ..Default::default() },
        Err(error) => {
            wire::ActivityResponse { failure_details: Some(failure::to_wire(&error)), ..Default::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_empty_and_failed_are_three_results() {
        for result in [Ok(None), Ok(Some(String::new())), Err(FailureDetails::default())] {
            assert_eq!(from_wire(to_wire(result.clone())), result);
        }
    }
}
