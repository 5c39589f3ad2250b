//! The query of a URL as Durable Functions reads it: names in any case, blank values as if not given,
//! repeated parameters joined by commas.

use http::Uri;
use url::form_urlencoded;

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
}
