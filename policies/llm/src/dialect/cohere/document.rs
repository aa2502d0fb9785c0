//! Documents: some named values each, of which `text` is the one that everybody knows.

use crate::content::{Document, DocumentSource};
use crate::fault::{Fault, Ledger};
use crate::json::{Document as JsonDocument, FromJson, Json, Object, ObjectWriter, Raw, Text};

/// Reads a text, or an object with `data`.
pub(super) fn read<'a>(json: Json<'a>, ledger: &mut Ledger) -> Result<Document<'a>, Fault> {
    match Text::from_json(json) {
        Some(text) => Ok(Document { source: DocumentSource::Text(text), title: None, context: None, citations: None }),
        None => json.read(ledger, |document, ledger| read_data(document, ledger).map(of_data)),
    }
}

/// Reads the values of a document. They are told apart in the answer by their place.
pub(super) fn read_data<'a>(document: &mut Object<'a>, ledger: &mut Ledger) -> Result<Json<'a>, Fault> {
    if document.take::<Json<'a>>("id")?.is_some() {
        ledger.left_out(&document.path_of("id"));
    }
    let data = document.require::<Json<'a>>("data")?;
    if data.is_object() { Ok(data) } else { Err(Fault::invalid(&data.path(), "must be an object")) }
}

/// Values that other dialects do not know stay together, as the text of an object.
pub(super) fn of_data(data: Json<'_>) -> Document<'_> {
    let mut unknown = Ledger::default();
    let known = data.read(&mut unknown, |data, _| {
        Ok((data.require::<Text<'_>>("text")?, data.take("title")?, data.take("context")?))
    });
    let (text, title, context) = match known {
        Ok(known) if unknown.is_empty() => known,
        _ => (Text::from(data.written()), None, None),
    };
    Document { source: DocumentSource::Text(text), title, context, citations: None }
}

/// Writes the `data` of a document; a file has none.
pub(super) fn write_data(document: &Document<'_>, object: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    let DocumentSource::Text(text) = &document.source else {
        ledger.refuse("messages[].content document file", "must be plain text for this provider");
        return object.object("data", |_| {});
    };
    let plain = text.plain();
    let is_bare = document.title.is_none() && document.context.is_none() && plain.starts_with('{');
    if is_bare && JsonDocument::parse(&plain).is_ok() {
        return object.put("data", Raw(&plain));
    }
    object.object("data", |data| {
        data.put_some("title", document.title.as_ref());
        data.put_some("context", document.context.as_ref());
        data.put("text", text);
    });
}
