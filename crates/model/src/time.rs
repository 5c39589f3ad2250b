use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, UTC, to the nanosecond, from year 1 to year 9999 and beyond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01T00:00:00Z, rounded towards minus infinity.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    #[prost(uint32, tag = "2")]
    pub nanos: u32,
}

impl Timestamp {
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };
    /// 9999-12-31T23:59:59.999999999Z, the last moment the protocol can carry.
    pub const MAX: Self = Self { seconds: 253_402_300_799, nanos: 999_999_999 };

    pub fn from_millis(millis: i64) -> Self {
        Self { seconds: millis.div_euclid(1000), nanos: (millis.rem_euclid(1000) as u32) * 1_000_000 }
    }

    /// Nanoseconds since the epoch.
    pub fn from_nanos(nanos: i128) -> Self {
        let seconds = nanos.div_euclid(1_000_000_000);
        Self {
            seconds: i64::try_from(seconds).unwrap_or(if seconds < 0 { i64::MIN } else { i64::MAX }),
            nanos: nanos.rem_euclid(1_000_000_000) as u32,
        }
    }

    pub fn as_nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// Milliseconds since the epoch, rounded up: something due then is never early.
    pub fn as_millis_up(self) -> i64 {
        let millis = i64::from(self.nanos.div_ceil(1_000_000));
        self.seconds.saturating_mul(1000).saturating_add(millis)
    }

    /// `None` when the result lies after [`Timestamp::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos = self.nanos + duration.subsec_nanos();
        let carry = i64::from(nanos / 1_000_000_000);
        let seconds = i64::try_from(duration.as_secs()).ok()?;
        let seconds = self.seconds.checked_add(seconds)?.checked_add(carry)?;
        let sum = Self { seconds, nanos: nanos % 1_000_000_000 };
        (sum <= Self::MAX).then_some(sum)
    }

    /// Like [`Timestamp::checked_add`], stopping at [`Timestamp::MAX`].
    pub fn saturating_add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        let nanos = self.as_nanos() - earlier.as_nanos();
        if nanos <= 0 {
            return Duration::ZERO;
        }
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanos % 1_000_000_000) as u32)
    }

    /// Year, month, day of the proleptic Gregorian calendar (days-to-civil, Howard Hinnant).
    fn civil(self) -> (i64, u32, u32) {
        let z = self.seconds.div_euclid(86_400) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        (yoe + era * 400 + i64::from(month <= 2), month, day)
    }

    /// ISO 8601 with exactly `digits` (0 to 9) fractional digits, cut off, and `Z`.
    /// Seven digits is .NET's round-trip format "o".
    pub fn format(self, digits: usize) -> String {
        let (year, month, day) = self.civil();
        let second = self.seconds.rem_euclid(86_400);
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        let mut text = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
        if digits > 0 {
            text.push('.');
            text.push_str(&format!("{:09}", self.nanos)[..digits.min(9)]);
        }
        text.push('Z');
        text
    }
}

/// Why a text is not a timestamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time like 2026-01-31T12:00:00.5Z or 2026-01-31T12:00:00+01:00")]
pub struct InvalidTimestamp(String);

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    /// Reads ISO 8601 with seconds, up to nine fractional digits (more are cut off), and `Z` or an offset.
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or_else(|| InvalidTimestamp(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let mark = |at: usize, marks: &str| text.get(at..at + 1).is_some_and(|c| marks.contains(c));
    if !(mark(4, "-") && mark(7, "-") && mark(10, "Tt ") && mark(13, ":") && mark(16, ":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let rest = &text[19..];
    let fraction =
        rest.strip_prefix('.').map_or("", |r| &r[..r.bytes().take_while(u8::is_ascii_digit).count()]);
    let zone = &rest[if rest.starts_with('.') { 1 + fraction.len() } else { 0 }..];
    if rest.starts_with('.') && fraction.is_empty() {
        return None;
    }
    let nanos = format!("{fraction:0<9}")[..9].parse().ok()?;
    // Civil to days (Howard Hinnant); a day that does not exist comes back as another one.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let local = Timestamp { seconds: days * 86_400 + hour * 3600 + minute * 60 + second, nanos };
    if local.civil() != (year, month as u32, day as u32) {
        return None;
    }
    Some(Timestamp { seconds: local.seconds - offset(zone)?, ..local })
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':')?;
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// As ISO 8601 text with nine fractional digits.
impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.format(9))
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(7))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_like_dotnet_round_trip() {
        let t = Timestamp { seconds: 1_704_164_645, nanos: 123_456_789 };
        assert_eq!(t.to_string(), "2024-01-02T03:04:05.1234567Z");
        assert_eq!(Timestamp::MAX.format(0), "9999-12-31T23:59:59Z");
        assert_eq!(Timestamp::from_millis(-1).format(3), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn reads_what_it_writes_and_what_others_write() {
        for text in
            ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2000-02-29T12:30:45Z", "9999-12-31T23:59:59Z"]
        {
            assert_eq!(text.parse::<Timestamp>().unwrap().format(0), text);
        }
        let t = Timestamp { seconds: 1_704_164_645, nanos: 123_456_789 };
        assert_eq!("2024-01-02T03:04:05.123456789999Z".parse(), Ok(t));
        assert_eq!("2024-01-02T04:34:05.123456789+01:30".parse(), Ok(t));
        let json = serde_json::to_string(&t).unwrap();
        assert_eq!(json, "\"2024-01-02T03:04:05.123456789Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), t);
        for wrong in [
            "",
            "2024-01-02",
            "2024-13-02T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-02T24:00:00Z",
            "2024-01-02T00:00:00",
            "2024-01-02T00:00:00.Z",
            "2024-01-02T00:00:00+1",
            "2024-01-02T00:00:00ü",
            "２024-01-02T00:00:00Z",
            "+024-01-02T00:00:00Z",
        ] {
            assert!(wrong.parse::<Timestamp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn rounds_due_times_up() {
        let t = Timestamp { seconds: 1, nanos: 1 };
        assert_eq!(t.as_millis_up(), 1001);
        assert_eq!(Timestamp::from_millis(1001).as_millis_up(), 1001);
    }

    #[test]
    fn additions_stop_at_the_end_of_time() {
        assert_eq!(Timestamp::MAX.checked_add(Duration::from_nanos(1)), None);
        assert_eq!(Timestamp::EPOCH.checked_add(Duration::MAX), None);
        let half = Timestamp { seconds: 0, nanos: 600_000_000 };
        let sum = half.saturating_add(Duration::from_millis(600));
        assert_eq!(sum, Timestamp { seconds: 1, nanos: 200_000_000 });
    }
}
