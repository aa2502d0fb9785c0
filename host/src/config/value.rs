//! Quantities with units: a period of time, a count of bytes.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A period of time, written as a whole number with a unit: `250ms`, `10s`, `5m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A count of bytes, written as a whole number, alone or with a unit: `512`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl Period {
    /// A period of whole milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// A period of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl ByteCount {
    /// So many KiB.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a length in memory; saturates where `usize` is narrower.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Splits `text` into a whole number and its unit, and multiplies.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl std::str::FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        quantity(text, &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)])
            .map(Self::millis)
            .ok_or_else(|| format!("{text:?} is not a period: write a whole number and ms, s, m or h"))
    }
}

impl std::str::FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        quantity(text, &[("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a count of bytes: write a whole number and B, KiB, MiB or GiB"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1_000) {
            write!(formatter, "{}s", millis / 1_000)
        } else {
            write!(formatter, "{millis}ms")
        }
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            count if count != 0 && count.is_multiple_of(1 << 20) => write!(formatter, "{}MiB", count >> 20),
            count if count != 0 && count.is_multiple_of(1 << 10) => write!(formatter, "{}KiB", count >> 10),
            count => write!(formatter, "{count}"),
        }
    }
}

/// Reads a text with `FromStr`, or a whole number where the type has one.
struct TextVisitor<T>(fn(u64) -> Option<T>);

impl<T: std::str::FromStr<Err = String>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number with a unit")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        (self.0)(number).ok_or_else(|| E::custom("a unit is missing"))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(|_| None))
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor(|number| Some(Self(number))))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+ ?(ms|s|m|h)$", "examples": ["250ms", "10s"] })
    }
}

impl JsonSchema for ByteCount {
    fn schema_name() -> Cow<'static, str> {
        "ByteCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "minimum": 0,
            "pattern": "^[0-9]+ ?(B|KiB|MiB|GiB)?$", "examples": ["64KiB", "10MiB"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteCount, Period};

    #[test]
    fn quantities_need_their_unit_and_survive_a_round_trip() {
        for (text, millis) in [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)] {
            let period: Period = text.parse().unwrap();
            assert_eq!(period, Period::millis(millis));
            assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }
        for (text, bytes) in [("512", 512), ("64KiB", 65_536), ("10 MiB", 10 << 20), ("1GiB", 1 << 30)] {
            let count: ByteCount = text.parse().unwrap();
            assert_eq!(count, ByteCount(bytes));
            assert_eq!(count.to_string().parse::<ByteCount>().unwrap(), count);
        }
        for text in ["", "10", "s", "1.5s", "-1s", "10 sec", "99999999999999999999s"] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
