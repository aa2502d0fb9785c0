//! What an answer cost, as Cohere says it: all tokens, how many of them came from a cache, and how many are charged.

use crate::json::{FromJson, Json, ObjectWriter};
use crate::usage::Usage;

/// Reads `usage`; none if it is null.
pub fn read(usage: Json<'_>) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let count = |of: &str, name: &str| usage.member(of)?.member(name).and_then(u32::from_json);
    let both = |name: &str| {
        let (all, billed) = (count("tokens", name), count("billed_units", name));
        let all = all.or(billed).unwrap_or(0);
        (all, all.saturating_sub(billed.unwrap_or(all)))
    };
    let (input, unbilled_input) = both("input_tokens");
    let (output, unbilled_output) = both("output_tokens");
    let cache_read = usage.member("cached_tokens").and_then(u32::from_json).unwrap_or(0).min(input);
    let fresh = input - cache_read;
    Some(Usage { input: fresh, cache_read, output, unbilled_input, unbilled_output, ..Usage::default() })
}

/// The usage of an answer or an event; nothing where the provider does not say.
pub(super) fn of(holder: Json<'_>) -> Usage {
    holder.member("usage").and_then(read).unwrap_or_default()
}

/// Writes the members of a usage object.
pub(super) fn write(usage: Usage, object: &mut ObjectWriter<'_>) {
    object.object("billed_units", |billed| {
        billed.put("input_tokens", usage.input_total().saturating_sub(usage.unbilled_input));
        billed.put("output_tokens", usage.output.saturating_sub(usage.unbilled_output));
    });
    object.object("tokens", |tokens| {
        tokens.put("input_tokens", usage.input_total());
        tokens.put("output_tokens", usage.output);
    });
    object.put("cached_tokens", usage.cache_read);
}
