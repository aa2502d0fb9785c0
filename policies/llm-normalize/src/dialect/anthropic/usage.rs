//! How messages count tokens.

use serde::Deserialize;

use crate::completion::Usage;

/// What a message or an event says of usage; what it does not say stays as it was.
#[derive(Deserialize, Default)]
pub(super) struct UsageText {
    input_tokens: Option<u32>,
    cache_read_input_tokens: Option<u32>,
    cache_creation_input_tokens: Option<u32>,
    output_tokens: Option<u32>,
}

impl UsageText {
    /// The counts are totals so far: the last one holds, and none is ever added up.
    pub(super) fn apply(&self, usage: &mut Usage) {
        let pairs = [
            (self.input_tokens, &mut usage.input),
            (self.cache_read_input_tokens, &mut usage.cache_read),
            (self.cache_creation_input_tokens, &mut usage.cache_written),
            (self.output_tokens, &mut usage.output),
        ];
        for (said, count) in pairs {
            *count = said.unwrap_or(*count);
        }
    }
}
