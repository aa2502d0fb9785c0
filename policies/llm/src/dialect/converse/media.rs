//! Pictures, sound, films and papers: a format of a closed list, and bytes or a place in S3.

use crate::base64;
use crate::content::{Content, Document, DocumentSource, Media};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, ObjectWriter, Text};

/// The words for formats, with the media types that they stand for.
const FORMATS: [(&str, &str); 31] = [
    ("png", "image/png"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("pdf", "application/pdf"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("html", "text/html"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("mkv", "video/x-matroska"),
    ("mov", "video/quicktime"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("flv", "video/x-flv"),
    ("mpeg", "video/mpeg"),
    ("wmv", "video/x-ms-wmv"),
    ("three_gp", "video/3gpp"),
    ("mp3", "audio/mpeg"),
    ("mp3", "audio/mp3"),
    ("wav", "audio/wav"),
    ("opus", "audio/opus"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("mp4", "audio/mp4"),
    ("webm", "audio/webm"),
    ("mka", "audio/x-matroska"),
];

/// The media type of a format, for the kind of block that it stands in.
fn media_type<'a>(format: Option<Text<'a>>, kind: &str) -> Text<'a> {
    let format = format.unwrap_or_default().plain().into_owned();
    let is_of_kind = |media_type: &str| match kind {
        "document" => !["image/", "audio/", "video/"].iter().any(|start| media_type.starts_with(start)),
        kind => media_type.split('/').next() == Some(kind),
    };
    let known = FORMATS.iter().find(|(known, media_type)| *known == format && is_of_kind(media_type));
    known.map_or_else(|| format!("{}/{format}", kind.replace("document", "application")).into(), |known| known.1.into())
}

/// Takes what a block of some kind holds.
pub(super) fn take<'a>(block: &mut Object<'a>, kind: &str, ledger: &mut Ledger) -> Result<Option<Content<'a>>, Fault> {
    block.take_object(kind, ledger, |block, ledger| {
        let media_type = media_type(block.take("format")?, kind);
        let source = block.take_object("source", ledger, |source, ledger| read_source(source, media_type, ledger))?;
        let source = source.ok_or_else(|| block.missing("source"))?;
        Ok(match (kind, source) {
            ("image", DocumentSource::Media(media)) => Content::Image { media, detail: None },
            ("audio", DocumentSource::Media(media)) => Content::Audio(media),
            ("video", DocumentSource::Media(media)) => Content::Video(media),
            (_, source) => {
                let enabled = block.take_object("citations", ledger, |citations, _| citations.take("enabled"))?;
                let (title, context) = (block.take("name")?, block.take("context")?);
                Content::Document(Document { source, title, context, citations: enabled.flatten() })
            }
        })
    })
}

fn read_source<'a>(
    source: &mut Object<'a>,
    media_type: Text<'a>,
    ledger: &mut Ledger,
) -> Result<DocumentSource<'a>, Fault> {
    if let Some(data) = source.take("bytes")? {
        return Ok(DocumentSource::Media(Media::Base64 { media_type, data: base64::standard(data) }));
    }
    if let Some(text) = source.take("text")? {
        return Ok(DocumentSource::Text(text));
    }
    let texts = source.take_objects("content", ledger, |block, _| block.require::<Text<'a>>("text"))?;
    if !texts.is_empty() {
        if texts.len() > 1 {
            ledger.changed("the pieces of a document", "were joined");
        }
        let whole: Vec<_> = texts.iter().map(Text::plain).collect();
        return Ok(DocumentSource::Text(whole.join("\n\n").into()));
    }
    let place = source.take_object("s3Location", ledger, |place, ledger| {
        if place.take::<Json<'a>>("bucketOwner")?.is_some() {
            ledger.left_out(&place.path_of("bucketOwner"));
        }
        place.require("uri")
    })?;
    let url = place.ok_or_else(|| source.missing("bytes"))?;
    Ok(DocumentSource::Media(Media::Url { media_type: Some(media_type), url }))
}

/// Writes a block; what has no place here is told to the ledger.
pub(super) fn write(block: &mut ObjectWriter<'_>, content: &Content<'_>, ledger: &mut Ledger) {
    match content {
        Content::Image { media, detail } => {
            if detail.as_ref().is_some_and(|detail| *detail != *"auto") {
                ledger.left_out("messages[].content image detail");
            }
            write_media(block, "image", media, ledger);
        }
        Content::Audio(media) => write_media(block, "audio", media, ledger),
        Content::Video(media) => write_media(block, "video", media, ledger),
        Content::Document(document) => write_document(block, document, ledger),
        _ => {}
    }
}

/// Whether [`write`] is for it.
pub(super) fn is_media(content: &Content<'_>) -> bool {
    matches!(content, Content::Image { .. } | Content::Audio(_) | Content::Video(_) | Content::Document(_))
}

fn write_media(block: &mut ObjectWriter<'_>, kind: &str, media: &Media<'_>, ledger: &mut Ledger) {
    if let Some(format) = format(media, kind, ledger) {
        block.object(kind, |block| {
            block.put("format", format);
            write_source(block, media);
        });
    }
}

/// The word for a format; `none` if there is none, or the bytes are elsewhere than in S3.
pub(super) fn format(media: &Media<'_>, kind: &str, ledger: &mut Ledger) -> Option<&'static str> {
    let media_type = match media {
        Media::Base64 { media_type, .. } => media_type.plain().into_owned(),
        Media::Url { media_type, url } if url.plain().starts_with("s3://") => {
            media_type.as_ref().map(|media_type| media_type.plain().into_owned()).unwrap_or_default()
        }
        Media::Url { .. } | Media::File(_) => {
            ledger.refuse(&format!("messages[].content {kind}"), "may be no address and no file of another provider");
            return None;
        }
    };
    let bare = media_type.split(';').next().unwrap_or_default().replace("image/jpg", "image/jpeg");
    let known = FORMATS.iter().find(|(_, known)| *known == bare).map(|(format, _)| *format);
    if known.is_none() {
        ledger.refuse(&format!("messages[].content {kind}"), "is of a type that this provider does not take");
    }
    known
}

/// Writes where the bytes are.
pub(super) fn write_source(block: &mut ObjectWriter<'_>, media: &Media<'_>) {
    block.object("source", |source| match media {
        Media::Base64 { data, .. } => source.put("bytes", data),
        Media::Url { url, .. } | Media::File(url) => source.object("s3Location", |place| place.put("uri", url)),
    });
}

fn write_document(block: &mut ObjectWriter<'_>, document: &Document<'_>, ledger: &mut Ledger) {
    let format = match &document.source {
        DocumentSource::Media(media) => match format(media, "document", ledger) {
            Some(format) => format,
            None => return,
        },
        DocumentSource::Text(_) => "txt",
    };
    block.object("document", |block| {
        block.put("format", format);
        block.put("name", name(document.title.as_ref()));
        match &document.source {
            DocumentSource::Media(media) => write_source(block, media),
            DocumentSource::Text(text) => block.object("source", |source| source.put("text", text)),
        }
        block.put_some("context", document.context.as_ref());
        if let Some(enabled) = document.citations {
            block.object("citations", |citations| citations.put("enabled", enabled));
        }
    });
}

/// A name is required, and may have no other letters than these.
fn name(title: Option<&Text<'_>>) -> String {
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || " -()[]".contains(letter);
    let plain = title.map(|title| title.plain().into_owned()).filter(|title| !title.is_empty());
    let plain = plain.unwrap_or_else(|| "document".to_owned());
    plain.chars().take(200).map(|letter| if is_legal(letter) { letter } else { '-' }).collect()
}
