//! Pictures, sound, films and papers: `inlineData` and `fileData`.

use crate::base64;
use crate::content::{Content, Document, DocumentSource, Media, Part};
use crate::fault::{Fault, Ledger};
use crate::json::{Object, ObjectWriter, Text};

/// Takes either field of a part.
pub(super) fn take<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Content<'a>>, Fault> {
    let inline = part.take_object("inlineData", ledger, |blob, _| {
        blob.also_in_snake_case();
        let media_type: Text<'a> = blob.require("mimeType")?;
        let data = base64::standard(blob.require("data")?);
        Ok((Media::Base64 { media_type, data }, blob.take("displayName")?))
    })?;
    let file = part.take_object("fileData", ledger, |file, _| {
        file.also_in_snake_case();
        let media = Media::Url { media_type: file.take("mimeType")?, url: file.require("fileUri")? };
        Ok((media, file.take("displayName")?))
    })?;
    Ok(inline.or(file).map(|(media, title)| content(media, title)))
}

/// What some bytes are, by their media type. A film on the web needs none.
pub(super) fn content<'a>(media: Media<'a>, title: Option<Text<'a>>) -> Content<'a> {
    let kind = match &media {
        Media::Base64 { media_type, .. } | Media::Url { media_type: Some(media_type), .. } => media_type.plain(),
        Media::Url { url, .. } | Media::File(url) => media_type(&url.plain()).unwrap_or_default().into(),
    };
    match kind.split('/').next() {
        Some("image") => Content::Image { media, detail: None },
        Some("audio") => Content::Audio(media),
        Some("video") => Content::Video(media),
        _ => {
            let source = DocumentSource::Media(media);
            Content::Document(Document { source, title, context: None, citations: None })
        }
    }
}

/// Writes the field of a part; false if the dialect has no place for the media, which the ledger then says.
pub(super) fn write(part: &mut ObjectWriter<'_>, content: &Content<'_>, ledger: &mut Ledger) -> bool {
    match content {
        Content::Image { media, .. } | Content::Audio(media) | Content::Video(media) => {
            write_media(part, media, None, ledger)
        }
        Content::Document(document) => write_document(part, document, ledger),
        _ => false,
    }
}

/// Whether `write` has a place for it, without writing.
pub(super) fn is_media(part: &Part<'_>) -> bool {
    matches!(part.content, Content::Image { .. } | Content::Audio(_) | Content::Video(_) | Content::Document(_))
}

fn write_document(part: &mut ObjectWriter<'_>, document: &Document<'_>, ledger: &mut Ledger) -> bool {
    if document.context.is_some() {
        ledger.left_out("messages[].content document context");
    }
    if document.citations == Some(true) {
        ledger.left_out("messages[].content document citations");
    }
    match &document.source {
        DocumentSource::Media(media) => write_media(part, media, document.title.as_ref(), ledger),
        DocumentSource::Text(text) => {
            part.object("inlineData", |blob| {
                blob.put("mimeType", "text/plain");
                blob.put("data", base64::encode(text.plain().as_bytes()));
                blob.put_some("displayName", document.title.as_ref());
            });
            true
        }
    }
}

fn write_media(part: &mut ObjectWriter<'_>, media: &Media<'_>, title: Option<&Text<'_>>, ledger: &mut Ledger) -> bool {
    match media {
        Media::Base64 { media_type, data } => part.object("inlineData", |blob| {
            blob.put("mimeType", media_type);
            blob.put("data", data);
            blob.put_some("displayName", title);
        }),
        Media::Url { media_type: known, url } => part.object("fileData", |file| {
            let guessed = media_type(&url.plain()).map(Text::from);
            file.put_some("mimeType", known.clone().or(guessed));
            file.put("fileUri", url);
            file.put_some("displayName", title);
        }),
        Media::File(file) if is_own_file(&file.plain()) => part.object("fileData", |data| {
            data.put("fileUri", file);
            data.put_some("displayName", title);
        }),
        Media::File(_) => {
            ledger.refuse("messages[].content file", "is known to another provider only");
            return false;
        }
    }
    true
}

fn is_own_file(name: &str) -> bool {
    ["https://", "gs://", "files/"].iter().any(|start| name.starts_with(start))
}

/// The media type of an address, as far as its last letters tell.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    if ["youtube.com/", "youtu.be/"].iter().any(|host| url.contains(host)) {
        return Some("video/mp4");
    }
    let (_, extension) = path.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "html" => "text/html",
        "csv" => "text/csv",
        "md" => "text/markdown",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/mov",
        _ => return None,
    })
}
