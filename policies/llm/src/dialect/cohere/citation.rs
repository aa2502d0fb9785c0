//! What a text is based on: its `citations`.

use crate::content::Citation;
use crate::fault::Ledger;
use crate::json::{FromJson, Json, ListWriter, ObjectWriter, Text};

/// How a document of the request is called, before its number.
pub(super) const DOCUMENT: &str = "doc:";

/// Whether a citation is one of a text: plans and thoughts have theirs too.
pub(super) fn is_of_text(citation: Json<'_>) -> bool {
    let kind = citation.member("type").and_then(String::from_json);
    kind.is_none_or(|kind| kind == "TEXT_CONTENT")
}

/// Which part of the content a citation is of.
pub(super) fn content_index(citation: Json<'_>) -> Option<u32> {
    citation.member("content_index").and_then(u32::from_json)
}

/// One citation for each of its sources.
pub(super) fn read(citation: Json<'_>) -> Vec<Citation<'_>> {
    let number = |name: &str| citation.member(name).and_then(u32::from_json);
    let place = number("start").zip(number("end"));
    let sources = citation.member("sources").and_then(Json::items).into_iter().flatten();
    sources.map(|source| Citation { place, ..read_source(source) }).collect()
}

fn read_source(source: Json<'_>) -> Citation<'_> {
    let text = |json: Json<'_>, name: &str| json.member(name).and_then(String::from_json).map(Text::from);
    let id = source.member("id").and_then(Text::from_json);
    let document = id.as_ref().and_then(|id| id.plain().strip_prefix(DOCUMENT).and_then(|rest| rest.parse().ok()));
    let values = source.member("document");
    Citation {
        title: values.and_then(|values| text(values, "title")).map(|title| title.into_owned()),
        url: values.and_then(|values| text(values, "url")).map(|url| url.into_owned()),
        document,
        source: id.filter(|_| document.is_none()),
        ..Citation::default()
    }
}

/// Where citations are written from: the text that they are of.
pub(super) struct Cited<'c> {
    /// The text, or nothing where it is no longer known.
    pub(super) text: Option<&'c str>,
    /// Its length in characters.
    pub(super) length: u32,
    /// Which part of the content it is.
    pub(super) content: u32,
}

impl Cited<'_> {
    /// Writes the citations of a text; sources of the same words are one citation.
    pub(super) fn write_all(&self, citations: &[Citation<'_>], list: &mut ListWriter<'_>, ledger: &mut Ledger) {
        for group in citations.chunk_by(|one, other| one.place == other.place) {
            list.object(|object| self.write(group, object, ledger));
        }
    }

    /// Writes citations of the same words. One without a place is of the whole text.
    pub(super) fn write(&self, group: &[Citation<'_>], object: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
        let place = group.first().and_then(|citation| citation.place);
        let (start, end) = place.unwrap_or((0, self.length));
        object.put("start", start);
        object.put("end", end);
        if let Some(text) = self.text {
            let words = text.chars().skip(start as usize).take(end.saturating_sub(start) as usize);
            object.put("text", words.collect::<String>());
        }
        object.list("sources", |list| {
            for citation in group {
                if citation.quote.is_some() || citation.passage.is_some() {
                    ledger.left_out("citations: the words and the passage of the source");
                }
                list.object(|source| write_source(citation, source));
            }
        });
        object.put("content_index", self.content);
        object.put("type", "TEXT_CONTENT");
    }
}

fn write_source(citation: &Citation<'_>, source: &mut ObjectWriter<'_>) {
    source.put("type", "document");
    let of_document = || citation.document.map(|document| Text::from(format!("{DOCUMENT}{document}")));
    let id = citation.source.clone().or_else(of_document).or_else(|| citation.url.clone());
    source.put_some("id", id.as_ref());
    source.object("document", |document| {
        document.put_some("id", id);
        document.put_some("title", citation.title.as_ref());
        document.put_some("url", citation.url.as_ref());
    });
}
