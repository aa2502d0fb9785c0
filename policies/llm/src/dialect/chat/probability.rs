//! How likely tokens were. Responses have it in the same words.

use crate::completion::TokenProbability;
use crate::json::{FromJson as _, Json, ListWriter, Text};

/// Reads a list of tokens; what cannot be read of it is left out.
pub(crate) fn read(list: Json<'_>) -> Vec<TokenProbability<'_>> {
    list.items().into_iter().flatten().filter_map(read_one).collect()
}

fn read_one(token: Json<'_>) -> Option<TokenProbability<'_>> {
    Some(TokenProbability {
        token: token.member("token").and_then(Text::from_json)?,
        log_probability: token.member("logprob").and_then(f64::from_json)?,
        bytes: token.member("bytes").and_then(Vec::from_json),
        top: token.member("top_logprobs").map(read).unwrap_or_default(),
    })
}

/// Writes the items of a list of tokens.
pub(super) fn write(tokens: &[TokenProbability<'_>], list: &mut ListWriter<'_>) {
    for token in tokens {
        write_one(token, list, |object| {
            object.list("top_logprobs", |top| {
                for one in &token.top {
                    write_one(one, top, |_| {});
                }
            });
        });
    }
}

fn write_one(
    token: &TokenProbability<'_>,
    list: &mut ListWriter<'_>,
    more: impl FnOnce(&mut crate::json::ObjectWriter<'_>),
) {
    list.object(|object| {
        object.put("token", &token.token);
        object.put("logprob", token.log_probability);
        object.put("bytes", token.bytes.as_ref());
        more(object);
    });
}
