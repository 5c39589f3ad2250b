//! Times. What lies outside of years 1 to 9999, which other SDKs can't read, moves to the nearer end; so
//! these conversions have no errors.

use strandline_model::Timestamp;

use crate::{InvalidMessage, required};

/// 0001-01-01T00:00:00Z, the first moment the protocol can carry.
const MIN: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

pub fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    let Timestamp { seconds, nanos } = normal(time.seconds, i64::from(time.nanos));
    prost_types::Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or(0) }
}

pub fn from_wire(time: prost_types::Timestamp) -> Timestamp {
    normal(time.seconds, i64::from(time.nanos))
}

pub(crate) fn required_from_wire(
    time: Option<prost_types::Timestamp>,
    field: &'static str,
) -> Result<Timestamp, InvalidMessage> {
    required(time, field).map(from_wire)
}

/// Nanoseconds may be negative or more than a second.
fn normal(seconds: i64, nanos: i64) -> Timestamp {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Timestamp::from_nanos(total).clamp(MIN, Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_sdk_can_read_moves_to_the_nearer_end() {
        let wire = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        assert_eq!(from_wire(wire(i64::MAX, i32::MAX)), Timestamp::MAX);
        assert_eq!(from_wire(wire(i64::MIN, i32::MIN)), MIN);
        assert_eq!(MIN.format(0), "0001-01-01T00:00:00Z");
        assert_eq!(to_wire(Timestamp { seconds: i64::MAX, nanos: 0 }), to_wire(Timestamp::MAX));
    }

    #[test]
    fn nanoseconds_are_carried() {
        let wire = |seconds, nanos| prost_types::Timestamp { seconds, nanos };
        assert_eq!(from_wire(wire(5, -1)), Timestamp { seconds: 4, nanos: 999_999_999 });
        assert_eq!(from_wire(wire(5, 1_000_000_001)), Timestamp { seconds: 6, nanos: 1 });
    }
}
