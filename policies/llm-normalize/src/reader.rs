//! Reads JSON objects so that nothing is lost unseen: what nobody took is a fault.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::fault::Fault;

/// An object whose members are taken one by one.
pub(crate) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Fault> {
        serde_json::from_str(text).map_err(|error| {
            let message = if error.is_data() { "must be an object".to_owned() } else { error.to_string() };
            Fault::invalid("", message)
        })
    }

    /// Takes a member; `none` if it is absent or null.
    pub(crate) fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let Some(place) = self.0.iter().position(|(known, _)| known == name) else { return Ok(None) };
        let (_, value) = self.0.remove(place);
        if value.get() == "null" {
            return Ok(None);
        }
        serde_json::from_str(value.get()).map(Some).map_err(|_| Fault::invalid(name, "is not of the expected type"))
    }

    /// Takes a member that must be there.
    pub(crate) fn require<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T, Fault> {
        self.take(name)?.ok_or_else(|| Fault::invalid(name, "is missing"))
    }

    /// Takes an object; what is left of it then must be empty.
    pub(crate) fn take_object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.take::<&RawValue>(name)? else { return Ok(None) };
        read_object(value, read).map(Some).map_err(|fault| fault.within(name))
    }

    /// Takes a list of objects; empty if it is absent.
    pub(crate) fn take_objects<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(usize, &mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let values: Vec<&RawValue> = self.take(name)?.unwrap_or_default();
        let items = values.into_iter().enumerate();
        items
            .map(|(index, value)| {
                read_object(value, |object| read(index, object))
                    .map_err(|fault| fault.within(&format!("{name}[{index}]")))
            })
            .collect()
    }

    /// The names of what is left, except for values that say nothing: null, `[]` and `{}`.
    pub(crate) fn leftovers(&self) -> impl Iterator<Item = &str> {
        let says_something = |value: &RawValue| !matches!(value.get(), "null" | "[]" | "{}");
        self.0.iter().filter(move |(_, value)| says_something(value)).map(|(name, _)| name.as_str())
    }

    /// Refuses what is left.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        self.leftovers().next().map_or(Ok(()), |name| Err(Fault::unsupported(name)))
    }
}

/// Reads the whole of an object.
pub(crate) fn read_object<'a, T>(
    value: &'a RawValue,
    read: impl FnOnce(&mut Object<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut object = Object::parse(value.get())?;
    let result = read(&mut object)?;
    object.finish()?;
    Ok(result)
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}
