//! Times: as people write them, and as they are shown.

use std::time::Duration;

use clap::ValueEnum;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

/// How tables show times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeStyle {
    Utc,
    Local,
    Relative,
}

impl TimeStyle {
    pub(super) fn show(self, time: Timestamp) -> String {
        match self {
            Self::Utc => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            Self::Local => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            Self::Relative => {
                let since = Timestamp::now().duration_since(time);
                match since.is_negative() {
                    true => format!("in {}", coarse(since.unsigned_abs())),
                    false => format!("{} ago", coarse(since.unsigned_abs())),
                }
            }
        }
    }

    fn zone(self) -> TimeZone {
        match self {
            Self::Utc => TimeZone::UTC,
            Self::Local | Self::Relative => TimeZone::system(),
        }
    }
}

/// A duration in its largest unit or two: `3d4h`, `12m`, `8.2s`.
pub(super) fn coarse(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small}{smaller}"),
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..10 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86400, "d", seconds % 86400 / 3600, "h"),
    }
}

/// A moment as somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum When {
    Instant(Timestamp),
    /// Before now.
    Ago(SignedDuration),
    /// In the time zone of the output.
    Civil(DateTime),
}

impl When {
    pub(super) fn resolve(self, style: TimeStyle) -> Timestamp {
        match self {
            Self::Instant(time) => time,
            Self::Ago(duration) => Timestamp::now().saturating_sub(duration).unwrap_or(Timestamp::MIN),
            Self::Civil(time) => {
                time.to_zoned(style.zone()).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
            }
        }
    }
}

/// Reads a moment: RFC 3339, a date, a date with a time, `1h`, `1h ago`.
pub(super) fn when(text: &str) -> Result<When, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(When::Ago(SignedDuration::ZERO));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(When::Instant(time));
    }
    // A date's parser also takes a date with a time, and forgets the time.
    if text.len() == "2026-11-20".len()
        && let Ok(date) = text.parse::<Date>()
    {
        return Ok(When::Civil(date.to_datetime(jiff::civil::Time::midnight())));
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return Ok(When::Civil(time));
    }
    if let Ok(ago) = duration(text.strip_suffix("ago").unwrap_or(text)) {
        return Ok(When::Ago(SignedDuration::try_from(ago).unwrap_or(SignedDuration::MAX)));
    }
    Err("give a time like 2026-11-20, 2026-11-20T08:00:00Z or '1h ago'".to_owned())
}

/// Reads a duration: `90s`, `5m`, `1h30m`, `30d`. A day has 24 hours.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a duration like 30s, 5m, 1h30m or 30d".to_owned();
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

/// A moment some time from now.
pub(super) fn after(duration: Duration) -> Timestamp {
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    Timestamp::now().saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// A moment some time ago.
pub(super) fn before(duration: Duration) -> Timestamp {
    When::Ago(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)).resolve(TimeStyle::Utc)
}

pub(super) fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    // Both parts have one sign; a message's nanoseconds count upwards.
    let nanos = time.as_nanosecond();
    prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
    }
}

/// `None` for what no calendar has.
pub(super) fn from_wire(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86400)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "5", "abc", "-5m", "1mo"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let instant = when("2026-11-20T08:00:00+02:00").unwrap();
        assert_eq!(instant, When::Instant("2026-11-20T06:00:00Z".parse().unwrap()));
        let utc = |text| when(text).unwrap().resolve(TimeStyle::Utc).to_string();
        assert_eq!(utc("2026-11-20"), "2026-11-20T00:00:00Z");
        assert_eq!(utc("2026-11-20 08:15"), "2026-11-20T08:15:00Z");
        assert_eq!(when("1h ago"), Ok(When::Ago(SignedDuration::from_hours(1))));
        assert_eq!(when("2d"), Ok(When::Ago(SignedDuration::from_hours(48))));
        for wrong in ["yesterday", "2026-13-01", "", "ago", "12"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_show_what_matters() {
        let shown = |ms| coarse(Duration::from_millis(ms));
        assert_eq!(shown(12), "12ms");
        assert_eq!(shown(8_270), "8.2s");
        assert_eq!(shown(59_999), "59s");
        assert_eq!(shown(60_000), "1m");
        assert_eq!(shown(3_725_000), "1h2m");
        assert_eq!(shown(273_600_000), "3d4h");
    }

    #[test]
    fn times_before_1970_have_nanoseconds_that_count_upwards() {
        let time: Timestamp = "1969-12-31T23:59:58.25Z".parse().unwrap();
        assert_eq!(to_wire(time), prost_types::Timestamp { seconds: -2, nanos: 250_000_000 });
        assert_eq!(from_wire(Some(to_wire(time))), Some(time));
    }
}
