//! What a text is based on.

use crate::content::{Citation, Passage};
use crate::json::{FromJson as _, Json, ObjectWriter, Text};

/// Reads a citation.
pub(super) fn read(citation: Json<'_>) -> Citation<'_> {
    let text = |name: &str| citation.member(name).and_then(Text::from_json);
    let quotes = citation.member("sourceContent").and_then(Json::items).into_iter().flatten();
    let quotes: Vec<Text<'_>> = quotes.filter_map(|piece| Text::from_json(piece.member("text")?)).collect();
    let quote = match quotes.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(several.iter().map(Text::plain).collect::<String>().into()),
    };
    let mut read = Citation { quote, title: text("title"), source: text("source"), ..Citation::default() };
    let Some(location) = citation.member("location") else { return read };
    read.url = location.member("web").and_then(|web| Text::from_json(web.member("url")?));
    for (name, index, passage) in PLACES {
        let Some(place) = location.member(name) else { continue };
        let number = |name: &str| place.member(name).and_then(u32::from_json).unwrap_or(0);
        read.document = Some(number(index));
        read.passage = Some(passage(number("start"), number("end")));
    }
    read
}

type Place = (&'static str, &'static str, fn(u32, u32) -> Passage);

const PLACES: [Place; 4] = [
    ("documentChar", "documentIndex", Passage::Characters),
    ("documentPage", "documentIndex", Passage::Pages),
    ("documentChunk", "documentIndex", Passage::Blocks),
    ("searchResultLocation", "searchResultIndex", Passage::Blocks),
];

/// Writes the members of a citation.
pub(super) fn write(citation: &Citation<'_>, object: &mut ObjectWriter<'_>) {
    object.put_some("title", citation.title.as_ref());
    object.put_some("source", citation.source.as_ref());
    if let Some(quote) = &citation.quote {
        object.list("sourceContent", |list| list.object(|piece| piece.put("text", quote)));
    }
    let (name, [start, end]) = match citation.passage {
        Some(Passage::Characters(start, end)) => ("documentChar", [start, end]),
        Some(Passage::Pages(start, end)) => ("documentPage", [start, end]),
        Some(Passage::Blocks(start, end)) => ("documentChunk", [start, end]),
        None => {
            if let Some(url) = &citation.url {
                object.object("location", |location| location.object("web", |web| web.put("url", url)));
            }
            return;
        }
    };
    object.object("location", |location| {
        location.object(name, |place| {
            place.put("documentIndex", citation.document.unwrap_or(0));
            place.put("start", start);
            place.put("end", end);
        });
    });
}
