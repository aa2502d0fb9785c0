//! `usage`: fresh input, and beside it what was read from and written to a cache.

use crate::json::{FromJson as _, Json, ObjectWriter};
use crate::usage::Usage;

/// What the provider counted.
pub fn read(usage: Json<'_>) -> Usage {
    let count = |name: &str| usage.member(name).and_then(u32::from_json).unwrap_or(0);
    let details = usage.member("cacheDetails").and_then(Json::items).into_iter().flatten();
    let of_an_hour = details.filter(|detail| detail.member("ttl").is_some_and(|ttl| ttl.written() == "\"1h\""));
    let counts = of_an_hour.filter_map(|detail| u32::from_json(detail.member("inputTokens")?));
    let hour = counts.fold(0, u32::saturating_add);
    Usage {
        input: count("inputTokens"),
        cache_read: count("cacheReadInputTokens"),
        cache_written: count("cacheWriteInputTokens").saturating_sub(hour),
        cache_written_hour: hour,
        output: count("outputTokens"),
        ..Usage::default()
    }
}

/// Writes the members of the object.
pub(super) fn write(object: &mut ObjectWriter<'_>, usage: Usage) {
    object.put("inputTokens", usage.input);
    object.put("outputTokens", usage.output);
    object.put("totalTokens", usage.total());
    if usage.cache_read > 0 || usage.cache_written_total() > 0 {
        object.put("cacheReadInputTokens", usage.cache_read);
        object.put("cacheWriteInputTokens", usage.cache_written_total());
    }
    if usage.cache_written_hour > 0 {
        object.list("cacheDetails", |list| {
            for (ttl, count) in [("1h", usage.cache_written_hour), ("5m", usage.cache_written)] {
                list.object(|detail| {
                    detail.put("ttl", ttl);
                    detail.put("inputTokens", count);
                });
            }
        });
    }
}
