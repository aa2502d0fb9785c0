//! What an answer is based on: `groundingMetadata` and `citationMetadata`. Their places count bytes.

use serde::{Deserialize, Serialize};

use super::{number, text};
use crate::content::Citation;
use crate::fault::Ledger;
use crate::json::{Json, ObjectWriter, Raw, object_text};

/// A citation with the part of the answer that it is for, and the bytes there.
#[derive(Debug)]
pub(super) struct Support<'a> {
    pub(super) part: u32,
    pub(super) bytes: Option<(u32, u32)>,
    pub(super) citation: Citation<'a>,
}

/// The citations of a candidate that say what they are for.
pub(super) fn supports(candidate: Json<'_>) -> Vec<Support<'_>> {
    let mut all = Vec::new();
    let grounding = candidate.member("groundingMetadata");
    let chunks: Vec<Json<'_>> = list(grounding, "groundingChunks").collect();
    for support in list(grounding, "groundingSupports") {
        let segment = support.member("segment");
        let count = |name| segment.and_then(|segment| number(segment.member(name)?));
        for index in list(Some(support), "groundingChunkIndices").filter_map(number) {
            let Some(citation) = chunks.get(index as usize).and_then(|chunk| source(*chunk)) else { continue };
            let bytes = count("endIndex").map(|end| (count("startIndex").unwrap_or(0), end));
            all.push(Support { part: count("partIndex").unwrap_or(0), bytes, citation });
        }
    }
    let quoted = candidate.member("citationMetadata");
    for quoted in list(quoted, "citations").chain(list(quoted, "citationSources")) {
        let count = |name| quoted.member(name).and_then(number);
        let bytes = count("endIndex").map(|end| (count("startIndex").unwrap_or(0), end));
        let (title, url) = (quoted.member("title").and_then(text), quoted.member("uri").and_then(text));
        all.push(Support { part: 0, bytes, citation: Citation { title, url, ..Citation::default() } });
    }
    all
}

/// The sources of a candidate that does not say what they are for.
pub(super) fn sources(candidate: Json<'_>) -> Vec<Citation<'_>> {
    let grounding = candidate.member("groundingMetadata");
    if list(grounding, "groundingSupports").next().is_some() {
        return Vec::new();
    }
    list(grounding, "groundingChunks").filter_map(source).collect()
}

fn list<'a>(object: Option<Json<'a>>, name: &str) -> impl Iterator<Item = Json<'a>> + use<'a> {
    object.and_then(|object| object.member(name)?.items()).into_iter().flatten()
}

fn source(chunk: Json<'_>) -> Option<Citation<'_>> {
    let kinds = ["web", "retrievedContext", "maps", "image"];
    let source = kinds.into_iter().find_map(|kind| chunk.member(kind))?;
    let said = |name| source.member(name).and_then(text);
    Some(Citation {
        url: said("uri").or_else(|| said("sourceUri")),
        title: said("title"),
        quote: said("text"),
        source: said("documentName"),
        ..Citation::default()
    })
}

/// The bytes of a text in characters.
pub(super) fn characters(text: &str, bytes: Option<(u32, u32)>) -> Option<(u32, u32)> {
    let (start, end) = bytes?;
    let count = |end: u32| u32::try_from(text.get(..end as usize)?.chars().count()).ok();
    Some((count(start)?, count(end)?))
}

/// The characters of a text in bytes.
pub(super) fn bytes(text: &str, characters: Option<(u32, u32)>) -> Option<(u32, u32)> {
    let (start, end) = characters?;
    let count = |end: u32| u32::try_from(text.chars().take(end as usize).map(char::len_utf8).sum::<usize>()).ok();
    Some((count(start)?, count(end)?))
}

/// The citations of an answer on their way out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Grounding {
    chunks: Vec<String>,
    supports: Vec<String>,
}

impl Grounding {
    /// Adds one, for some bytes of a part.
    pub(super) fn add(&mut self, citation: &Citation<'_>, part: u32, bytes: Option<(u32, u32)>, ledger: &mut Ledger) {
        if citation.passage.is_some() || citation.document.is_some() {
            ledger.left_out("places of citations in documents");
        }
        let is_web = citation.url.is_some() && citation.quote.is_none() && citation.source.is_none();
        let chunk = object_text(|chunk| {
            chunk.object(if is_web { "web" } else { "retrievedContext" }, |source| {
                source.put_some("uri", citation.url.as_ref());
                source.put_some("title", citation.title.as_ref());
                source.put_some("text", citation.quote.as_ref());
                source.put_some("documentName", citation.source.as_ref());
            });
        });
        let known = self.chunks.iter().position(|known| *known == chunk);
        let index = known.unwrap_or_else(|| {
            self.chunks.push(chunk);
            self.chunks.len() - 1
        });
        self.supports.push(object_text(|support| {
            support.object("segment", |segment| {
                segment.put_some("partIndex", Some(part).filter(|part| *part > 0));
                segment.put_some("startIndex", bytes.map(|(start, _)| start).filter(|start| *start > 0));
                segment.put_some("endIndex", bytes.map(|(_, end)| end));
            });
            support.list("groundingChunkIndices", |list| list.put(index));
        }));
    }

    /// Writes the field of a candidate, if there is anything to say.
    pub(super) fn write(&self, candidate: &mut ObjectWriter<'_>) {
        if self.chunks.is_empty() {
            return;
        }
        candidate.object("groundingMetadata", |metadata| {
            metadata.list("groundingChunks", |list| self.chunks.iter().for_each(|chunk| list.put(Raw(chunk))));
            metadata.list("groundingSupports", |list| {
                self.supports.iter().for_each(|support| list.put(Raw(support)));
            });
        });
    }
}
