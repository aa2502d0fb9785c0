//! What a text is based on: its `annotations`.

use crate::content::Citation;
use crate::fault::Ledger;
use crate::json::{FromJson, Json, Text, ToJson, object_text};

/// The citations in an `annotations` list.
pub(super) fn read_all<'a>(list: Option<Json<'a>>, ledger: &mut Ledger) -> Vec<Citation<'a>> {
    let annotations = list.and_then(Json::items).into_iter().flatten();
    annotations.filter_map(|annotation| read(annotation, ledger)).collect()
}

/// One citation; what only its provider can follow is left out.
pub(super) fn read<'a>(annotation: Json<'a>, ledger: &mut Ledger) -> Option<Citation<'a>> {
    let text = |name: &str| annotation.member(name).and_then(Text::from_json);
    let number = |name: &str| annotation.member(name).and_then(u32::from_json);
    let place = number("start_index").zip(number("end_index"));
    match text("type")?.plain().as_ref() {
        "url_citation" => Some(Citation { place, title: text("title"), url: text("url"), ..Citation::default() }),
        "file_citation" | "container_file_citation" => {
            let place = place.or_else(|| number("index").map(|index| (index, index)));
            Some(Citation { place, title: text("filename"), source: text("file_id"), ..Citation::default() })
        }
        other => {
            ledger.left_out(&format!("annotation {other}"));
            None
        }
    }
}

/// The text of an annotation; `length` is that of the cited text in characters, for citations without a place.
/// None if the citation names nothing that an annotation can.
pub(super) fn write(citation: &Citation<'_>, length: u32, ledger: &mut Ledger) -> Option<String> {
    if citation.quote.is_some() || citation.passage.is_some() {
        ledger.left_out("citations: the words and the passage of the source");
    }
    let title = citation.title.clone().unwrap_or_default();
    let (start, end) = citation.place.unwrap_or((0, length));
    if let Some(url) = &citation.url {
        return Some(object_text(|annotation| {
            annotation.put("type", "url_citation");
            annotation.put("start_index", start);
            annotation.put("end_index", end);
            annotation.put("url", url);
            annotation.put("title", &title);
        }));
    }
    let document = || citation.document.map(|document| Text::from(format!("document_{document}")));
    let Some(file) = citation.source.clone().or_else(document) else {
        ledger.left_out("citations without a source");
        return None;
    };
    Some(object_text(|annotation| {
        annotation.put("type", "file_citation");
        annotation.put("file_id", &file);
        annotation.put("filename", if title.is_empty() { &file } else { &title });
        annotation.put("index", end);
    }))
}

/// Writes the `annotations` list of a text.
pub(super) struct Annotations<'w>(pub(super) &'w [String]);

impl ToJson for Annotations<'_> {
    fn write_to(&self, out: &mut String) {
        out.push('[');
        out.push_str(&self.0.join(","));
        out.push(']');
    }
}
