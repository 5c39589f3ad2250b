//! Bodies of requests, within limits.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};

use crate::settings::Limits;

/// Why a body is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body has more than {0} bytes: the limit is limits.body_bytes_max")]
    TooLarge(usize),
    #[error("the body is compressed ({0}): send it without Content-Encoding")]
    Compressed(String),
    #[error("the body did not arrive within {0:?}")]
    TooSlow(std::time::Duration),
    #[error("the body broke off")]
    Broken,
    #[error("the body is not UTF-8 text")]
    NotText,
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    #[error("the body's JSON is nested deeper than {0} levels")]
    TooDeep(usize),
}

impl BodyError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Compressed(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::NotText | Self::NotJson(_) | Self::TooDeep(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body. One that says it is too large is refused before it is read.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes, BodyError> {
    let encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut encodings = encodings.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(encoding) = encodings.find(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return Err(BodyError::Compressed(encoding.chars().take(100).collect()));
    }
    let max = limits.body_bytes_max;
    let said = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|bytes| bytes > max as u64) {
        return Err(BodyError::TooLarge(max));
    }
    let reading = async {
        let (mut stream, mut read) = (body.into_data_stream(), Vec::new());
        while let Some(part) = stream.next().await {
            let part = part.map_err(|_| BodyError::Broken)?;
            if read.len() + part.len() > max {
                return Err(BodyError::TooLarge(max));
            }
            read.extend_from_slice(&part);
        }
        Ok(Bytes::from(read))
    };
    match tokio::time::timeout(limits.body_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(BodyError::TooSlow(limits.body_timeout)),
    }
}

/// The body as JSON text, byte for byte as it came; `None` if it is empty.
pub(crate) fn json(body: &Bytes, limits: &Limits) -> Result<Option<String>, BodyError> {
    let text = std::str::from_utf8(body).map_err(|_| BodyError::NotText)?;
    // Other white space is none in JSON.
    if text.trim_matches([' ', '\t', '\n', '\r']).is_empty() {
        return Ok(None);
    }
    if depth(text) > limits.json_depth_max {
        return Err(BodyError::TooDeep(limits.json_depth_max));
    }
    match serde_json::from_str::<&serde_json::value::RawValue>(text) {
        Ok(_) => Ok(Some(text.to_owned())),
        Err(error) => Err(BodyError::NotJson(error.to_string())),
    }
}

/// How deep brackets are nested, whatever else the text is.
fn depth(text: &str) -> usize {
    let (mut now, mut most, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn json_stays_as_it_came() {
        let limits = Limits::default();
        let read = |text: &str| json(&Bytes::copy_from_slice(text.as_bytes()), &limits);
        assert_eq!(read(" {\"b\": 1.0, \"a\":[]} \n"), Ok(Some(" {\"b\": 1.0, \"a\":[]} \n".to_owned())));
        assert_eq!(read(" \t\r\n"), Ok(None));
        assert!(matches!(read("\u{a0}"), Err(BodyError::NotJson(_))));
        assert!(matches!(read("{"), Err(BodyError::NotJson(_))));
        assert!(matches!(read("1 2"), Err(BodyError::NotJson(_))));
        assert!(matches!(json(&Bytes::from_static(b"\"\xff\""), &limits), Err(BodyError::NotText)));
    }

    #[test]
    fn nesting_is_bounded() {
        let limits = Limits::default();
        let nested = |depth: usize| Bytes::from("[".repeat(depth) + &"]".repeat(depth));
        assert!(json(&nested(128), &limits).is_ok());
        assert_eq!(json(&nested(129), &limits), Err(BodyError::TooDeep(128)));
        assert_eq!(json(&nested(1_000_000), &limits), Err(BodyError::TooDeep(128)));
        assert!(json(&Bytes::from(format!("\"{}\"", "[".repeat(1000))), &limits).is_ok());
    }

    /// A body of parts of 1000 bytes, and how many bytes of it were asked for.
    fn counted(parts: usize) -> (Body, Arc<AtomicUsize>) {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = taken.clone();
        let parts = futures::stream::iter(0..parts).map(move |_| {
            count.fetch_add(1000, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 1000]))
        });
        (Body::from_stream(parts), taken)
    }

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_read() {
        let limits = Limits { body_bytes_max: 10_000, ..Limits::default() };
        let (body, taken) = counted(10);
        assert_eq!(read(&HeaderMap::new(), body, &limits).await.unwrap().len(), 10_000);
        assert_eq!(taken.load(Ordering::Relaxed), 10_000);
        // One that says it, and one that does not.
        let (body, taken) = counted(1_000_000);
        let said = headers(header::CONTENT_LENGTH, "1000000000");
        assert_eq!(read(&said, body, &limits).await, Err(BodyError::TooLarge(10_000)));
        assert_eq!(taken.load(Ordering::Relaxed), 0);
        let (body, taken) = counted(1_000_000);
        assert_eq!(read(&HeaderMap::new(), body, &limits).await, Err(BodyError::TooLarge(10_000)));
        assert!(taken.load(Ordering::Relaxed) <= 12_000, "{taken:?}");
    }

    #[tokio::test]
    async fn what_is_compressed_is_not_read() {
        for encoding in ["gzip", "br", "identity, gzip", "GZIP"] {
            let (body, taken) = counted(1);
            let outcome = read(&headers(header::CONTENT_ENCODING, encoding), body, &Limits::default()).await;
            assert_eq!(outcome.unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{encoding}");
            assert_eq!(taken.load(Ordering::Relaxed), 0);
        }
        let (body, _) = counted(1);
        assert!(read(&headers(header::CONTENT_ENCODING, "identity"), body, &Limits::default()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_arrives_is_given_up() {
        let limits = Limits::default();
        let pause = limits.body_timeout / 4;
        let trickle = futures::stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(b" ")), ()))
        });
        let began = tokio::time::Instant::now();
        let outcome = read(&HeaderMap::new(), Body::from_stream(trickle.take(100)), &limits).await;
        assert_eq!(outcome, Err(BodyError::TooSlow(limits.body_timeout)));
        assert_eq!(began.elapsed(), limits.body_timeout);
    }
}
