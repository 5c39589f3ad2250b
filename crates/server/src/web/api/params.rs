//! Queries that say nothing but what is in the document.

use std::collections::BTreeMap;
use std::fmt;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use url::form_urlencoded;

use super::fields::{echo, fields, instead};
use super::problem::{Problem, ProblemType};
use crate::access::{KEY, SIGNATURE};
use crate::web::App;

/// What lets callers in may stand here, and was taken already.
const CREDENTIALS: [&str; 2] = [KEY, SIGNATURE];

/// The query of a request.
pub(super) struct Params<T>(pub(super) T);

/// The query of a request that says two kinds of things.
pub(super) struct TwoParams<A, B>(pub(super) A, pub(super) B);

/// A request without a query.
pub(super) struct NoParams;

impl FromRequestParts<App> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        check_known(&given(&parts.uri), &[])?;
        Ok(Self)
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self(read(&parts.uri)?))
    }
}

impl<A: DeserializeOwned + Send, B: DeserializeOwned + Send> FromRequestParts<App> for TwoParams<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let (mut first, known) = (given(&parts.uri), [fields::<A>(), fields::<B>()]);
        check_known(&first, &known.concat())?;
        let second = first.extract_if(.., |name, _| known[1].contains(&name.as_str())).collect();
        Ok(Self(deserialize(first)?, deserialize(second)?))
    }
}

/// Parameters by name, with all their values.
type ByName = BTreeMap<String, Vec<String>>;

fn given(uri: &Uri) -> ByName {
    let mut given = ByName::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if !CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            given.entry(name.into_owned()).or_default().push(value.into_owned());
        }
    }
    given
}

fn check_known(given: &ByName, known: &[&str]) -> Result<(), InvalidQuery> {
    match given.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(InvalidQuery::Unknown { name: echo(name), instead: instead(&echo(name), known) }),
        None => Ok(()),
    }
}

fn deserialize<T: DeserializeOwned>(given: ByName) -> Result<T, InvalidQuery> {
    T::deserialize(Given { left: given.into_iter(), value: None })
}

fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    let given = given(uri);
    check_known(&given, fields::<T>())?;
    Ok(deserialize(given)?)
}

/// What is wrong with a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidQuery {
    #[error("there is no parameter {name:?} here; {instead}")]
    Unknown { name: String, instead: String },
    #[error("the parameter {0:?} is given more than once")]
    Repeated(String),
    #[error("the parameter {0:?} is missing")]
    Missing(&'static str),
    #[error("the parameter {name:?}: {problem}")]
    Value { name: String, problem: String },
    #[error("{0}")]
    Other(String),
}

impl InvalidQuery {
    /// It is about this parameter.
    fn of(self, name: &str) -> Self {
        match self {
            Self::Other(problem) => Self::Value { name: name.to_owned(), problem },
            Self::Repeated(_) => Self::Repeated(name.to_owned()),
            other => other,
        }
    }
}

impl From<InvalidQuery> for Problem {
    fn from(error: InvalidQuery) -> Self {
        let text = error.to_string();
        match error {
            InvalidQuery::Unknown { name, .. }
            | InvalidQuery::Repeated(name)
            | InvalidQuery::Value { name, .. } => Self::parameter(&name, text),
            InvalidQuery::Missing(name) => Self::parameter(name, text),
            InvalidQuery::Other(_) => Self::new(ProblemType::InvalidRequest, text),
        }
    }
}

impl de::Error for InvalidQuery {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Other(text.to_string())
    }

    fn unknown_variant(given: &str, known: &'static [&'static str]) -> Self {
        let given = echo(given);
        Self::Other(format!("{given:?} is not possible; {}", instead(&given, known)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self::Missing(name)
    }
}

/// The parameters, as serde sees them.
struct Given {
    left: std::collections::btree_map::IntoIter<String, Vec<String>>,
    value: Option<Values>,
}

impl<'de> de::Deserializer<'de> for Given {
    type Error = InvalidQuery;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_map(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> MapAccess<'de> for Given {
    type Error = InvalidQuery;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, InvalidQuery> {
        let Some((name, texts)) = self.left.next() else { return Ok(None) };
        let key: StrDeserializer<'_, InvalidQuery> = name.as_str().into_deserializer();
        let key = seed.deserialize(key)?;
        self.value = Some(Values { name, texts });
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, InvalidQuery> {
        let Some(values) = self.value.take() else { return Err(de::Error::custom("a value without a name")) };
        let name = values.name.clone();
        seed.deserialize(values).map_err(|error| error.of(&name))
    }
}

/// All values of one parameter.
struct Values {
    name: String,
    texts: Vec<String>,
}

impl Values {
    /// For a parameter that is given once.
    fn text(mut self) -> Result<String, InvalidQuery> {
        match (self.texts.pop(), self.texts.is_empty()) {
            (Some(text), true) => Ok(text),
            _ => Err(InvalidQuery::Repeated(self.name)),
        }
    }

    fn parse<T: std::str::FromStr>(self, wanted: &str) -> Result<T, InvalidQuery> {
        let text = self.text()?;
        text.parse().map_err(|_| InvalidQuery::Other(format!("{:?} is not {wanted}", echo(&text))))
    }
}

impl<'de> de::Deserializer<'de> for Values {
    type Error = InvalidQuery;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, InvalidQuery> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_bool(self.parse("true or false")?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_u64(self.parse("a number from 0 on")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_u32(self.parse("a number from 0 on")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_f64(self.parse("a number")?)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InvalidQuery> {
        visitor.visit_seq(Each(self.texts.into_iter()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InvalidQuery> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct map
        struct identifier ignored_any
    }
}

/// The values of a parameter that may be given several times.
struct Each(std::vec::IntoIter<String>);

impl<'de> de::SeqAccess<'de> for Each {
    type Error = InvalidQuery;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, InvalidQuery> {
        let Some(text) = self.0.next() else { return Ok(None) };
        let text: StringDeserializer<InvalidQuery> = text.into_deserializer();
        seed.deserialize(text).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields, default)]
    struct Asked {
        id_prefix: Option<String>,
        limit: Option<u64>,
        payloads: bool,
        tag: Vec<String>,
        status: Vec<Status>,
        order: Option<Status>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Status {
        Running,
        Failed,
    }

    fn asked(query: &str) -> Result<Asked, String> {
        let problem: Result<Asked, Problem> = read(&format!("/x?{query}").parse().unwrap());
        problem.map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn reads_what_is_there() {
        let full =
            asked("idPrefix=a%20b&limit=7&payloads=true&tag=x&tag=y%3D,z&status=Failed&order=Running&code=k");
        assert_eq!(
            full.unwrap(),
            Asked {
                id_prefix: Some("a b".to_owned()),
                limit: Some(7),
                payloads: true,
                tag: vec!["x".to_owned(), "y=,z".to_owned()],
                status: vec![Status::Failed],
                order: Some(Status::Running),
            }
        );
        assert_eq!(asked("").unwrap(), Asked::default());
    }

    #[test]
    fn refuses_what_is_not() {
        for (query, told) in [
            ("idprefix=a", "did you mean \\\"idPrefix\\\"?"),
            ("what=1", "there are idPrefix, limit"),
            ("limit=-1", "\\\"-1\\\" is not a number from 0 on"),
            ("limit=1&limit=2", "given more than once"),
            ("payloads=yes", "is not true or false"),
            ("status=Runing", "did you mean \\\"Running\\\"?"),
            ("order=running", "did you mean \\\"Running\\\"?"),
        ] {
            let problem = asked(query).unwrap_err();
            assert!(problem.contains(told), "{query}: {problem}");
        }
    }
}
