//! Settings that are a list, or the one entry of it.

use std::borrow::Cow;
use std::fmt::{Formatter, Result as FormatResult};
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A list, written as one or as the only entry that it has. Entries are texts or objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

struct EntriesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> FormatResult {
        formatter.write_str("one entry or a list of them")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(|entry| OneOrMany(vec![entry]))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(|entry| OneOrMany(vec![entry]))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Self::Value, S::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = sequence.next_element()? {
            entries.push(entry);
        }
        Ok(OneOrMany(entries))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntriesVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrManyOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [entry, { "type": "array", "items": entry, "minItems": 1 }] })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::OneOrMany;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Entry {
        Plain,
        Named(String),
    }

    #[test]
    fn one_entry_is_a_list_of_one() {
        let read = |text: &str| serde_json::from_str::<OneOrMany<Entry>>(text).map(|entries| entries.0).ok();
        let named = || Entry::Named("x".to_owned());
        assert_eq!(read(r#""plain""#), Some(vec![Entry::Plain]));
        assert_eq!(read(r#"{"named":"x"}"#), Some(vec![named()]));
        assert_eq!(read(r#"["plain",{"named":"x"}]"#), Some(vec![Entry::Plain, named()]));
        assert_eq!(read("7"), None);
        assert_eq!(read(r#""other""#), None);
    }
}
