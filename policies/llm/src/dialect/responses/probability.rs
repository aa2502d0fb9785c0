//! How likely tokens were: the `logprobs` of a text.

use crate::completion::TokenProbability;
use crate::json::{ListWriter, ObjectWriter};

pub(super) use crate::dialect::chat::probability::read;

/// Writes the entries of a `logprobs` list.
pub(super) fn write(tokens: &[TokenProbability<'_>], list: &mut ListWriter<'_>) {
    for token in tokens {
        list.object(|entry| {
            write_token(token, entry);
            entry.list("top_logprobs", |top| {
                token.top.iter().for_each(|likely| top.object(|entry| write_token(likely, entry)));
            });
        });
    }
}

fn write_token(token: &TokenProbability<'_>, entry: &mut ObjectWriter<'_>) {
    entry.put("token", &token.token);
    entry.put("logprob", token.log_probability);
    match &token.bytes {
        Some(bytes) => entry.put("bytes", bytes),
        None => entry.list("bytes", |bytes| token.token.plain().bytes().for_each(|byte| bytes.put(u32::from(byte)))),
    }
}
