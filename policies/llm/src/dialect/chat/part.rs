//! The parts of what a message says.

use crate::content::{Content, Document, DocumentSource, Media, Part};
use crate::conversation::CacheMark;
use crate::data_url;
use crate::fault::{Fault, Ledger};
use crate::json::{FromJson as _, Json, ListWriter, Object, Text};

/// Content is a text or a list of parts.
pub(super) fn read_content<'a>(message: &mut Object<'a>, ledger: &mut Ledger) -> Result<Vec<Part<'a>>, Fault> {
    let Some(content) = message.take::<Json<'a>>("content")? else { return Ok(Vec::new()) };
    if let Some(text) = Text::from_json(content) {
        return Ok(if text.is_empty() { Vec::new() } else { vec![Content::text(text).into()] });
    }
    let parts = content.items().ok_or_else(|| Fault::invalid(&content.path(), "must be a text or a list of parts"))?;
    parts.map(|part| part.read(ledger, read_part)).collect()
}

fn read_part<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Part<'a>, Fault> {
    let kind: String = part.require("type")?;
    let cache = read_cache(part, ledger)?;
    let content = match kind.as_str() {
        "text" => Content::text(part.require::<Text<'a>>("text")?),
        "refusal" => Content::Refusal(part.require("refusal")?),
        "image_url" => {
            let image = part.take_object("image_url", ledger, |image, _| {
                Ok(Content::Image { media: required(image, "url")?, detail: image.take("detail")? })
            })?;
            image.ok_or_else(|| part.missing("image_url"))?
        }
        "input_audio" => {
            let audio = part.take_object("input_audio", ledger, |audio, _| {
                let format: String = audio.require("format")?;
                let media_type = format!("audio/{format}").into();
                Ok(Content::Audio(Media::Base64 { media_type, data: audio.require("data")? }))
            })?;
            audio.ok_or_else(|| part.missing("input_audio"))?
        }
        "video_url" => {
            let video = part.take_object("video_url", ledger, |video, _| required(video, "url"))?;
            Content::Video(video.ok_or_else(|| part.missing("video_url"))?)
        }
        "file" => part.take_object("file", ledger, read_file)?.ok_or_else(|| part.missing("file"))?,
        _ => return Err(Fault::unsupported(&part.path_of("type"), &format!("{kind:?} is not known"))),
    };
    Ok(Part { content, cache })
}

fn read_file<'a>(file: &mut Object<'a>, _: &mut Ledger) -> Result<Content<'a>, Fault> {
    let id: Option<Text<'a>> = file.take("file_id")?;
    let media = match id {
        Some(id) => Media::File(id),
        None => required(file, "file_data")?,
    };
    let title = file.take("filename")?;
    Ok(Content::Document(Document { source: DocumentSource::Media(media), title, context: None, citations: None }))
}

/// A picture of an answer, as OpenRouter has it.
pub(super) fn answered_image(image: Json<'_>) -> Option<Content<'_>> {
    let url = image.member("image_url")?.member("url").and_then(Text::from_json)?;
    Some(Content::Image { media: data_url::read(url), detail: None })
}

/// The mark that Anthropic has, which many that speak this dialect pass on.
pub(super) fn read_cache<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<CacheMark<'a>>, Fault> {
    part.take_object("cache_control", ledger, |mark, _| {
        mark.skip(&["type"]);
        Ok(CacheMark { ttl: mark.take("ttl")? })
    })
}

/// A medium that the request says where to find.
fn required<'a>(object: &mut Object<'a>, name: &str) -> Result<Media<'a>, Fault> {
    let media = data_url::read(object.require(name)?);
    let is_known = match &media {
        Media::Url { url, .. } => url.plain().starts_with("https://"),
        Media::Base64 { .. } | Media::File(_) => true,
    };
    let message = "must be an https URL or a base64 data URL";
    if is_known { Ok(media) } else { Err(Fault::invalid(&object.path_of(name), message)) }
}

/// Writes what a person or a tool says.
pub(super) fn write(part: &Part<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    match &part.content {
        Content::Text { text, .. } => list.object(|object| {
            object.put("type", "text");
            object.put("text", text);
        }),
        Content::Image { media, detail } => match data_url(media) {
            Some(url) => list.object(|object| {
                object.put("type", "image_url");
                object.object("image_url", |image| {
                    image.put("url", url);
                    image.put_some("detail", detail.as_ref());
                });
            }),
            None => ledger.refuse("an image of the provider's files", "is not offered by this model's provider"),
        },
        Content::Audio(Media::Base64 { media_type, data }) => list.object(|object| {
            object.put("type", "input_audio");
            object.object("input_audio", |audio| {
                audio.put("data", data);
                audio.put("format", audio_format(&media_type.plain()));
            });
        }),
        Content::Document(document) => write_document(document, list, ledger),
        Content::Video(media) if data_url(media).is_some() => list.object(|object| {
            object.put("type", "video_url");
            object.object("video_url", |video| video.put_some("url", data_url(media)));
        }),
        Content::Audio(_) | Content::Video(_) => {
            ledger.refuse("audio or video by its address", "is not offered by this model's provider");
        }
        Content::Refusal(text) => list.object(|object| {
            object.put("type", "refusal");
            object.put("refusal", text);
        }),
        Content::Thought(_) | Content::Call(_) | Content::ToolResult(_) => {}
    }
}

fn write_document(document: &Document<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    if document.context.is_some() {
        ledger.left_out("a document's context");
    }
    if document.citations == Some(true) {
        ledger.left_out("citations of documents");
    }
    let media = match &document.source {
        DocumentSource::Media(media) => media,
        // A plain text is said as one.
        DocumentSource::Text(text) => {
            return list.object(|object| {
                object.put("type", "text");
                object.put("text", text);
            });
        }
    };
    match media {
        Media::Url { .. } => ledger.refuse("a document by its address", "is not offered by this model's provider"),
        Media::Base64 { .. } | Media::File(_) => list.object(|object| {
            object.put("type", "file");
            object.object("file", |file| match media {
                Media::File(id) => file.put("file_id", id),
                Media::Base64 { .. } | Media::Url { .. } => {
                    file.put_some("filename", Some(document.title.as_ref().map_or("document".into(), Text::plain)));
                    file.put_some("file_data", data_url(media));
                }
            });
        }),
    }
}

/// The address that stands for a medium; none for a file of the provider's.
pub(super) fn data_url<'a>(media: &Media<'a>) -> Option<Text<'a>> {
    match media {
        Media::Base64 { media_type, data } => Some(data_url::write(media_type, data)),
        Media::Url { url, .. } => Some(url.clone()),
        Media::File(_) => None,
    }
}

/// OpenAI knows the two by these names.
fn audio_format(media_type: &str) -> String {
    let subtype = media_type.strip_prefix("audio/").unwrap_or(media_type);
    match subtype {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    }
    .to_owned()
}
