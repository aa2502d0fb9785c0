//! Blocks of content.

use super::{citation, media};
use crate::base64;
use crate::content::{Arguments, Call, Content, Maker, Part, ResultContent, Signature, Thought, ToolResult};
use crate::conversation::CacheMark;
use crate::fault::{Fault, Ledger};
use crate::json::{Json, ListWriter, Object, ObjectWriter, Raw, Text};

/// Blocks that only this provider knows.
const OWN: [&str; 4] = ["guardContent", "searchResult", "toolAddition", "toolRemoval"];

/// Reads the blocks of a list. A cache point is a mark on the block before it.
pub(super) fn read_all<'a>(holder: &mut Object<'a>, name: &str, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    holder.take_objects(name, ledger, |block, ledger| {
        if let Some(mark) = read_cache(block, ledger)? {
            match parts.last_mut() {
                Some(part) => part.cache = Some(mark),
                None => ledger.left_out(&block.path_of("cachePoint")),
            }
        }
        for name in OWN {
            if block.take::<Json<'a>>(name)?.is_some() {
                ledger.refuse(&block.path_of(name), "is only known to this provider");
            }
        }
        parts.extend(read(block, ledger)?.map(Part::from));
        Ok(())
    })?;
    Ok(parts)
}

/// Takes a cache point.
pub(super) fn read_cache<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<CacheMark<'a>>, Fault> {
    block.take_object("cachePoint", ledger, |point, _| {
        point.skip(&["type"]);
        Ok(CacheMark { ttl: point.take("ttl")? })
    })
}

fn read<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Content<'a>>, Fault> {
    if let Some(text) = block.take::<Text<'a>>("text")? {
        return Ok(Some(Content::text(text)));
    }
    for kind in ["image", "document", "video", "audio"] {
        if let Some(content) = media::take(block, kind, ledger)? {
            return Ok(Some(content));
        }
    }
    let call = block.take_object("toolUse", ledger, |call, ledger| {
        if call.take::<Json<'a>>("type")?.is_some() {
            ledger.refuse(&call.path_of("type"), "is of a tool that the provider runs itself");
        }
        let input = call.take::<Json<'a>>("input")?;
        let arguments = input.map_or(Arguments::Text("{}".into()), Arguments::Object);
        Ok(Content::Call(Call { id: call.require("toolUseId")?, name: call.require("name")?, arguments }))
    })?;
    if call.is_some() {
        return Ok(call);
    }
    let result = block.take_object("toolResult", ledger, read_result)?;
    if result.is_some() {
        return Ok(result);
    }
    let cited = block.take_object("citationsContent", ledger, |cited, ledger| {
        let texts = cited.take_objects("content", ledger, |piece, _| piece.take::<Text<'a>>("text"))?;
        let citations: Vec<Json<'a>> = cited.take("citations")?.unwrap_or_default();
        let mut texts = texts.into_iter().flatten();
        let first = texts.next().unwrap_or_default();
        let rest: String = texts.map(Text::into_string).collect();
        let text = if rest.is_empty() { first } else { (first.into_string() + &rest).into() };
        Ok(Content::Text { text, citations: citations.into_iter().map(citation::read).collect() })
    })?;
    let thought = block.take_object("reasoningContent", ledger, read_thought)?;
    Ok(cited.or(thought.map(Content::Thought)))
}

fn read_result<'a>(result: &mut Object<'a>, ledger: &mut Ledger) -> Result<Content<'a>, Fault> {
    result.skip(&["type"]);
    let mut objects = Vec::new();
    let parts = result.take_objects("content", ledger, |block, ledger| {
        let object: Option<Json<'a>> = block.take("json")?;
        objects.extend(object);
        let text = object.map(|object| Content::text(object.written().to_owned()));
        Ok(text.or(read(block, ledger)?).map(Part::from))
    })?;
    let parts: Vec<Part<'a>> = parts.into_iter().flatten().collect();
    let content = match objects.as_slice() {
        [object] if parts.len() == 1 => ResultContent::Object(*object),
        _ => ResultContent::Parts(parts),
    };
    let status: Option<Text<'a>> = result.take("status")?;
    let is_error = status.map(|status| status == *"error");
    Ok(Content::ToolResult(ToolResult { call: result.require("toolUseId")?, name: None, content, is_error }))
}

fn read_thought<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Thought<'a>, Fault> {
    if let Some(data) = block.take::<Text<'a>>("redactedContent")? {
        return Ok(Thought { signature: Some(redacted(data)), is_redacted: true, ..Thought::default() });
    }
    let thought = block.take_object("reasoningText", ledger, |thought, _| {
        let signature = thought.take::<Text<'a>>("signature")?.filter(|signature| !signature.is_empty());
        let signature = signature.map(|text| Signature::from_dialect(Maker::Anthropic, text));
        Ok(Thought { text: thought.take("text")?.unwrap_or_default(), signature, is_redacted: false })
    })?;
    Ok(thought.unwrap_or_default())
}

/// A redacted thought: bytes, in which what others made is marked.
pub(super) fn redacted(data: Text<'_>) -> Signature<'_> {
    let bytes = base64::decode(&data.plain()).unwrap_or_default();
    let tagged = String::from_utf8(bytes).ok().filter(|text| text.starts_with("gatewright."));
    Signature::from_dialect(Maker::Anthropic, tagged.map_or(data, Text::from))
}

/// The bytes of a redacted thought.
pub(super) fn redacted_bytes<'a>(signature: &Signature<'a>) -> Text<'a> {
    let text = signature.in_dialect(Maker::Anthropic);
    if signature.maker == Maker::Anthropic { text } else { base64::encode(text.plain().as_bytes()).into() }
}

/// Where blocks are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To the model.
    Request,
    /// From a model.
    Answer,
}

/// Writes a part, and the cache point after it.
pub(super) fn write(part: &Part<'_>, place: Place, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let text = crate::json::object_text(|block| write_content(block, &part.content, place, ledger));
    if text != "{}" {
        list.put(Raw(&text));
    }
    if let Some(mark) = &part.cache {
        list.object(|block| write_cache(block, mark));
    }
}

/// Writes a cache point.
pub(super) fn write_cache(block: &mut ObjectWriter<'_>, mark: &CacheMark<'_>) {
    block.object("cachePoint", |point| {
        point.put("type", "default");
        point.put_some("ttl", mark.ttl.as_ref());
    });
}

fn write_content(block: &mut ObjectWriter<'_>, content: &Content<'_>, place: Place, ledger: &mut Ledger) {
    match content {
        // An empty text is refused.
        Content::Text { text, .. } | Content::Refusal(text) if text.is_empty() => {}
        Content::Text { text, citations } if citations.is_empty() => block.put("text", text),
        Content::Text { text, citations } => block.object("citationsContent", |cited| {
            cited.list("content", |list| list.object(|piece| piece.put("text", text)));
            cited.list("citations", |list| {
                citations.iter().for_each(|one| list.object(|object| citation::write(one, object)));
            });
        }),
        Content::Refusal(text) => {
            ledger.changed("messages[].content refusal", "was made a text");
            block.put("text", text);
        }
        Content::Thought(thought) => write_thought(block, thought, place, ledger),
        Content::Call(call) => {
            let arguments = call.arguments.object();
            if arguments.is_none() {
                ledger.changed("arguments of a tool call", "were left out: they are no JSON object");
            }
            block.object("toolUse", |object| {
                object.put("toolUseId", &call.id);
                object.put("name", &call.name);
                object.put("input", Raw(arguments.as_deref().unwrap_or("{}")));
            });
        }
        Content::ToolResult(result) => write_result(block, result, ledger),
        other => media::write(block, other, ledger),
    }
}

/// A model only gets thoughts that it can check; a client gets all, so that it can give them back.
fn write_thought(block: &mut ObjectWriter<'_>, thought: &Thought<'_>, place: Place, ledger: &mut Ledger) {
    let is_own = thought.signature.as_ref().is_some_and(|signature| signature.maker == Maker::Anthropic);
    if place == Place::Request && !is_own {
        return ledger.left_out("thoughts that another provider signed, or nobody");
    }
    block.object("reasoningContent", |content| match &thought.signature {
        Some(signature) if thought.is_redacted => content.put("redactedContent", redacted_bytes(signature)),
        signature => content.object("reasoningText", |object| {
            object.put("text", &thought.text);
            object.put_some("signature", signature.as_ref().map(|signature| signature.in_dialect(Maker::Anthropic)));
        }),
    });
}

fn write_result(block: &mut ObjectWriter<'_>, result: &ToolResult<'_>, ledger: &mut Ledger) {
    block.object("toolResult", |object| {
        object.put("toolUseId", &result.call);
        object.list("content", |list| match &result.content {
            ResultContent::Object(json) => list.object(|item| item.put("json", *json)),
            ResultContent::Parts(parts) => {
                for part in parts {
                    if part.cache.is_some() {
                        ledger.left_out("cache marks in the result of a tool");
                    }
                    let text = crate::json::object_text(|item| match &part.content {
                        Content::Text { text, .. } => item.put("text", text),
                        content if media::is_media(content) => media::write(item, content, ledger),
                        _ => ledger.refuse("the result of a tool", "holds what only a message may"),
                    });
                    if text != "{}" {
                        list.put(Raw(&text));
                    }
                }
            }
        });
        object.put_some("status", result.is_error.map(|is_error| if is_error { "error" } else { "success" }));
    });
}
