//! A period of time, as the gateway's configuration writes it.

use std::borrow::Cow;
use std::fmt;

use gatewright_sdk::deserialize_text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// A whole number with a unit: `250ms`, `10s`, `5m`, `1h`, `1d`. At least a millisecond, at most 49 days.
#[derive(Clone, Copy)]
pub(crate) struct Period(u32);

const UNITS: [(&str, u32); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Period {
    pub(crate) fn millis(self) -> u32 {
        self.0
    }

    /// In seconds, if it is a whole number of them.
    pub(crate) fn whole_seconds(self) -> Option<u32> {
        self.0.is_multiple_of(1_000).then_some(self.0 / 1_000)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        number.parse::<u32>().ok()?.checked_mul(factor).filter(|millis| *millis > 0).map(Self)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor));
        let (unit, factor) = fits.unwrap_or(("ms", 1));
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer, |text| {
            Self::parse(text)
                .ok_or_else(|| format!("{text:?} is not a period of up to 49d: write e.g. 250ms, 10s or 1m"))
        })
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::Period;

    #[test]
    fn a_period_is_read_and_written() {
        let check = |text: &str, read: Option<(u32, &str)>| {
            let period = Period::parse(text).map(|period| (period.millis(), period.to_string()));
            assert_eq!(period.as_ref().map(|(millis, text)| (*millis, text.as_str())), read, "{text}");
        };
        check("250ms", Some((250, "250ms")));
        check("60s", Some((60_000, "1m")));
        check("49d", Some((4_233_600_000, "49d")));
        for text in ["50d", "0s", "1", "s", "", "-1s", "1 s", "1y"] {
            check(text, None);
        }
    }
}
