//! What a text is based on.

use crate::content::{Citation, Passage};
use crate::json::{FromJson as _, Json, ListWriter, Text, ToJson, object};

/// Reads a list of citations; one of a kind that is not known is left out.
pub(super) fn read(list: Json<'_>) -> Vec<Citation<'_>> {
    list.items().into_iter().flatten().filter_map(read_one).collect()
}

/// Reads a citation.
pub(super) fn read_one(citation: Json<'_>) -> Option<Citation<'_>> {
    let text = |name: &str| citation.member(name).and_then(Text::from_json);
    let number = |name: &str| citation.member(name).and_then(u32::from_json);
    let passage = match text("type")?.plain().as_ref() {
        "char_location" => Some(Passage::Characters(number("start_char_index")?, number("end_char_index")?)),
        "page_location" => Some(Passage::Pages(number("start_page_number")?, number("end_page_number")?)),
        "content_block_location" | "search_result_location" => {
            Some(Passage::Blocks(number("start_block_index")?, number("end_block_index")?))
        }
        "web_search_result_location" => None,
        _ => return None,
    };
    Some(Citation {
        place: None,
        quote: text("cited_text"),
        title: text("document_title").or_else(|| text("title")),
        url: text("url"),
        document: number("document_index").or_else(|| number("search_result_index")),
        passage,
        source: text("file_id").or_else(|| text("source")),
    })
}

/// Whether this dialect can say it.
pub(super) fn is_known(citation: &Citation<'_>) -> bool {
    citation.url.is_some() || citation.document.is_some() && citation.passage.is_some()
}

/// Writes a citation that [`is_known`].
pub(super) fn write(citation: &Citation<'_>, list: &mut ListWriter<'_>) {
    list.put(Written(citation));
}

/// A citation as a value, as the events of a stream have it.
pub(super) struct Written<'c, 'a>(pub(super) &'c Citation<'a>);

impl ToJson for Written<'_, '_> {
    fn write_to(&self, out: &mut String) {
        let citation = self.0;
        let quote = citation.quote.clone().unwrap_or_default();
        object(out, |object| {
            let (kind, names, passage) = match citation.passage {
                Some(Passage::Characters(from, to)) => {
                    ("char_location", ["start_char_index", "end_char_index"], Some([from, to]))
                }
                Some(Passage::Pages(from, to)) => {
                    ("page_location", ["start_page_number", "end_page_number"], Some([from, to]))
                }
                Some(Passage::Blocks(from, to)) => {
                    ("content_block_location", ["start_block_index", "end_block_index"], Some([from, to]))
                }
                None => ("web_search_result_location", ["", ""], None),
            };
            object.put("type", kind);
            object.put("cited_text", quote);
            match passage {
                None => {
                    object.put("url", citation.url.as_ref());
                    object.put("title", citation.title.as_ref());
                    object.put("encrypted_index", "");
                }
                Some([from, to]) => {
                    object.put("document_index", citation.document.unwrap_or(0));
                    object.put("document_title", citation.title.as_ref());
                    object.put(names[0], from);
                    object.put(names[1], to);
                    object.put("file_id", citation.source.as_ref());
                }
            }
        });
    }
}
