//! The content blocks of requests and answers.

use super::citation;
use crate::content::{
    Arguments, Call, Content, Document, DocumentSource, Maker, Media, Part, ResultContent, Signature, Thought,
    ToolResult,
};
use crate::conversation::CacheMark;
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson as _, Json, ListWriter, Object, ObjectWriter, Text};

/// Content is a text or a list of blocks.
pub(super) fn read_content<'a>(
    object: &mut Object<'a>,
    name: &str,
    ledger: &mut Ledger,
) -> Result<Vec<Part<'a>>, Fault> {
    let Some(content) = object.take::<Json<'a>>(name)? else { return Ok(Vec::new()) };
    if let Some(text) = Text::from_json(content) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Content::text(text).into()] });
    }
    let blocks =
        content.items().ok_or_else(|| Fault::invalid(&content.path(), "must be a text or a list of blocks"))?;
    blocks.map(|block| block.read(ledger, read)).collect()
}

/// Reads a block of a request.
fn read<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Part<'a>, Fault> {
    let kind: String = block.require("type")?;
    let cache = read_cache(block, ledger)?;
    let content = match kind.as_str() {
        "text" => {
            let citations = block.take::<Json<'a>>("citations")?.map(citation::read).unwrap_or_default();
            Content::Text { text: block.require("text")?, citations }
        }
        "image" => Content::Image { media: read_media(block, ledger)?, detail: None },
        "document" => read_document(block, ledger)?,
        "thinking" => {
            let signature = block.take("signature")?.filter(|signature: &Text<'_>| !signature.is_empty());
            let signature = signature.map(|value| Signature::from_dialect(Maker::Anthropic, value));
            Content::Thought(Thought {
                text: block.take("thinking")?.unwrap_or_default(),
                signature,
                is_redacted: false,
            })
        }
        "redacted_thinking" => Content::Thought(redacted(block.require("data")?)),
        "tool_use" => {
            block.skip(&["caller"]);
            let arguments = block.take("input")?.ok_or_else(|| block.missing("input"))?;
            let (id, name) = (block.require("id")?, block.require("name")?);
            Content::Call(Call { id, name, arguments: Arguments::Object(arguments) })
        }
        "tool_result" => {
            let call = block.require("tool_use_id")?;
            let content = ResultContent::Parts(read_content(block, "content", ledger)?);
            Content::ToolResult(ToolResult { call, name: None, content, is_error: block.take("is_error")? })
        }
        _ => {
            let why = format!("{kind:?} is not offered by this model's provider");
            return Err(Fault::unsupported(&block.path_of("type"), &why));
        }
    };
    Ok(Part { content, cache })
}

/// The mark at which a prompt cache may end.
pub(super) fn read_cache<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<CacheMark<'a>>, Fault> {
    block.take_object("cache_control", ledger, |mark, _| {
        mark.skip(&["type"]);
        Ok(CacheMark { ttl: mark.take("ttl")? })
    })
}

fn redacted(data: Text<'_>) -> Thought<'_> {
    let signature = Some(Signature::from_dialect(Maker::Anthropic, data));
    Thought { text: Text::default(), signature, is_redacted: true }
}

fn read_media<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Media<'a>, Fault> {
    let media = block.take_object("source", ledger, |source, _| {
        let kind: String = source.require("type")?;
        Ok(match kind.as_str() {
            "base64" => Media::Base64 { media_type: source.require("media_type")?, data: source.require("data")? },
            "url" => Media::Url { media_type: None, url: source.require("url")? },
            "file" => Media::File(source.require("file_id")?),
            _ => return Err(Fault::unsupported(&source.path_of("type"), &format!("{kind:?} is not known"))),
        })
    })?;
    media.ok_or_else(|| block.missing("source"))
}

fn read_document<'a>(block: &mut Object<'a>, ledger: &mut Ledger) -> Result<Content<'a>, Fault> {
    let title = block.take("title")?;
    let context = block.take("context")?;
    let citations = block.take_object("citations", ledger, |citations, _| citations.take("enabled"))?.flatten();
    let text = block
        .json()
        .member("source")
        .filter(|source| source.member("type").is_some_and(|kind| kind.written() == "\"text\""));
    let source = match text.and_then(|source| source.member("data")).and_then(Text::from_json) {
        Some(text) => {
            block.skip(&["source"]);
            DocumentSource::Text(text)
        }
        None => DocumentSource::Media(read_media(block, ledger)?),
    };
    Ok(Content::Document(Document { source, title, context, citations }))
}

/// Reads a block of an answer; none of a kind that is not known.
pub(super) fn answered(block: Json<'_>) -> Option<Content<'_>> {
    let text = |name: &str| block.member(name).and_then(Text::from_json);
    Some(match text("type")?.plain().as_ref() {
        "text" => Content::Text {
            text: text("text").unwrap_or_default(),
            citations: block.member("citations").map(citation::read).unwrap_or_default(),
        },
        "thinking" => {
            let signature = text("signature").filter(|signature| !signature.is_empty());
            let signature = signature.map(|value| Signature::from_dialect(Maker::Anthropic, value));
            Content::Thought(Thought { text: text("thinking").unwrap_or_default(), signature, is_redacted: false })
        }
        "redacted_thinking" => Content::Thought(redacted(text("data")?)),
        "tool_use" => Content::Call(Call {
            id: text("id").unwrap_or_default(),
            name: text("name")?,
            arguments: match block.member("input") {
                Some(input) if input.is_object() => Arguments::Object(input),
                _ => Arguments::Text(Text::default()),
            },
        }),
        _ => return None,
    })
}

/// Writes a block. An empty text says nothing and would be refused.
pub(super) fn write(part: &Part<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let cache = part.cache.as_ref();
    match &part.content {
        Content::Text { text, citations } if !text.is_empty() => list.object(|block| {
            block.put("type", "text");
            block.put("text", text);
            let known: Vec<_> = citations.iter().filter(|citation| citation::is_known(citation)).collect();
            if known.len() < citations.len() {
                ledger.left_out("citations that name no document");
            }
            if !known.is_empty() {
                block.list("citations", |list| known.iter().for_each(|citation| citation::write(citation, list)));
            }
            write_cache(cache, block);
        }),
        Content::Refusal(text) if !text.is_empty() => list.object(|block| {
            block.put("type", "text");
            block.put("text", text);
            write_cache(cache, block);
        }),
        Content::Image { media, detail } => {
            if detail.as_ref().is_some_and(|detail| *detail != *"auto") {
                ledger.left_out("an image's detail");
            }
            list.object(|block| {
                block.put("type", "image");
                write_media(media, block);
                write_cache(cache, block);
            });
        }
        Content::Document(document) => list.object(|block| {
            write_document(document, block);
            write_cache(cache, block);
        }),
        Content::Audio(_) | Content::Video(_) => {
            ledger.refuse("audio or video", "is not offered by this model's provider");
        }
        Content::Thought(thought) => write_thought(thought, list, ledger),
        Content::Call(call) => list.object(|block| {
            block.put("type", "tool_use");
            block.put("id", &call.id);
            block.put("name", &call.name);
            write_input(&call.arguments, block, ledger);
            write_cache(cache, block);
        }),
        Content::ToolResult(result) => list.object(|block| {
            block.put("type", "tool_result");
            block.put("tool_use_id", &result.call);
            write_result(&result.content, block, ledger);
            block.put_some("is_error", result.is_error.filter(|is_error| *is_error));
            write_cache(cache, block);
        }),
        Content::Text { .. } | Content::Refusal(_) => {}
    }
}

pub(super) fn write_cache(cache: Option<&CacheMark<'_>>, block: &mut ObjectWriter<'_>) {
    if let Some(mark) = cache {
        block.object("cache_control", |object| {
            object.put("type", "ephemeral");
            object.put_some("ttl", mark.ttl.as_ref());
        });
    }
}

fn write_media(media: &Media<'_>, block: &mut ObjectWriter<'_>) {
    block.object("source", |source| match media {
        Media::Base64 { media_type, data } => {
            source.put("type", "base64");
            source.put("media_type", media_type);
            source.put("data", data);
        }
        Media::Url { url, .. } => {
            source.put("type", "url");
            source.put("url", url);
        }
        Media::File(id) => {
            source.put("type", "file");
            source.put("file_id", id);
        }
    });
}

fn write_document(document: &Document<'_>, block: &mut ObjectWriter<'_>) {
    block.put("type", "document");
    match &document.source {
        DocumentSource::Media(media) => write_media(media, block),
        DocumentSource::Text(text) => block.object("source", |source| {
            source.put("type", "text");
            source.put("media_type", "text/plain");
            source.put("data", text);
        }),
    }
    block.put_some("title", document.title.as_ref());
    block.put_some("context", document.context.as_ref());
    if let Some(is_enabled) = document.citations {
        block.object("citations", |citations| citations.put("enabled", is_enabled));
    }
}

/// Only what this maker signed can be given back as a thought; another maker's travels along, for the client's sake.
fn write_thought(thought: &Thought<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let signed = thought.signature.as_ref();
    match signed.filter(|signature| signature.maker == Maker::Anthropic) {
        Some(signature) if thought.is_redacted => list.object(|block| {
            block.put("type", "redacted_thinking");
            block.put("data", &signature.value);
        }),
        Some(signature) => list.object(|block| {
            block.put("type", "thinking");
            block.put("thinking", &thought.text);
            block.put("signature", &signature.value);
        }),
        None if signed.is_some() => ledger.left_out("thoughts that another provider's model signed"),
        None => ledger.left_out("thoughts without a signature"),
    }
}

/// The input is always an object. What the model wrote may be none: then its place is kept, and the rest said.
pub(super) fn write_input(arguments: &Arguments<'_>, block: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let text = match arguments {
        Arguments::Object(object) => return block.put("input", object),
        Arguments::Text(text) => text.plain(),
    };
    let document = crate::json::Document::parse(&text).ok();
    match document.as_ref().map(crate::json::Document::root).filter(|root| root.is_object()) {
        Some(input) => block.put("input", input),
        None => {
            if !text.trim().is_empty() {
                ledger.changed("a call's arguments that are no JSON object", "became {}");
            }
            block.object("input", |_| {});
        }
    }
}

fn write_result(content: &ResultContent<'_>, block: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    match content {
        ResultContent::Object(object) => block.put("content", object.written()),
        ResultContent::Parts(parts) if parts.is_empty() => {}
        ResultContent::Parts(parts) => block.list("content", |list| {
            for part in parts {
                write(part, list, ledger);
            }
        }),
    }
}
