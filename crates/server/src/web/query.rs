//! The query of a URL as Durable Functions reads it: names in any case, blank values as if not given,
//! repeated parameters joined by commas.

use std::collections::BTreeSet;

use http::Uri;
use jiff::civil::{Date, DateTime};
use strandline_model::{RuntimeStatus, Timestamp};
use url::form_urlencoded;

/// Forms of a date with a time that .NET reads in the invariant culture and in that of the United States; of a
/// date alone.
const TIMES: [&str; 9] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%m/%d/%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%a, %d %b %Y %H:%M:%S",
];
const DATES: [&str; 2] = ["%Y-%m-%d", "%m/%d/%Y"];
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// All values of a parameter that are not blank.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).filter(|value| !value.trim().is_empty())
    }

    /// The parameter is there, with a value or without, and does not say `false`.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut named = self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.any(|(_, value)| !value.trim().eq_ignore_ascii_case("false"))
    }

    /// A parameter's value.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.all(name).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// A parameter that says `true` or `false`, in any case; anything else is as if not given.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        let says = |word: &str| text.trim().eq_ignore_ascii_case(word);
        says("true").then_some(true).or_else(|| says("false").then_some(false))
    }

    /// A whole number; anything else is as if not given.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.text(name)?.trim().parse().ok()
    }

    /// A number; anything else is as if not given.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A moment as .NET reads it, in UTC unless it says otherwise; anything else is as if not given.
    pub(crate) fn time(&self, name: &str) -> Option<Timestamp> {
        time(self.text(name)?.trim())
    }

    /// Those of the statuses listed that can be read: by name, case counting, or by number. `None` if the
    /// parameter is not given.
    pub(crate) fn statuses(&self, name: &str) -> Option<BTreeSet<RuntimeStatus>> {
        let text = self.text(name)?;
        let status = |text: &str| {
            let number = text.parse::<i32>().ok();
            let mut all = (0..8).filter_map(|number| RuntimeStatus::try_from(number).ok());
            all.find(|status| status.name() == text || number == Some(*status as i32))
        };
        Some(text.split(',').filter_map(|text| status(text.trim())).collect())
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let (local, east) = without_zone(text)?;
    let time = TIMES.iter().find_map(|form| DateTime::strptime(form, local).ok());
    let date = || DATES.iter().find_map(|form| Date::strptime(form, local).ok()).map(Date::into);
    let time: DateTime = time.or_else(date)?;
    let since = time.duration_since(EPOCH).as_nanos() - i128::from(east) * 1_000_000_000;
    Some(Timestamp::from_nanos(since)).filter(|time| *time <= Timestamp::MAX)
}

/// A moment without its zone at the end, and how many seconds that lies east of UTC.
fn without_zone(text: &str) -> Option<(&str, i64)> {
    for utc in ["Z", "z", " GMT"] {
        if let Some(rest) = text.strip_suffix(utc) {
            return Some((rest.trim_end(), 0));
        }
    }
    // A date has dashes, too; only what follows a time is a zone.
    let Some(colon) = text.find(':') else { return Some((text, 0)) };
    let Some(at) = text.rfind(['+', '-']).filter(|at| *at > colon) else { return Some((text, 0)) };
    let (rest, zone) = text.split_at_checked(at)?;
    let (sign, zone) = if let Some(zone) = zone.strip_prefix('+') { (1, zone) } else { (-1, zone.get(1..)?) };
    let (hours, minutes) = match zone.split_once(':') {
        Some(parts) => parts,
        None => zone.split_at_checked(2)?,
    };
    let number = |text: &str, max: i64| {
        let digits = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i64>().ok())?.filter(|number| *number <= max)
    };
    let minutes = if minutes.is_empty() { 0 } else { number(minutes, 59)? };
    Some((rest.trim_end(), sign * (number(hours, 14)? * 3600 + minutes * 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_durable_functions_does() {
        let query = Query::of(&"/x?TASKHUB=a%20b&flag=TRUE&none=&s=1&S=2+3&odd=yes".parse().unwrap());
        assert_eq!(query.text("taskHub").as_deref(), Some("a b"));
        assert_eq!(query.flag("Flag"), Some(true));
        assert_eq!(query.flag("odd"), None);
        assert_eq!(query.text("none"), None);
        assert_eq!(query.text("s").as_deref(), Some("1,2 3"));
    }

    #[test]
    fn what_cannot_be_read_is_not_given() {
        let query =
            Query::of(&"/x?i=+7&n=2.5&no=x&inf=inf&nan=NaN&long=99999999999999999999".parse().unwrap());
        assert_eq!(query.integer("i"), Some(7));
        assert_eq!((query.number("n"), query.number("i")), (Some(2.5), Some(7.0)));
        assert_eq!((query.integer("no"), query.integer("n"), query.integer("long")), (None, None, None));
        assert_eq!((query.number("no"), query.number("inf"), query.number("nan")), (None, None, None));
    }

    #[test]
    fn times_are_read_as_dotnet_does() {
        let moment = |text: &str| time(text).map(|time| time.to_string());
        for text in [
            "2018-02-28T05:18:49Z",
            "2018-02-28T05:18:49",
            "2018-02-28 05:18:49",
            "2018-02-28 05:18:49Z",
            "2018-02-28T05:18:49.0000000Z",
            "2018-02-28T06:18:49+01:00",
            "2018-02-28T06:18:49+0100",
            "2018-02-27T23:48:49-05:30",
            "02/28/2018 05:18:49",
            "2/28/2018 5:18:49 AM",
            "02/28/2018 05:18:49 am",
            "Wed, 28 Feb 2018 05:18:49 GMT",
        ] {
            assert_eq!(moment(text).as_deref(), Some("2018-02-28T05:18:49.0000000Z"), "{text}");
        }
        assert_eq!(moment("2018-02-28").as_deref(), Some("2018-02-28T00:00:00.0000000Z"));
        assert_eq!(moment("2018-02-28T05:18Z").as_deref(), Some("2018-02-28T05:18:00.0000000Z"));
        assert_eq!(moment("2018-02-28T05:18:49.1234567Z").as_deref(), Some("2018-02-28T05:18:49.1234567Z"));
        assert_eq!(moment("2/28/2018 5:18 PM").as_deref(), Some("2018-02-28T17:18:00.0000000Z"));
        assert_eq!(moment("2/28/2018 12:18 AM").as_deref(), Some("2018-02-28T00:18:00.0000000Z"));
        assert_eq!(moment("2/28/2018 17:18").as_deref(), Some("2018-02-28T17:18:00.0000000Z"));
        for text in ["9999-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.2500000Z"] {
            assert_eq!(moment(text).as_deref(), Some(text));
        }
        assert_eq!(moment("1970-01-01T00:59:59.25+01:00").as_deref(), Some("1969-12-31T23:59:59.2500000Z"));
        assert_eq!(moment("0001-01-01T00:00:00Z").as_deref(), Some("0001-01-01T00:00:00.0000000Z"));
        assert_eq!(moment("1-01-01T00:00:00Z").as_deref(), Some("0001-01-01T00:00:00.0000000Z"));
        for wrong in [
            "",
            "x",
            "2018-13-01",
            "2018-02-30",
            "2018-02-28T25:00:00Z",
            "2018-02-28T05:18:49+",
            "9999-12-31T23:59:59-01:00",
            "2/28/2018 13:18 PM",
            "1519795129",
        ] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn statuses_are_listed_and_repeated() {
        use RuntimeStatus::{Completed, Failed, Running, Suspended};
        let statuses = |query: &str| {
            let query = Query::of(&format!("/x?{query}").parse().unwrap());
            query.statuses("runtimeStatus").map(|statuses| statuses.into_iter().collect::<Vec<_>>())
        };
        assert_eq!(statuses("a=b"), None);
        assert_eq!(statuses("runtimeStatus="), None);
        assert_eq!(
            statuses("runtimeStatus=Running,%20Completed&RUNTIMESTATUS=3"),
            Some(vec![Running, Completed, Failed])
        );
        assert_eq!(statuses("runtimeStatus=7"), Some(vec![Suspended]));
        assert_eq!(statuses("runtimeStatus=running,8,-1,Unknown,,x"), Some(vec![]));
    }
}
