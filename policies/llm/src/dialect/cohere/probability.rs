//! How likely tokens were: the `logprobs` of an answer.

use crate::completion::TokenProbability;
use crate::fault::Ledger;
use crate::json::{FromJson, Json, ObjectWriter, Text};

/// One entry. The tokens of a stretch of text have no texts of their own: they count as one.
pub(super) fn read(entry: Json<'_>) -> Option<TokenProbability<'_>> {
    let token = entry.member("text").and_then(Text::from_json)?;
    let each = entry.member("logprobs").and_then(Vec::<f64>::from_json)?;
    Some(TokenProbability { token, log_probability: each.iter().sum(), bytes: None, top: Vec::new() })
}

/// Writes an entry. Names of tokens are not known elsewhere.
pub(super) fn write(token: &TokenProbability<'_>, entry: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if !token.top.is_empty() {
        ledger.left_out("the likeliest other tokens");
    }
    entry.put("text", &token.token);
    entry.list("token_ids", |_| {});
    entry.list("logprobs", |list| list.put(token.log_probability));
}
