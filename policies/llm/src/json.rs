//! JSON as its sender wrote it: values are taken out of objects one by one, and what nobody took is seen.

mod document;
mod text;
mod write;

pub use document::Document;
pub use gatewright_json::NotJson;
pub use text::{Text, unescape_one};
pub use write::{ListWriter, ObjectWriter, Raw, ToJson, list, object, object_text};

use crate::fault::{Fault, Ledger};
use gatewright_json::Node;

/// One value of a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Json<'a> {
    document: &'a Document<'a>,
    node: u32,
}

impl<'a> Document<'a> {
    /// The whole value.
    pub fn root(&'a self) -> Json<'a> {
        Json { document: self, node: 0 }
    }
}

impl<'a> Json<'a> {
    /// The value's text as its sender wrote it.
    pub fn written(self) -> &'a str {
        let text: &'a str = &self.document.text;
        text.get(self.span()).unwrap_or_default()
    }

    /// Where the value stands in the text, in bytes.
    pub fn span(self) -> std::ops::Range<usize> {
        self.range().map_or(0..0, |node| node.start as usize..node.end as usize)
    }

    /// Whether the value is `null`.
    pub fn is_null(self) -> bool {
        self.first_byte() == b'n'
    }

    /// Whether the value is an object.
    pub fn is_object(self) -> bool {
        self.first_byte() == b'{'
    }

    /// Whether the value is an array.
    pub fn is_list(self) -> bool {
        self.first_byte() == b'['
    }

    /// Whether the value says nothing: `null`, or an array or object without anything in it.
    pub fn says_nothing(self) -> bool {
        let is_container = self.is_object() || self.is_list();
        self.is_null() || is_container && self.range().is_none_or(|node| node.next == self.node + 1)
    }

    /// The items of an array.
    pub fn items(self) -> Option<impl Iterator<Item = Self>> {
        self.is_list().then(|| self.children())
    }

    /// The members of an object, to be taken one by one.
    pub fn members(self) -> Option<Object<'a>> {
        if !self.is_object() {
            return None;
        }
        let mut children = self.children();
        let mut members = Vec::new();
        while let (Some(name), Some(value)) = (children.next(), children.next()) {
            members.push((name, Some(value)));
        }
        Some(Object { json: self, members, has_two_cases: false })
    }

    /// The members of an object with their names, in order; none for other values. For a look.
    pub fn entries(self) -> impl Iterator<Item = (std::borrow::Cow<'a, str>, Self)> {
        let count = if self.is_object() { usize::MAX } else { 0 };
        let names = self.children().step_by(2).take(count);
        let values = self.children().skip(1).step_by(2);
        names.zip(values).map(|(name, value)| (Text::Written(name.written()).plain(), value))
    }

    /// Another JSON text that lives as long as this one; `none` if it is no JSON.
    pub fn derive(self, text: String) -> Option<Self> {
        self.document.derive(text).map(Document::root)
    }

    /// The member of an object. For a look; [`Object`] sees what nobody took.
    pub fn member(self, name: &str) -> Option<Self> {
        let mut children = self.is_object().then(|| self.children())?;
        while let (Some(known), Some(value)) = (children.next(), children.next()) {
            if known.is_name(name) {
                return Some(value);
            }
        }
        None
    }

    fn children(self) -> impl Iterator<Item = Self> + use<'a> {
        let document = self.document;
        document.index.children(self.node).map(move |node| Self { document, node })
    }

    fn is_name(self, name: &str) -> bool {
        let written = self.written();
        let inner = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        inner == name || inner.contains('\\') && Text::Written(written).plain() == name
    }

    /// Whether this is a camelCase name in snake_case.
    fn is_name_in_snake_case(self, camel: &str) -> bool {
        let written = self.written();
        let mut letters = written.bytes().skip(1);
        let is_said = camel.bytes().all(|letter| {
            let starts_word = letter.is_ascii_uppercase();
            (!starts_word || letters.next() == Some(b'_')) && letters.next() == Some(letter.to_ascii_lowercase())
        });
        is_said && letters.next() == Some(b'"') && letters.next().is_none()
    }

    fn first_byte(self) -> u8 {
        let start = self.range().map_or(0, |node| node.start as usize);
        self.document.text.as_bytes().get(start).copied().unwrap_or(b'n')
    }

    fn range(self) -> Option<&'a Node> {
        self.document.index.node(self.node)
    }
}

impl ToJson for Json<'_> {
    fn write_to(&self, out: &mut String) {
        out.push_str(self.written());
    }
}

/// What a member can be read as.
pub trait FromJson<'a>: Sized {
    /// What a person calls it, as in "must be …".
    const KIND: &'static str;

    /// The value, if it is of this kind.
    fn from_json(json: Json<'a>) -> Option<Self>;
}

impl<'a> FromJson<'a> for Json<'a> {
    const KIND: &'static str = "a value";

    fn from_json(json: Self) -> Option<Self> {
        Some(json)
    }
}

impl<'a> FromJson<'a> for Text<'a> {
    const KIND: &'static str = "a text";

    fn from_json(json: Json<'a>) -> Option<Self> {
        (json.first_byte() == b'"').then(|| Self::Written(json.written()))
    }
}

impl<'a> FromJson<'a> for std::borrow::Cow<'a, str> {
    const KIND: &'static str = "a text";

    fn from_json(json: Json<'a>) -> Option<Self> {
        Text::from_json(json).map(|text| text.plain())
    }
}

impl<'a> FromJson<'a> for String {
    const KIND: &'static str = "a text";

    fn from_json(json: Json<'a>) -> Option<Self> {
        Text::from_json(json).map(Text::into_string)
    }
}

impl<'a> FromJson<'a> for bool {
    const KIND: &'static str = "true or false";

    fn from_json(json: Json<'a>) -> Option<Self> {
        match json.written() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
}

impl<'a> FromJson<'a> for f64 {
    const KIND: &'static str = "a number";

    fn from_json(json: Json<'a>) -> Option<Self> {
        json.written().parse().ok().filter(|number: &Self| number.is_finite())
    }
}

impl<'a> FromJson<'a> for u32 {
    const KIND: &'static str = "a whole number from 0 to 4294967295";

    /// `1e3` and `5.0` are whole numbers too.
    fn from_json(json: Json<'a>) -> Option<Self> {
        json.written().parse().ok().or_else(|| {
            let number = f64::from_json(json)?;
            let is_whole = number.fract() == 0.0 && (0.0..=f64::from(Self::MAX)).contains(&number);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
            is_whole.then_some(number as Self)
        })
    }
}

impl<'a> FromJson<'a> for u64 {
    const KIND: &'static str = "a whole number from 0";

    fn from_json(json: Json<'a>) -> Option<Self> {
        json.written().parse().ok().or_else(|| u32::from_json(json).map(Self::from))
    }
}

impl<'a> FromJson<'a> for i64 {
    const KIND: &'static str = "a whole number";

    fn from_json(json: Json<'a>) -> Option<Self> {
        json.written().parse().ok().or_else(|| u32::from_json(json).map(Self::from))
    }
}

impl<'a, T: FromJson<'a>> FromJson<'a> for Vec<T> {
    const KIND: &'static str = "a list";

    fn from_json(json: Json<'a>) -> Option<Self> {
        json.items()?.map(T::from_json).collect()
    }
}

/// An object whose members are taken one by one.
#[derive(Debug)]
pub struct Object<'a> {
    json: Json<'a>,
    members: Vec<(Json<'a>, Option<Json<'a>>)>,
    has_two_cases: bool,
}

impl<'a> Object<'a> {
    /// Takes a member; `none` if it is absent or null.
    ///
    /// # Errors
    /// It is of another kind.
    pub fn take<T: FromJson<'a>>(&mut self, name: &str) -> Result<Option<T>, Fault> {
        let Some(value) = self.take_any(name).filter(|value| !value.is_null()) else { return Ok(None) };
        match T::from_json(value) {
            Some(value) => Ok(Some(value)),
            None => Err(Fault::invalid(&value.path(), &format!("must be {}", T::KIND))),
        }
    }

    /// Takes a member that must be there.
    ///
    /// # Errors
    /// It is absent, null or of another kind.
    pub fn require<T: FromJson<'a>>(&mut self, name: &str) -> Result<T, Fault> {
        self.take(name)?.ok_or_else(|| self.missing(name))
    }

    /// Takes an object, and reads the whole of it.
    ///
    /// # Errors
    /// It is no object, or `read` fails.
    pub fn take_object<T>(
        &mut self,
        name: &str,
        ledger: &mut Ledger,
        read: impl FnOnce(&mut Self, &mut Ledger) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.take::<Json<'a>>(name)? else { return Ok(None) };
        value.read(ledger, read).map(Some)
    }

    /// Takes a list of objects, and reads the whole of each; empty if it is absent.
    ///
    /// # Errors
    /// It is no list of objects, or `read` fails.
    pub fn take_objects<T>(
        &mut self,
        name: &str,
        ledger: &mut Ledger,
        mut read: impl FnMut(&mut Self, &mut Ledger) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let Some(value) = self.take::<Json<'a>>(name)? else { return Ok(Vec::new()) };
        let items = value.items().ok_or_else(|| Fault::invalid(&value.path(), "must be a list"))?;
        items.map(|item| item.read(ledger, &mut read)).collect()
    }

    /// Takes what has no meaning of its own, or whose meaning is the same in every dialect.
    pub fn skip(&mut self, names: &[&str]) {
        for name in names {
            self.take_any(name);
        }
    }

    /// From here on, members are found by their names in camelCase and in snake_case: the JSON of protocol buffers
    /// has both.
    pub fn also_in_snake_case(&mut self) {
        self.has_two_cases = true;
    }

    /// The object itself.
    pub fn json(&self) -> Json<'a> {
        self.json
    }

    /// The fault of a member that must be there.
    pub fn missing(&self, name: &str) -> Fault {
        Fault::invalid(&self.path_of(name), "is missing")
    }

    /// Where a member is, or would be.
    pub fn path_of(&self, name: &str) -> String {
        let path = self.json.path();
        if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
    }

    /// What is left, but for values that say nothing: null, `[]` and `{}`.
    fn leftovers(&self) -> impl Iterator<Item = Json<'a>> {
        self.members.iter().filter_map(|(_, value)| *value).filter(|value| !value.says_nothing())
    }

    fn take_any(&mut self, name: &str) -> Option<Json<'a>> {
        let has_two_cases = self.has_two_cases;
        let is_meant = |known: &Json<'a>| known.is_name(name) || has_two_cases && known.is_name_in_snake_case(name);
        let (_, value) = self.members.iter_mut().find(|(known, value)| value.is_some() && is_meant(known))?;
        value.take()
    }
}

impl<'a> Json<'a> {
    /// Reads the whole of an object: what `read` leaves of it is written to the ledger.
    ///
    /// # Errors
    /// The value is no object, or `read` fails.
    pub fn read<T>(
        self,
        ledger: &mut Ledger,
        read: impl FnOnce(&mut Object<'a>, &mut Ledger) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut object = self.members().ok_or_else(|| Fault::invalid(&self.path(), "must be an object"))?;
        let result = read(&mut object, ledger)?;
        for value in object.leftovers() {
            ledger.refuse(&value.path(), "is not known");
        }
        Ok(result)
    }

    /// Where the value stands, as in `messages[0].content`; empty for the whole text.
    pub fn path(self) -> String {
        let mut path = String::new();
        let mut at = self.document.root();
        while at.node != self.node {
            let holds =
                |child: &Self| child.node <= self.node && child.range().is_some_and(|node| self.node < node.next);
            let Some(place) = at.children().position(|child| holds(&child)) else { break };
            let Some(child) = at.children().nth(place) else { break };
            if at.is_list() {
                path.push_str(&format!("[{place}]"));
            } else if let Some(name) = at.children().nth(place - place % 2) {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&Text::Written(name.written()).plain());
            }
            at = child;
        }
        path
    }
}
