//! The tokens that an answer cost.

use serde::{Deserialize, Serialize};

/// Tokens used, as the provider counted them. The kinds of input add up, and so do the kinds of output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Input that was neither read from nor written to a prompt cache.
    pub input: u32,
    /// Input read from a cache.
    pub cache_read: u32,
    /// Input written to a cache that is kept for five minutes, or for as long as the provider likes.
    pub cache_written: u32,
    /// Input written to a cache that is kept for an hour.
    pub cache_written_hour: u32,
    /// Output, with what is in `reasoning` and `audio_output`.
    pub output: u32,
    /// Of the output, thoughts.
    pub reasoning: u32,
    /// Of the fresh input, audio.
    pub audio_input: u32,
    /// Of the fresh input, images.
    pub image_input: u32,
    /// Of the output, audio.
    pub audio_output: u32,
    /// Of the input, what the provider adds itself and does not charge for.
    pub unbilled_input: u32,
    /// Of the output, what the provider does not charge for.
    pub unbilled_output: u32,
    /// Whether this is the gateway's estimate, since the provider's figures never came.
    pub is_estimate: bool,
}

impl Usage {
    /// All input, cached or not.
    pub fn input_total(self) -> u32 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_written_total())
    }

    /// All input that was written to a cache.
    pub fn cache_written_total(self) -> u32 {
        self.cache_written.saturating_add(self.cache_written_hour)
    }

    /// All tokens.
    pub fn total(self) -> u32 {
        self.input_total().saturating_add(self.output)
    }
}
