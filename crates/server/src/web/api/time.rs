//! Times in requests and answers.

use serde::{Deserialize, Deserializer, Serialize, de};
use strandline_model::Timestamp;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A time as RFC 3339 has it: in answers in UTC and to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Time(pub(super) Timestamp);

/// The years that RFC 3339 can write.
const FIRST: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let time = Timestamp::deserialize(deserializer)?;
        if (FIRST..=Timestamp::MAX).contains(&time) {
            Ok(Self(time))
        } else {
            Err(de::Error::custom("the time is not in the years 1 to 9999 of UTC"))
        }
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime))).into()
    }
}

impl ToSchema for Time {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stay_in_years_that_can_be_written() {
        let read =
            |text: &str| serde_json::from_str::<Time>(&format!("{text:?}")).map(|time| time.0.format(0));
        assert_eq!(read("0001-01-01T00:00:00Z").unwrap(), "0001-01-01T00:00:00Z");
        assert!(read("0001-01-01T00:00:00+01:00").is_err());
        assert!(read("9999-12-31T23:59:59-01:00").is_err());
        assert_eq!(serde_json::to_string(&Time(FIRST)).unwrap(), "\"0001-01-01T00:00:00.000000000Z\"");
    }
}
