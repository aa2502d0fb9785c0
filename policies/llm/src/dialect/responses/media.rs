//! Images, files and sounds in messages: `input_image`, `input_file`, `input_audio` and `input_video`.

use crate::content::{Content, Document, DocumentSource, Media};
use crate::data_url;
use crate::fault::{Fault, Ledger};
use crate::json::{ListWriter, Object, ObjectWriter, Text};

/// Reads an `input_image`.
pub(super) fn read_image<'a>(part: &mut Object<'a>) -> Result<Content<'a>, Fault> {
    let url = part.take("image_url")?.map(data_url::read);
    let file = part.take("file_id")?.map(Media::File);
    let media = url.or(file).ok_or_else(|| part.missing("image_url"))?;
    Ok(Content::Image { media, detail: part.take("detail")? })
}

/// Reads an `input_file`.
pub(super) fn read_file<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Content<'a>, Fault> {
    if part.take::<Text<'a>>("detail")?.is_some_and(|detail| detail != *"auto") {
        ledger.left_out(&part.path_of("detail"));
    }
    let title = part.take::<Text<'a>>("filename")?;
    let data = part.take("file_data")?.map(|data| match data_url::read(data) {
        // Some clients send the bytes alone.
        Media::Url { url, .. } => Media::Base64 { media_type: media_type_of(title.as_ref()).into(), data: url },
        media => media,
    });
    let url = part.take("file_url")?.map(|url| Media::Url { media_type: None, url });
    let file = part.take("file_id")?.map(Media::File);
    let media = data.or(url).or(file).ok_or_else(|| part.missing("file_data"))?;
    Ok(Content::Document(Document { source: DocumentSource::Media(media), title, context: None, citations: None }))
}

/// Reads an `input_audio`.
pub(super) fn read_audio<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Content<'a>, Fault> {
    let media = part.take_object("input_audio", ledger, |audio, _| {
        let media_type = match audio.require::<Text<'a>>("format")?.plain().as_ref() {
            "mp3" => "audio/mpeg".to_owned(),
            format => format!("audio/{format}"),
        };
        Ok(Media::Base64 { media_type: media_type.into(), data: audio.require("data")? })
    })?;
    media.map(Content::Audio).ok_or_else(|| part.missing("input_audio"))
}

/// Reads an `input_video`.
pub(super) fn read_video<'a>(part: &mut Object<'a>) -> Result<Content<'a>, Fault> {
    part.require("video_url").map(|url| Content::Video(data_url::read(url)))
}

/// Writes an image as part of a message.
pub(super) fn write_image(media: &Media<'_>, detail: Option<&Text<'_>>, list: &mut ListWriter<'_>) {
    list.object(|part| {
        part.put("type", "input_image");
        put_media(media, ["image_url", "image_url"], part);
        part.put("detail", detail.unwrap_or(&Text::from("auto")));
    });
}

/// Writes a document as part of a message; one of plain text becomes a text.
pub(super) fn write_document(document: &Document<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    if document.context.is_some() {
        ledger.left_out("messages[].content document context");
    }
    if document.citations == Some(true) {
        ledger.left_out("messages[].content document citations");
    }
    match &document.source {
        DocumentSource::Text(text) => {
            ledger.changed("messages[].content document of text", "became a text");
            list.object(|part| {
                part.put("type", "input_text");
                part.put("text", text);
            });
        }
        DocumentSource::Media(media) => list.object(|part| {
            part.put("type", "input_file");
            match (&document.title, media) {
                (Some(title), _) => part.put("filename", title),
                // Bytes without a name are refused.
                (None, Media::Base64 { media_type, .. }) => part.put("filename", name_of(media_type)),
                (None, _) => {}
            }
            put_media(media, ["file_data", "file_url"], part);
        }),
    }
}

/// Writes a sound as part of a message.
pub(super) fn write_audio(media: &Media<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    let sound = match media {
        Media::Base64 { media_type, data } => format_of(&media_type.plain()).map(|format| (format, data)),
        Media::Url { .. } | Media::File(_) => None,
    };
    let Some((format, data)) = sound else {
        return ledger.refuse("messages[].content audio", "must be MP3 or WAV bytes for this provider");
    };
    list.object(|part| {
        part.put("type", "input_audio");
        part.object("input_audio", |audio| {
            audio.put("data", data);
            audio.put("format", format);
        });
    });
}

/// Writes something to watch as part of a message.
pub(super) fn write_video(media: &Media<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    if matches!(media, Media::File(_)) {
        return ledger.refuse("messages[].content video of a file", "is not known to this provider");
    }
    list.object(|part| {
        part.put("type", "input_video");
        put_media(media, ["video_url", "video_url"], part);
    });
}

/// The bytes go to the first name, an address to the second.
fn put_media(media: &Media<'_>, [bytes, address]: [&str; 2], part: &mut ObjectWriter<'_>) {
    match media {
        Media::Base64 { media_type, data } => part.put(bytes, data_url::write(media_type, data)),
        Media::Url { url, .. } => part.put(address, url),
        Media::File(file) => part.put("file_id", file),
    }
}

fn format_of(media_type: &str) -> Option<&'static str> {
    match media_type {
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        "audio/wav" | "audio/x-wav" | "audio/wave" | "audio/vnd.wave" => Some("wav"),
        _ => None,
    }
}

/// By the ending of its name; most files are PDF.
fn media_type_of(name: Option<&Text<'_>>) -> &'static str {
    let name = name.map(Text::plain).unwrap_or_default();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ENDINGS.iter().find(|(known, _)| ending.as_deref() == Some(known)).map_or("application/pdf", |(_, kind)| kind)
}

fn name_of(media_type: &Text<'_>) -> String {
    let plain = media_type.plain();
    let ending = ENDINGS.iter().find(|(_, kind)| *kind == plain).map_or("pdf", |(ending, _)| ending);
    format!("document.{ending}")
}

/// Endings of file names, and what is in such files.
const ENDINGS: [(&str, &str); 8] = [
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("html", "text/html"),
    ("csv", "text/csv"),
    ("json", "application/json"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
];
