//! The moment at which a key ends.

use std::borrow::Cow;

use gatewright_sdk::deserialize_text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// Milliseconds since the Unix epoch, written as RFC 3339 in UTC, or as a date alone.
#[derive(Clone, Copy)]
pub(crate) struct Expiry(f64);

impl Expiry {
    pub(crate) fn is_past(self, now_ms: f64) -> bool {
        now_ms >= self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, time.strip_suffix('Z')?),
            None => (text, "00:00:00"),
        };
        let [year, month, day] = numbers(date, '-')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let date_is_real = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        if !date_is_real || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds_of_day = (hour * 60 + minute) * 60 + second;
        Some(Self((f64::from(days_since_epoch(year, month, day)) * 86_400.0 + f64::from(seconds_of_day)) * 1000.0))
    }
}

fn numbers(text: &str, separator: char) -> Option<[u32; 3]> {
    let mut parts = text.split(separator).map(|part| {
        let digits = !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse().ok() } else { None }
    });
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The civil calendar, counted in years that start in March so that the leap day is the last.
fn days_since_epoch(year: u32, month: u32, day: u32) -> u32 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).saturating_sub(719_468)
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_text(deserializer, |text| {
            Self::parse(text).ok_or_else(|| "write a time as \"2027-01-01T00:00:00Z\"".to_owned())
        })
    }
}

impl JsonSchema for Expiry {
    fn schema_name() -> Cow<'static, str> {
        "Expiry".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$" })
    }
}

#[cfg(test)]
mod tests {
    use super::Expiry;

    #[test]
    fn a_time_is_read_to_the_second() {
        let check = |text: &str, seconds: Option<f64>| {
            let read = Expiry::parse(text).map(|expiry| expiry.0 / 1000.0);
            assert_eq!(read, seconds, "{text}");
        };
        check("1970-01-01", Some(0.0));
        check("2000-02-29T12:34:56Z", Some(951_827_696.0));
        check("2027-01-01T00:00:00Z", Some(1_798_761_600.0));
        check("2027-13-01", None);
        check("2027-01-01T00:00:00+01:00", None);
        check("1960-01-01", None);
        check("0000-00-00", None);
        check("", None);
    }
}
