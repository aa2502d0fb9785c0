//! Thoughts, for which OpenAI has no field: `reasoning_content` (DeepSeek and many others) has their text, and
//! `reasoning_details` (OpenRouter) all of them. Google's signatures of calls are in `extra_content`, as Google has it.

use crate::content::{Maker, Part, Signature, Thought};
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson as _, Json, Object, ObjectWriter, Text};

/// The thoughts before what a message says. The plain text beside the details says the same.
pub(super) fn read<'a>(message: &mut Object<'a>, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    let details = message.take_objects("reasoning_details", ledger, read_detail)?;
    let plain: Option<Text<'a>> = message.take("reasoning_content")?;
    let older: Option<Text<'a>> = message.take("reasoning")?;
    let mut thoughts: Vec<Thought<'a>> = details.into_iter().flatten().collect();
    if thoughts.is_empty() {
        let text = plain.or(older).filter(|text| !text.is_empty());
        thoughts.extend(text.map(|text| Thought { text, ..Thought::default() }));
    }
    Ok(thoughts.into_iter().map(|thought| crate::content::Content::Thought(thought).into()).collect())
}

fn read_detail<'a>(detail: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Thought<'a>>, Fault> {
    detail.skip(&["index", "id"]);
    let kind: String = detail.require("type")?;
    let format: Option<String> = detail.take("format")?;
    let sign = |text| signature(format.as_deref(), text);
    Ok(match kind.as_str() {
        "reasoning.text" => {
            let text = detail.take("text")?.unwrap_or_default();
            Some(Thought { text, signature: detail.take("signature")?.map(sign), is_redacted: false })
        }
        "reasoning.summary" => Some(Thought { text: detail.require("summary")?, ..Thought::default() }),
        "reasoning.encrypted" => {
            let signature = Some(sign(detail.require("data")?));
            Some(Thought { text: Text::default(), signature, is_redacted: true })
        }
        _ => {
            ledger.refuse(&detail.path_of("type"), &format!("{kind:?} is not known"));
            None
        }
    })
}

/// As [`read`], of an upstream's answer or of a piece of one.
pub(super) fn answered(message: Json<'_>) -> Vec<Thought<'_>> {
    let text = |json: Json<'_>, name: &str| json.member(name).and_then(Text::from_json).map(Text::into_string);
    let details = message.member("reasoning_details").and_then(Json::items).into_iter().flatten();
    let thoughts: Vec<_> = details
        .filter_map(|detail| {
            let format = text(detail, "format");
            let signed = |name: &str| {
                let value = detail.member(name).and_then(Text::from_json)?;
                Some(signature(format.as_deref(), value))
            };
            let says = |name: &str| detail.member(name).and_then(Text::from_json).unwrap_or_default();
            Some(match text(detail, "type")?.as_str() {
                "reasoning.text" => Thought { text: says("text"), signature: signed("signature"), is_redacted: false },
                "reasoning.summary" => Thought { text: says("summary"), ..Thought::default() },
                "reasoning.encrypted" => Thought { signature: signed("data"), is_redacted: true, ..Thought::default() },
                _ => return None,
            })
        })
        .collect();
    if !thoughts.is_empty() {
        return thoughts;
    }
    let plain = ["reasoning_content", "reasoning"].into_iter().find_map(|name| message.member(name));
    let plain = plain.and_then(Text::from_json).filter(|text| !text.is_empty());
    plain.map(|text| Thought { text, ..Thought::default() }).into_iter().collect()
}

/// Google's signature of a call.
pub(super) fn read_extra<'a>(call: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Thought<'a>>, Fault> {
    let google = call.take_object("extra_content", ledger, |extra, ledger| {
        extra.take_object("google", ledger, |google, _| google.take("thought_signature"))
    })?;
    Ok(google.flatten().flatten().map(google_thought))
}

/// As [`read_extra`], of an upstream's answer.
pub(super) fn answered_extra(call: Json<'_>) -> Option<Thought<'_>> {
    let google = call.member("extra_content")?.member("google")?;
    google.member("thought_signature").and_then(Text::from_json).map(google_thought)
}

fn google_thought(value: Text<'_>) -> Thought<'_> {
    let signature = Some(Signature { maker: Maker::Google, value });
    Thought { text: Text::default(), signature, is_redacted: false }
}

fn signature<'a>(format: Option<&str>, value: Text<'a>) -> Signature<'a> {
    let maker = Maker::ALL.into_iter().find(|maker| format.is_some_and(|format| format == format_word(*maker)));
    match maker {
        Some(maker) => Signature { maker, value },
        None => Signature::from_dialect(Maker::Anthropic, value),
    }
}

fn format_word(maker: Maker) -> &'static str {
    match maker {
        Maker::Anthropic => "anthropic-claude-v1",
        Maker::Google => "google-gemini-v1",
        Maker::Openai => "openai-responses-v1",
    }
}

/// Writes one entry of `reasoning_details`.
pub(super) fn write_detail(detail: &mut ObjectWriter<'_>, index: u32, thought: &Thought<'_>) {
    let value = thought.signature.as_ref().map(|signature| &signature.value);
    if thought.is_redacted {
        detail.put("type", "reasoning.encrypted");
        detail.put_some("data", value);
    } else {
        detail.put("type", "reasoning.text");
        if !thought.text.is_empty() || value.is_none() {
            detail.put("text", &thought.text);
        }
        detail.put_some("signature", value);
    }
    detail.put_some("format", thought.signature.as_ref().map(|signature| format_word(signature.maker)));
    detail.put("index", index);
}

/// Writes Google's signature beside a call.
pub(super) fn write_extra(call: &mut ObjectWriter<'_>, signature: &Text<'_>) {
    call.object("extra_content", |extra| {
        extra.object("google", |google| google.put("thought_signature", signature));
    });
}

/// Whether a thought is nothing but Google's signature of what comes after it.
pub(super) fn google_signature<'t, 'a>(thought: &'t Thought<'a>) -> Option<&'t Text<'a>> {
    let signature = thought.signature.as_ref().filter(|signature| signature.maker == Maker::Google)?;
    (thought.text.is_empty() && !thought.is_redacted).then_some(&signature.value)
}
