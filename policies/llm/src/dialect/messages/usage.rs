//! How messages count tokens: fresh, read and written input apart; the counts of a stream are totals so far.

use crate::json::{FromJson as _, Json, ObjectWriter};
use crate::usage::Usage;

/// Reads `usage` of a whole message.
pub fn read(said: Json<'_>) -> Option<Usage> {
    let mut usage = Usage::default();
    apply(said, &mut usage);
    said.is_object().then_some(usage)
}

/// What a message or an event says of usage; what it does not say stays as it was, and none is ever added up.
pub(super) fn apply(said: Json<'_>, usage: &mut Usage) {
    let count = |json: Json<'_>, name: &str| json.member(name).and_then(u32::from_json);
    let pairs = [
        ("input_tokens", &mut usage.input),
        ("cache_read_input_tokens", &mut usage.cache_read),
        ("output_tokens", &mut usage.output),
    ];
    for (name, total) in pairs {
        *total = count(said, name).unwrap_or(*total);
    }
    if let Some(written) = count(said, "cache_creation_input_tokens") {
        let hour = said.member("cache_creation").and_then(|kinds| count(kinds, "ephemeral_1h_input_tokens"));
        usage.cache_written_hour = hour.unwrap_or(0).min(written);
        usage.cache_written = written - usage.cache_written_hour;
    }
    let details = said.member("output_tokens_details");
    usage.reasoning = details.and_then(|details| count(details, "thinking_tokens")).unwrap_or(usage.reasoning);
}

/// Writes the members of `usage`.
pub(super) fn write(usage: &Usage, object: &mut ObjectWriter<'_>) {
    object.put("input_tokens", usage.input);
    object.put("cache_creation_input_tokens", usage.cache_written_total());
    object.put("cache_read_input_tokens", usage.cache_read);
    if usage.cache_written_hour > 0 {
        object.object("cache_creation", |kinds| {
            kinds.put("ephemeral_5m_input_tokens", usage.cache_written);
            kinds.put("ephemeral_1h_input_tokens", usage.cache_written_hour);
        });
    }
    object.put("output_tokens", usage.output);
}
