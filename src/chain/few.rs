//! The first entries of a list. Whoever answers decides how long a list is, and not how much memory it takes here.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// At most `MOST` entries; what follows is passed over.
#[derive(Debug)]
pub(super) struct Few<T, const MOST: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const MOST: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<T, MOST> {
            type Value = Few<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut few = Vec::new();
                while few.len() < MOST {
                    let Some(entry) = list.next_element()? else { return Ok(Few(few)) };
                    few.push(entry);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Few(few))
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_passed_over_and_what_is_no_list_refused() {
        assert_eq!(serde_json::from_str::<Few<u8, 2>>("[1,2,\"x\",{}]").unwrap().0, [1, 2]);
        assert_eq!(serde_json::from_str::<Few<u8, 2>>("[1]").unwrap().0, [1]);
        for text in ["{}", "null", "[1,2,", "\"x\""] {
            assert!(serde_json::from_str::<Few<u8, 2>>(text).is_err(), "{text}");
        }
    }
}
