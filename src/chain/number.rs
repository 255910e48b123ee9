//! Numbers that come as JSON numbers or as strings: CometBFT and the gateway write 64-bit integers as strings, proxies
//! and some forks write them as numbers.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// A number from zero to the largest of an `int64`, which is what nodes count in, however it was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyForm)
    }
}

struct AnyForm;

impl de::Visitor<'_> for AnyForm {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number at or above zero, or a string that holds one")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        if i64::try_from(value).is_ok() {
            Ok(Number(value))
        } else {
            Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        u64::try_from(value).map(Number).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Number, E> {
        let number = value.trim().parse::<i64>().ok().and_then(|value| u64::try_from(value).ok());
        number.map(Number).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

/// A text, or a whole number as text; nothing of anything else, which is read over and not kept: what is kept of a nested
/// answer can take a hundred times its length in memory.
#[derive(Debug, Default)]
pub(super) struct Words(pub(super) String);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyWords)
    }
}

struct AnyWords;

impl<'de> de::Visitor<'de> for AnyWords {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Words, E> {
        Ok(Words(value.to_owned()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Words, E> {
        Ok(Words(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Words, E> {
        Ok(Words::default())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Words, E> {
        Ok(Words::default())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Words, E> {
        Ok(Words::default())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Words, E> {
        Ok(Words::default())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Words, A::Error> {
        de::IgnoredAny.visit_seq(list).map(|_| Words::default())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, fields: A) -> Result<Words, A::Error> {
        de::IgnoredAny.visit_map(fields).map(|_| Words::default())
    }
}

/// RFC 3339 to milliseconds since the Unix epoch; none for what is no date and for Go's zero time.
pub(super) fn milliseconds(date: &str) -> Option<u64> {
    let date: jiff::Timestamp = date.trim().parse().ok()?;
    u64::try_from(date.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_any_form() {
        for (json, number) in [("7", Some(7)), ("\"7\"", Some(7)), ("\" 9223372036854775807 \"", Some(u64::MAX / 2))] {
            assert_eq!(serde_json::from_str::<Number>(json).ok().map(|n| n.0), number, "{json}");
        }
        for json in ["-1", "\"-1\"", "1.5", "\"\"", "null", "[]", "9223372036854775808", "\"9223372036854775808\""] {
            assert!(serde_json::from_str::<Number>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn dates_become_milliseconds() {
        assert_eq!(milliseconds("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(milliseconds("2024-06-29T17:20:23.080417853Z"), Some(1_719_681_623_080));
        for nothing in ["0001-01-01T00:00:00Z", "", "soon", "2024-06-29"] {
            assert_eq!(milliseconds(nothing), None, "{nothing}");
        }
    }
}
