//! Lengths of time as .NET writes them: `[d.]hh:mm:ss[.fffffff]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

const TICKS_PER_SECOND: u64 = 10_000_000;
/// What .NET writes for "no limit".
const MAX_TICKS: u64 = i64::MAX as u64;

/// The text of a length; longer ones than .NET knows become its longest.
pub(crate) fn to_text(length: Duration) -> String {
    let ticks = length.as_nanos().div_ceil(100).min(u128::from(MAX_TICKS)) as u64;
    let (seconds, fraction) = (ticks / TICKS_PER_SECOND, ticks % TICKS_PER_SECOND);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let days = if days == 0 { String::new() } else { format!("{days}.") };
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:07}") };
    format!("{days}{hours:02}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

fn from_text(text: &str) -> Option<Duration> {
    let mut parts = text.split(':');
    let (first, minutes, last) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (days, hours) = match first.split_once('.') {
        Some((days, hours)) => (number(days, u32::MAX.into())?, hours),
        None => (0, first),
    };
    let (seconds, fraction) = last.split_once('.').unwrap_or((last, "0"));
    if fraction.len() > 9 {
        return None;
    }
    let nanos = number(fraction, 999_999_999)? * 10u64.pow(9 - fraction.len() as u32);
    let seconds =
        days * 86_400 + number(hours, 23)? * 3600 + number(minutes, 59)? * 60 + number(seconds, 59)?;
    Some(Duration::new(seconds, nanos as u32))
}

fn number(text: &str, max: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number <= max)
}

pub(crate) fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(*length))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    from_text(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no length of time like 00:01:30")))
}

/// For fields that may be `null`.
pub(crate) mod optional {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        length: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => super::serialize(length, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Length(#[serde(with = "super")] Duration);
        Ok(Option::<Length>::deserialize(deserializer)?.map(|Length(length)| length))
    }
}

/// For fields in which .NET writes its longest length for "no limit".
pub(crate) mod unlimited {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(
        length: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::serialize(&length.unwrap_or(Duration::MAX), serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let length = optional::deserialize(deserializer)?;
        Ok(length.filter(|length| length.as_nanos() / 100 < u128::from(MAX_TICKS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["00:00:00", "00:00:05", "23:59:59.5000000", "6.00:00:00", "10675199.02:48:05.4775807"] {
            assert_eq!(to_text(from_text(text).unwrap()), text);
        }
        assert_eq!(to_text(Duration::MAX), "10675199.02:48:05.4775807");
        assert_eq!(from_text("00:00:00.25"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "5", "00:60:00", "24:00:00", "-00:00:01", "00:00:+1", "1:2:3:4", "00:00:00."] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
