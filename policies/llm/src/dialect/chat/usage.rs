//! How chat completions count tokens: the input holds the cached, the output the thoughts.

use crate::json::{FromJson as _, Json, ObjectWriter};
use crate::usage::Usage;

/// Reads `usage`; none if it is null.
pub fn read(usage: Json<'_>) -> Option<Usage> {
    if !usage.is_object() {
        return None;
    }
    let count = |json: Option<Json<'_>>, name: &str| json.and_then(|json| json.member(name)).and_then(u32::from_json);
    let of_input = usage.member("prompt_tokens_details");
    let of_output = usage.member("completion_tokens_details");
    // DeepSeek counts what its cache had beside the rest.
    let cache_read =
        count(of_input, "cached_tokens").or_else(|| count(Some(usage), "prompt_cache_hit_tokens")).unwrap_or(0);
    let cache_written = count(of_input, "cache_write_tokens").unwrap_or(0);
    let input = count(Some(usage), "prompt_tokens").unwrap_or(0);
    Some(Usage {
        input: input.saturating_sub(cache_read).saturating_sub(cache_written),
        cache_read,
        cache_written,
        output: count(Some(usage), "completion_tokens").unwrap_or(0),
        reasoning: count(of_output, "reasoning_tokens").unwrap_or(0),
        audio_input: count(of_input, "audio_tokens").unwrap_or(0),
        image_input: count(of_input, "image_tokens").unwrap_or(0),
        audio_output: count(of_output, "audio_tokens").unwrap_or(0),
        ..Usage::default()
    })
}

/// Writes the members of `usage`.
pub(super) fn write(usage: &Usage, object: &mut ObjectWriter<'_>) {
    object.put("prompt_tokens", usage.input_total());
    object.put("completion_tokens", usage.output);
    object.put("total_tokens", usage.total());
    object.object("prompt_tokens_details", |details| {
        details.put("cached_tokens", usage.cache_read);
        put_any(details, "cache_write_tokens", usage.cache_written_total());
        put_any(details, "audio_tokens", usage.audio_input);
        put_any(details, "image_tokens", usage.image_input);
    });
    object.object("completion_tokens_details", |details| {
        details.put("reasoning_tokens", usage.reasoning);
        put_any(details, "audio_tokens", usage.audio_output);
    });
}

fn put_any(object: &mut ObjectWriter<'_>, name: &str, count: u32) {
    object.put_some(name, (count > 0).then_some(count));
}
