//! What the model says, in a request and in an answer: content, a plan, calls and citations.

use super::citation::{self, Cited};
use crate::content::{Arguments, Call, Citation, Content, Maker, Part, Signature, Thought};
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson, Json, ListWriter, ObjectWriter, Text};

/// What the arguments of a call are where the model gave none.
pub(super) const NO_ARGUMENTS: &str = "{}";

/// A text of an object; none if it is of another kind.
pub(super) fn text<'a>(json: Json<'a>, name: &str) -> Option<Text<'a>> {
    json.member(name).and_then(Text::from_json)
}

/// Reads what the model said, leniently: thoughts come before what they lead to.
pub(super) fn read<'a>(message: Json<'a>, ledger: &mut Ledger) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut texts = Vec::new();
    match message.member("content") {
        Some(content) if content.is_list() => {
            for (part, index) in content.items().into_iter().flatten().zip(0_u32..) {
                if let Some(content) = read_content(part, ledger) {
                    texts.push((index, parts.len()));
                    parts.push(Part::from(content));
                }
            }
        }
        Some(content) => {
            texts.push((0, 0));
            parts.extend(Text::from_json(content).map(Content::text).map(Part::from));
        }
        None => {}
    }
    read_citations(message.member("citations"), &texts, &mut parts, ledger);
    if let Some(plan) = text(message, "tool_plan").filter(|plan| !plan.is_empty()) {
        parts.push(Part::from(Content::Thought(Thought { text: plan, ..Thought::default() })));
    }
    let calls = message.member("tool_calls").and_then(Json::items).into_iter().flatten();
    parts.extend(calls.map(|call| Part::from(Content::Call(read_call(call)))));
    // An empty text says nothing beside other things.
    if parts.len() > 1 {
        parts.retain(|part| !matches!(&part.content, Content::Text { text, .. } if text.is_empty()));
    }
    parts
}

fn read_content<'a>(part: Json<'a>, ledger: &mut Ledger) -> Option<Content<'a>> {
    match text(part, "type").unwrap_or_default().plain().as_ref() {
        "text" => text(part, "text").map(Content::text),
        "thinking" => Some(Content::Thought(read_thought(part))),
        other => {
            ledger.left_out(&format!("content {other}"));
            None
        }
    }
}

fn read_thought(part: Json<'_>) -> Thought<'_> {
    let is_redacted = part.member("redacted").and_then(bool::from_json).unwrap_or(false);
    Thought { text: text(part, "thinking").unwrap_or_default(), signature: read_signature(part), is_redacted }
}

/// Only signatures of others are here.
pub(super) fn read_signature(part: Json<'_>) -> Option<Signature<'_>> {
    let signature = text(part, "signature").map(|text| (text.clone(), Signature::from_dialect(Maker::Google, text)))?;
    // One that stays as it was names no maker.
    let (written, signature) = signature;
    (written != signature.value).then_some(signature)
}

/// A signature with the name of its maker.
pub(super) fn signature<'a>(signature: &Signature<'a>) -> Text<'a> {
    let other = if signature.maker == Maker::Google { Maker::Anthropic } else { Maker::Google };
    signature.in_dialect(other)
}

/// A call of a tool. One without arguments has `{}`.
pub(super) fn read_call(call: Json<'_>) -> Call<'_> {
    let function = call.member("function");
    let of = |name: &str| function.and_then(|function| text(function, name)).filter(|text| !text.is_empty());
    Call {
        id: text(call, "id").unwrap_or_default(),
        name: of("name").unwrap_or_default(),
        // Models write `null` for a call without arguments.
        arguments: Arguments::Text(of("arguments").filter(|text| *text != *"null").unwrap_or(NO_ARGUMENTS.into())),
    }
}

/// Each citation goes to the text that it is of.
fn read_citations<'a>(list: Option<Json<'a>>, texts: &[(u32, usize)], parts: &mut [Part<'a>], ledger: &mut Ledger) {
    for entry in list.and_then(Json::items).into_iter().flatten() {
        let index = citation::content_index(entry);
        let mut of_index = texts.iter().filter(|(known, _)| index.is_none_or(|index| index == *known));
        let is_text = |part: usize| matches!(parts.get(part), Some(Part { content: Content::Text { .. }, .. }));
        let place = of_index.find(|(_, part)| is_text(*part)).map(|(_, part)| *part);
        match place.and_then(|place| parts.get_mut(place)) {
            Some(Part { content: Content::Text { citations, .. }, .. }) if citation::is_of_text(entry) => {
                citations.extend(citation::read(entry));
            }
            _ => ledger.left_out("citations of plans and thoughts"),
        }
    }
}

/// Refuses what the lenient reader would pass over, for messages that a client wrote.
pub(super) fn check(message: Json<'_>) -> Result<(), Fault> {
    let is_list = |name: &str| message.member(name).is_none_or(|value| value.is_list() || value.is_null());
    for name in ["tool_calls", "citations"] {
        if !is_list(name) {
            return Err(Fault::invalid(&format!("{}.{name}", message.path()), "must be a list"));
        }
    }
    for call in message.member("tool_calls").and_then(Json::items).into_iter().flatten() {
        let has_name = call.member("function").is_some_and(|function| text(function, "name").is_some());
        if !has_name {
            return Err(Fault::invalid(&format!("{}.function.name", call.path()), "is missing"));
        }
    }
    Ok(())
}

/// What the model said, sorted as the dialect has it.
#[derive(Default)]
pub(super) struct Said<'p, 'a> {
    /// Thoughts and texts, in order.
    pub(super) content: Vec<Uttered<'p, 'a>>,
    /// A thought about which tools to call.
    pub(super) plan: String,
    /// The calls.
    pub(super) calls: Vec<&'p Call<'a>>,
}

/// A piece of content.
pub(super) enum Uttered<'p, 'a> {
    /// A text, with what it is based on.
    Text(&'p Text<'a>, &'p [Citation<'a>]),
    /// A thought.
    Thought(&'p Thought<'a>),
}

impl Said<'_, '_> {
    /// Whether there is nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.content.is_empty() && self.plan.is_empty() && self.calls.is_empty()
    }

    /// Writes the parts of the content.
    pub(super) fn write_content(&self, list: &mut ListWriter<'_>) {
        for uttered in &self.content {
            list.object(|part| match uttered {
                Uttered::Text(text, _) => {
                    part.put("type", "text");
                    part.put("text", text);
                }
                Uttered::Thought(thought) => {
                    part.put("type", "thinking");
                    part.put("thinking", &thought.text);
                    part.put_some("signature", thought.signature.as_ref().map(signature));
                    if thought.is_redacted {
                        part.put("redacted", true);
                    }
                }
            });
        }
    }

    /// Writes the calls and the citations.
    pub(super) fn write_rest(&self, message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
        if !self.calls.is_empty() {
            message.list("tool_calls", |list| {
                self.calls.iter().for_each(|call| list.object(|object| write_call(call, object)));
            });
        }
        let is_cited =
            |uttered: &Uttered<'_, '_>| matches!(uttered, Uttered::Text(_, citations) if !citations.is_empty());
        if self.content.iter().any(is_cited) {
            message.list("citations", |list| {
                for (uttered, content) in self.content.iter().zip(0_u32..) {
                    if let Uttered::Text(text, citations) = uttered {
                        let plain = text.plain();
                        let length = u32::try_from(plain.chars().count()).unwrap_or(u32::MAX);
                        let cited = Cited { text: Some(&plain), length, content };
                        cited.write_all(citations, list, ledger);
                    }
                }
            });
        }
    }
}

fn write_call(call: &Call<'_>, object: &mut ObjectWriter<'_>) {
    object.put("id", &call.id);
    object.put("type", "function");
    object.object("function", |function| {
        function.put("name", &call.name);
        match &call.arguments {
            Arguments::Object(json) => function.put("arguments", json.written()),
            Arguments::Text(text) if text.is_empty() => function.put("arguments", NO_ARGUMENTS),
            Arguments::Text(text) => function.put("arguments", text),
        }
    });
}
