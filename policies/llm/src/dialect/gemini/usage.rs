//! `usageMetadata`: thoughts come beside the answer's tokens, and what a cache gave is in the prompt's.

use super::number;
use crate::json::{Json, ListWriter, ObjectWriter};
use crate::usage::Usage;

/// What the provider counted.
pub fn read(metadata: Json<'_>) -> Usage {
    let count = |name| metadata.member(name).and_then(number).unwrap_or(0);
    let detail = |name, kind: &str| metadata.member(name).map_or(0, |details| tokens_of(details, kind));
    let fresh = |kind| detail("promptTokensDetails", kind).saturating_sub(detail("cacheTokensDetails", kind));
    let (cached, thoughts) = (count("cachedContentTokenCount"), count("thoughtsTokenCount"));
    Usage {
        input: count("promptTokenCount").saturating_sub(cached).saturating_add(count("toolUsePromptTokenCount")),
        cache_read: cached,
        output: count("candidatesTokenCount").saturating_add(thoughts),
        reasoning: thoughts,
        audio_input: fresh("AUDIO"),
        image_input: fresh("IMAGE"),
        audio_output: detail("candidatesTokensDetails", "AUDIO"),
        ..Usage::default()
    }
}

fn tokens_of(details: Json<'_>, kind: &str) -> u32 {
    let of_kind = |detail: &Json<'_>| {
        let modality = detail.member("modality").map(Json::written);
        modality.is_some_and(|modality| modality.trim_matches('"') == kind)
    };
    let counts = details.items().into_iter().flatten().filter(of_kind);
    counts.filter_map(|detail| detail.member("tokenCount").and_then(number)).fold(0, u32::saturating_add)
}

/// Writes the members of the object.
pub(super) fn write(metadata: &mut ObjectWriter<'_>, usage: Usage) {
    let some = |count: u32| Some(count).filter(|count| *count > 0);
    let said = usage.output.saturating_sub(usage.reasoning);
    metadata.put("promptTokenCount", usage.input_total());
    metadata.put("candidatesTokenCount", said);
    metadata.put("totalTokenCount", usage.total());
    metadata.put_some("cachedContentTokenCount", some(usage.cache_read));
    metadata.put_some("thoughtsTokenCount", some(usage.reasoning));
    let inputs = [("AUDIO", usage.audio_input), ("IMAGE", usage.image_input)];
    write_details(metadata, "promptTokensDetails", usage.input_total(), &inputs);
    write_details(metadata, "candidatesTokensDetails", said, &[("AUDIO", usage.audio_output)]);
}

/// What is of no other kind is text.
fn write_details(metadata: &mut ObjectWriter<'_>, name: &str, total: u32, kinds: &[(&str, u32)]) {
    let put = |list: &mut ListWriter<'_>, kind: &str, count: u32| {
        list.object(|detail| {
            detail.put("modality", kind);
            detail.put("tokenCount", count);
        });
    };
    if kinds.iter().all(|(_, count)| *count == 0) {
        return;
    }
    let others = kinds.iter().fold(0, |sum: u32, (_, count)| sum.saturating_add(*count));
    metadata.list(name, |list| {
        put(list, "TEXT", total.saturating_sub(others));
        kinds.iter().filter(|(_, count)| *count > 0).for_each(|(kind, count)| put(list, kind, *count));
    });
}
