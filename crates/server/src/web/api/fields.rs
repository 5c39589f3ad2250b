//! The names of what requests may say, and which of them somebody meant.

use serde::de::value::Error as AnyError;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use strandline_engine::nearest;

/// Longest part of a request that an answer repeats, in characters.
const ECHO_MAX: usize = 100;

/// What a request said, short enough for an answer.
pub(super) fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX).collect()
}

/// The fields of a struct, as serde names them.
pub(super) fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // It is told what it asks for, and given nothing.
    let _ = T::deserialize(FieldsOf(&mut fields));
    fields
}

/// What there is instead of something unknown.
pub(super) fn instead(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None if known.is_empty() => "none are taken".to_owned(),
        None => format!("there are {}", known.join(", ")),
    }
}

struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = AnyError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, AnyError> {
        Err(de::Error::custom("there is nothing"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, AnyError> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
