//! Gemini `generateContent`: the model and whether to stream are in the path, so neither is read or written here.

mod citation;
mod config;
mod media;
mod part;
mod partial_arguments;
mod schema;
mod signature;
mod tool;
pub mod usage;

pub mod error;
pub mod request;
pub mod response;
pub mod stream;

use crate::completion::{Finish, TokenProbability};
use crate::error::{ErrorKind, UpstreamError};
use crate::json::{Json, ListWriter, ObjectWriter, Text};

/// What a reason to finish means; `none` if it is not one.
fn finish(reason: &str, message: Option<Json<'_>>) -> Option<Result<Finish, UpstreamError>> {
    Some(Ok(match reason {
        "" | "null" | "FINISH_REASON_UNSPECIFIED" => return None,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION" => Finish::Refused,
        "CONTINUATION" => Finish::Paused,
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "MISSING_THOUGHT_SIGNATURE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "NO_IMAGE"
        | "IMAGE_OTHER"
        | "OTHER" => {
            let said = message.and_then(text).map(Text::into_string).unwrap_or_default();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let message = format!("the provider ended the answer with {reason}{said}");
            return Some(Err(UpstreamError::told(ErrorKind::Other, message)));
        }
        _ => Finish::Stop,
    }))
}

/// The reason for an end. Which text ended the answer, and that its tools are to be called, has no word of its own.
fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Refused => "SAFETY",
        Finish::Paused => "OTHER",
    }
}

/// How likely the tokens of `logprobsResult` were.
fn log_probabilities(result: Json<'_>) -> Vec<TokenProbability<'_>> {
    let chosen = result.member("chosenCandidates").and_then(Json::items).into_iter().flatten();
    let mut others = result.member("topCandidates").and_then(Json::items).into_iter().flatten();
    let with_others = chosen.filter_map(|chosen| {
        let others = others.next().and_then(|others| others.member("candidates")?.items());
        let top = others.into_iter().flatten().filter_map(token_probability).collect();
        Some(TokenProbability { top, ..token_probability(chosen)? })
    });
    with_others.collect()
}

fn token_probability(candidate: Json<'_>) -> Option<TokenProbability<'_>> {
    let token = candidate.member("token").and_then(text).unwrap_or_default();
    let log_probability = candidate.member("logProbability")?.written().parse().ok()?;
    Some(TokenProbability { token, log_probability, bytes: None, top: Vec::new() })
}

fn write_log_probabilities(result: &mut ObjectWriter<'_>, tokens: &[TokenProbability<'_>]) {
    let put = |list: &mut ListWriter<'_>, token: &TokenProbability<'_>| {
        list.object(|candidate| {
            candidate.put("token", &token.token);
            candidate.put("logProbability", token.log_probability);
        });
    };
    result.list("chosenCandidates", |list| tokens.iter().for_each(|token| put(list, token)));
    if tokens.iter().any(|token| !token.top.is_empty()) {
        result.list("topCandidates", |list| {
            for token in tokens {
                list.object(|top| top.list("candidates", |list| token.top.iter().for_each(|token| put(list, token))));
            }
        });
    }
}

/// The id of a call to which the upstream gave none.
fn call_id(seed: &str, count: u32) -> String {
    format!("call_{seed}_{count}")
}

/// Whether the model is of the time before signatures were checked and thoughts had levels.
fn is_older(model: &Text<'_>) -> bool {
    let model = model.plain();
    ["gemini-1", "gemini-2", "gemma", "learnlm"].iter().any(|name| model.contains(name))
}

/// A text out of an answer.
fn text(json: Json<'_>) -> Option<Text<'_>> {
    crate::json::FromJson::from_json(json)
}

/// A whole number out of an answer.
fn number(json: Json<'_>) -> Option<u32> {
    crate::json::FromJson::from_json(json)
}
