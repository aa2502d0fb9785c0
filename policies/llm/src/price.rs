//! What tokens cost, by the operator's list of prices.

use serde::Deserialize;

use crate::usage::Usage;

/// The prices of a model's tokens from some day on: for a million of each kind, in whatever money the operator counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The upstream's name of the model; one that ends in `*` is of all models whose names begin so.
    pub model: String,
    /// Its first day, in UTC, as in `2026-01-31`; of every day without one. Of several the latest counts.
    #[serde(default)]
    pub from: Option<String>,
    /// Only of requests with more tokens of input than this. Of several of one day the highest counts.
    #[serde(default)]
    pub over: Option<u32>,
    /// Input that no cache has.
    pub input: f64,
    /// Output, thoughts included.
    pub output: f64,
    /// Input that is read from a cache; as `input` if absent.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// Input that is written to a cache; as `input` if absent.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Input that is written to a cache for an hour; as `cache_write` if absent.
    #[serde(default)]
    pub cache_write_hour: Option<f64>,
    /// Audio in the input; as `input` if absent.
    #[serde(default)]
    pub audio_input: Option<f64>,
    /// Images in the input; as `input` if absent.
    #[serde(default)]
    pub image_input: Option<f64>,
    /// Audio in the output; as `output` if absent.
    #[serde(default)]
    pub audio_output: Option<f64>,
}

/// The price that fits an answer best: a name before the beginning of one, and a longer beginning before a shorter.
/// `now` is in milliseconds since 1970.
pub fn fitting<'p>(prices: &'p [Price], model: &str, usage: &Usage, now: f64) -> Option<&'p Price> {
    let today = day(now);
    let fits = |price: &&Price| {
        price.names(model)
            && price.from.as_ref().is_none_or(|from| *from <= today)
            && price.over.is_none_or(|over| usage.input_total() > over)
    };
    prices.iter().filter(fits).max_by_key(|price| {
        let is_whole = !price.model.ends_with('*');
        (is_whole, price.model.len(), price.from.as_deref(), price.over)
    })
}

impl Price {
    /// What is wrong with it: the field, and what to write instead.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let mut faults = Vec::new();
        if self.model.is_empty() || self.model == "*" {
            faults.push(("model", "say the name of a model, or how names begin, as in \"gpt-5*\""));
        }
        if self.from.as_ref().is_some_and(|from| !is_day(from)) {
            faults.push(("from", "a day is written as in \"2026-01-31\""));
        }
        let others = [
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("cache_write_hour", self.cache_write_hour),
            ("audio_input", self.audio_input),
            ("image_input", self.image_input),
            ("audio_output", self.audio_output),
        ];
        let own = [("input", Some(self.input)), ("output", Some(self.output))];
        let is_wrong = |price: f64| !price.is_finite() || price < 0.0;
        let wrong = own.into_iter().chain(others).filter(|(_, price)| price.is_some_and(is_wrong));
        faults.extend(wrong.map(|(name, _)| (name, "a price is 0 or more")));
        faults
    }

    fn names(&self, model: &str) -> bool {
        match self.model.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => model == self.model,
        }
    }

    /// What an answer costs by it.
    pub fn of(&self, usage: &Usage) -> f64 {
        let written = self.cache_write.unwrap_or(self.input);
        let text = usage.input.saturating_sub(usage.audio_input).saturating_sub(usage.image_input);
        let said = usage.output.saturating_sub(usage.audio_output);
        let sums = [
            (text.saturating_sub(usage.unbilled_input), self.input),
            (usage.audio_input, self.audio_input.unwrap_or(self.input)),
            (usage.image_input, self.image_input.unwrap_or(self.input)),
            (usage.cache_read, self.cache_read.unwrap_or(self.input)),
            (usage.cache_written, written),
            (usage.cache_written_hour, self.cache_write_hour.unwrap_or(written)),
            (said.saturating_sub(usage.unbilled_output), self.output),
            (usage.audio_output, self.audio_output.unwrap_or(self.output)),
        ];
        sums.into_iter().map(|(tokens, price)| f64::from(tokens) * price).sum::<f64>() / 1_000_000.0
    }
}

/// Whether a text is a day as `day` writes it.
fn is_day(text: &str) -> bool {
    let digits = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let within =
        |part: &str, max: u8| digits(part, 2) && part.parse().is_ok_and(|number: u8| (1..=max).contains(&number));
    let mut parts = text.split('-');
    let [year, month, day] = [parts.next(), parts.next(), parts.next()].map(Option::unwrap_or_default);
    digits(year, 4) && within(month, 12) && within(day, 31) && parts.next().is_none()
}

/// The day in UTC, as in `2026-01-31`, so that days compare as their texts do.
fn day(now: f64) -> String {
    const DAY: f64 = 86_400_000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "days since 1970")]
    let days = (now / DAY) as u64;
    // <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>: years that begin in March, in eras of 400.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let date = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}")
}

#[cfg(test)]
mod tests {
    use super::{day, is_day};

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0.0, "1970-01-01"),
            (951_782_399.0, "2000-02-28"),
            (951_782_400.0, "2000-02-29"),
            (1_709_164_800.0, "2024-02-29"),
            (1_767_225_599.0, "2025-12-31"),
            (1_767_225_600.0, "2026-01-01"),
            (4_107_542_400.0, "2100-03-01"),
        ] {
            assert_eq!(day(seconds * 1000.0), expected);
            assert!(is_day(expected));
        }
        for text in
            ["", "2026-1-1", "2026-13-01", "2026-00-10", "2026-01-32", "2026-01-01T00:00", "26-01-01", "2026-01"]
        {
            assert!(!is_day(text), "{text}");
        }
    }
}
