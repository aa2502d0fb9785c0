//! How likely tokens were: the `logprobs` of a text.

use crate::completion::TokenProbability;
use crate::json::{FromJson, Json, ListWriter, ObjectWriter, Text};

/// The probabilities in a `logprobs` list.
pub(super) fn read(list: Json<'_>) -> Vec<TokenProbability<'_>> {
    list.items().into_iter().flatten().filter_map(read_one).collect()
}

fn read_one(entry: Json<'_>) -> Option<TokenProbability<'_>> {
    Some(TokenProbability {
        token: entry.member("token").and_then(Text::from_json)?,
        log_probability: entry.member("logprob").and_then(f64::from_json)?,
        bytes: entry.member("bytes").and_then(Vec::from_json),
        top: entry.member("top_logprobs").map(read).unwrap_or_default(),
    })
}

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
