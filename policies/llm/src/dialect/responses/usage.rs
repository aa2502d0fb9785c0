//! What an answer cost, as Responses says it: the input with what the cache gave and took, the output with thoughts.

use crate::json::{FromJson, Json, ObjectWriter};
use crate::usage::Usage;

/// Reads `usage`; none if it is null.
pub fn read(usage: Json<'_>) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let count = |json: Json<'_>, name: &str| json.member(name).and_then(u32::from_json).unwrap_or(0);
    let detail = |of: &str, name: &str| usage.member(of).map_or(0, |details| count(details, name));
    let cache_read = detail("input_tokens_details", "cached_tokens");
    let cache_written = detail("input_tokens_details", "cache_write_tokens");
    let cached = cache_read.saturating_add(cache_written);
    Some(Usage {
        input: count(usage, "input_tokens").saturating_sub(cached),
        cache_read,
        cache_written,
        output: count(usage, "output_tokens"),
        reasoning: detail("output_tokens_details", "reasoning_tokens"),
        ..Usage::default()
    })
}

/// The usage of a whole answer; nothing where the provider does not say.
pub(super) fn of(answer: Json<'_>) -> Usage {
    answer.member("usage").and_then(read).unwrap_or_default()
}

/// Writes the members of a usage object.
pub(super) fn write(usage: Usage, object: &mut ObjectWriter<'_>) {
    object.put("input_tokens", usage.input_total());
    object.object("input_tokens_details", |details| {
        details.put("cached_tokens", usage.cache_read);
        details.put("cache_write_tokens", usage.cache_written_total());
    });
    object.put("output_tokens", usage.output);
    object.object("output_tokens_details", |details| details.put("reasoning_tokens", usage.reasoning));
    object.put("total_tokens", usage.total());
}
