//! Follows an answer `202 Accepted` to its result.

use std::time::Duration;

use strandline_model::FailureDetails;
use strandline_replay::{Ended, FollowUp, Next};
use url::Url;

use super::error::{NO_LOCATION, refused};
use super::request::HttpRequest;
use super::response::HttpResponse;
use crate::error::Error;

const ACCEPTED: u16 = 202;
/// The pause where the answer does not say one. Whoever sends requests may be configured to say another.
pub(crate) const DEFAULT_PAUSE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: u64 = 1;
const LONGEST_PAUSE: u64 = 60 * 60;

/// What follows a request: retries as its options say, and another look after a `202`.
pub(crate) struct Polling;

impl FollowUp for Polling {
    fn next(&self, ended: &Ended<'_>) -> Next {
        let Some(request) = ended.input.and_then(|input| serde_json::from_str::<HttpRequest>(input).ok())
        else {
            return Next::Return;
        };
        let answer = match ended.result {
            Ok(answer) => answer,
            Err(_) => {
                return match &request.retry_options {
                    Some(options) => options.policy.inner.next(ended),
                    None => Next::Return,
                };
            }
        };
        // One that can't be read fails where the result is.
        let response = answer.and_then(|text| serde_json::from_str::<HttpResponse>(text).ok());
        match response {
            Some(response) if response.status_code == ACCEPTED && request.asynchronous_pattern_enabled => {
                match look_again(&request, &response) {
                    Ok((after, input)) => Next::Call { after, input: Some(input) },
                    Err(failure) => Next::Fail(failure),
                }
            }
            _ => Next::Return,
        }
    }
}

fn look_again(request: &HttpRequest, response: &HttpResponse) -> Result<(Duration, String), FailureDetails> {
    let Some(location) = response.header("Location") else {
        let text = "The given key 'Location' was not present in the dictionary: \
                    the answer 202 does not say where its result will be";
        return Err(FailureDetails::new(NO_LOCATION, text));
    };
    let (location, same_origin) = locate(request, location).map_err(Error::into_failure)?;
    let next = request.poll_at(location.into(), same_origin);
    let input = serde_json::to_string(&next)
        .map_err(|error| Error::new("SerializationError", error).non_retriable().into_failure())?;
    Ok((pause(response), input))
}

/// Where the result will be, and whether that is where the request went.
fn locate(request: &HttpRequest, location: &str) -> Result<(Url, bool), Error> {
    let asked =
        Url::parse(&request.uri).map_err(|error| refused(format_args!("the request's URL: {error}")))?;
    let location = asked
        .join(location)
        .map_err(|error| refused(format_args!("the Location of an answer 202 is no URL: {error}")))?;
    let same_origin = location.origin() == asked.origin();
    let allowed = |origin: &String| Url::parse(origin).is_ok_and(|url| url.origin() == location.origin());
    if same_origin || request.location_origins.iter().any(allowed) {
        return Ok((location, same_origin));
    }
    Err(refused(format_args!(
        "the Location of an answer 202 leads from {} to {}: allow it with HttpRequest::location_origin",
        asked.origin().ascii_serialization(),
        location.origin().ascii_serialization(),
    )))
}

fn pause(response: &HttpResponse) -> Duration {
    let seconds = response.header("Retry-After").and_then(seconds_of);
    seconds.map_or(DEFAULT_PAUSE, |seconds| Duration::from_secs(seconds.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)))
}

/// The seconds that a `Retry-After` says, if they can be read.
pub(super) fn seconds_of(retry_after: &str) -> Option<u64> {
    let text = retry_after.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than a number has are a long time.
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_as_long_as_the_answer_says_within_bounds() {
        let cases =
            [("2", 2), ("0", 1), ("7200", 3600), ("99999999999999999999999", 3600), ("soon", 30), ("-1", 30)];
        for (text, seconds) in cases {
            let response = HttpResponse::new(202).with_header("retry-after", text);
            assert_eq!(pause(&response), Duration::from_secs(seconds), "{text}");
        }
        assert_eq!(pause(&HttpResponse::new(202)), DEFAULT_PAUSE);
    }

    #[test]
    fn stays_at_the_origin_unless_told() {
        let request = HttpRequest::get("https://a.example:8443/jobs/?x=1");
        let at = |request: &HttpRequest, location: &str| {
            locate(request, location).map(|(url, same)| (url.to_string(), same)).map_err(|e| e.to_string())
        };
        assert_eq!(at(&request, "7"), Ok(("https://a.example:8443/jobs/7".to_owned(), true)));
        assert_eq!(at(&request, "/s?y"), Ok(("https://a.example:8443/s?y".to_owned(), true)));
        let elsewhere = [
            "https://a.example/s",
            "http://a.example:8443/s",
            "//b.example/",
            "https://A.example:8443@b.example/",
        ];
        for location in elsewhere {
            assert!(at(&request, location).unwrap_err().contains("location_origin"), "{location}");
        }
        let wider = request.location_origin("https://b.example");
        assert_eq!(at(&wider, "https://b.example/s"), Ok(("https://b.example/s".to_owned(), false)));
        assert!(at(&wider, "http://b.example/s").is_err());
    }
}
