use std::fmt;
use std::time::Duration;

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
