//! How chat completions count tokens.

use serde::Serialize;

use crate::completion::Usage;

#[derive(Serialize)]
pub(super) struct UsageText {
    prompt_tokens: u32,
    completion_tokens: u32,
    total_tokens: u32,
    prompt_tokens_details: Details,
}

#[derive(Serialize)]
struct Details {
    cached_tokens: u32,
    cache_creation_tokens: u32,
}

impl From<Usage> for UsageText {
    fn from(usage: Usage) -> Self {
        Self {
            prompt_tokens: usage.input_total(),
            completion_tokens: usage.output,
            total_tokens: usage.input_total().saturating_add(usage.output),
            prompt_tokens_details: Details {
                cached_tokens: usage.cache_read,
                cache_creation_tokens: usage.cache_written,
            },
        }
    }
}
