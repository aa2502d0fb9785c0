//! Reads the items of an answer, leniently: providers add to them.

use super::{citation, probability};
use crate::completion::{Finish, TokenProbability};
use crate::content::{Arguments, Call, Content, Maker, Media, Part, Signature, Thought};
use crate::fault::Ledger;
use crate::json::{FromJson, Json, Text};

/// A text of an object; none if it is of another kind.
pub(super) fn text<'a>(json: Json<'a>, name: &str) -> Option<Text<'a>> {
    json.member(name).and_then(Text::from_json)
}

/// The word that an object's `type` is.
pub(super) fn kind<'a>(json: Json<'a>) -> std::borrow::Cow<'a, str> {
    text(json, "type").unwrap_or_default().plain()
}

/// What an item holds.
pub(super) fn parts<'a>(item: Json<'a>, ledger: &mut Ledger) -> Vec<Part<'a>> {
    let content = match kind(item).as_ref() {
        "message" => {
            let parts = item.member("content").and_then(Json::items).into_iter().flatten();
            return parts.filter_map(|part| message_part(part, ledger)).map(Part::from).collect();
        }
        "function_call" => Some(Content::Call(call(item))),
        "reasoning" => thought(item).map(Content::Thought),
        "image_generation_call" => image(item),
        other => {
            ledger.left_out(&format!("output item {other}"));
            None
        }
    };
    content.map(Part::from).into_iter().collect()
}

/// One part of a message.
pub(super) fn message_part<'a>(part: Json<'a>, ledger: &mut Ledger) -> Option<Content<'a>> {
    match kind(part).as_ref() {
        "output_text" | "text" => Some(Content::Text {
            text: text(part, "text").unwrap_or_default(),
            citations: citation::read_all(part.member("annotations"), ledger),
        }),
        "refusal" => text(part, "refusal").map(Content::Refusal),
        other => {
            ledger.left_out(&format!("output content {other}"));
            None
        }
    }
}

/// How likely the tokens of all messages were.
pub(super) fn probabilities<'a>(item: Json<'a>) -> Vec<TokenProbability<'a>> {
    let parts = item.member("content").and_then(Json::items).into_iter().flatten();
    parts.filter_map(|part| part.member("logprobs")).flat_map(probability::read).collect()
}

/// A call of a tool. One without arguments has `{}`.
pub(super) fn call(item: Json<'_>) -> Call<'_> {
    let arguments = text(item, "arguments").filter(|arguments| !arguments.is_empty());
    Call {
        id: text(item, "call_id").or_else(|| text(item, "id")).unwrap_or_default(),
        name: text(item, "name").unwrap_or_default(),
        arguments: Arguments::Text(arguments.unwrap_or_else(|| Text::from(super::item::NO_ARGUMENTS))),
    }
}

/// A thought. One that the provider keeps to itself, and only names, is none.
pub(super) fn thought(item: Json<'_>) -> Option<Thought<'_>> {
    let lists = ["summary", "content"].into_iter().filter_map(|name| item.member(name).and_then(Json::items));
    let mut texts: Vec<Text<'_>> = lists.flatten().filter_map(|part| text(part, "text")).collect();
    let signature = signature(item);
    if texts.is_empty() && signature.is_none() {
        return None;
    }
    let is_redacted = texts.is_empty();
    let joined = match texts.len() {
        0 | 1 => texts.pop().unwrap_or_default(),
        _ => texts.iter().map(Text::plain).collect::<Vec<_>>().join(BETWEEN_SUMMARIES).into(),
    };
    Some(Thought { text: joined, signature, is_redacted })
}

/// Stands between the parts of one thought's summary.
pub(super) const BETWEEN_SUMMARIES: &str = "\n\n";

/// What proves a thought to its maker.
pub(super) fn signature(item: Json<'_>) -> Option<Signature<'_>> {
    let encrypted = text(item, "encrypted_content").filter(|encrypted| !encrypted.is_empty());
    encrypted.map(|encrypted| Signature::from_dialect(Maker::Openai, encrypted))
}

/// An image that the model made.
pub(super) fn image(item: Json<'_>) -> Option<Content<'_>> {
    let format = text(item, "output_format").map_or_else(|| "png".to_owned(), Text::into_string);
    let data = text(item, "result").filter(|data| !data.is_empty())?;
    let media = Media::Base64 { media_type: format!("image/{format}").into(), data };
    Some(Content::Image { media, detail: None })
}

/// Why an answer ended, by its `status` and `incomplete_details`.
pub(super) fn finish(answer: Json<'_>, has_calls: bool, has_refusal: bool) -> Finish {
    if text(answer, "status").is_some_and(|status| status == *"incomplete") {
        let reason = answer.member("incomplete_details").and_then(|details| text(details, "reason"));
        let is_filtered = reason.is_some_and(|reason| reason == *"content_filter");
        return if is_filtered { Finish::Refused } else { Finish::Length };
    }
    match (has_calls, has_refusal) {
        (true, _) => Finish::ToolCalls,
        (false, true) => Finish::Refused,
        (false, false) => Finish::Stop,
    }
}
