//! The pieces of what is said: the same in requests and in answers.

use std::borrow::Cow;

use crate::conversation::CacheMark;
use crate::json::{Document as JsonDocument, Json, Text};

/// A piece of what was said.
#[derive(Debug)]
pub struct Part<'a> {
    /// What it is.
    pub content: Content<'a>,
    /// Whether a prompt cache may end after it.
    pub cache: Option<CacheMark<'a>>,
}

impl<'a> From<Content<'a>> for Part<'a> {
    fn from(content: Content<'a>) -> Self {
        Self { content, cache: None }
    }
}

/// What a piece is.
#[derive(Debug)]
pub enum Content<'a> {
    /// A text, with what it is based on.
    Text {
        /// The text.
        text: Text<'a>,
        /// Where it comes from.
        citations: Vec<Citation<'a>>,
    },
    /// A picture.
    Image {
        /// Its bytes.
        media: Media<'a>,
        /// How closely to look: `low`, `high` or `auto`.
        detail: Option<Text<'a>>,
    },
    /// Something to hear.
    Audio(Media<'a>),
    /// Something to watch.
    Video(Media<'a>),
    /// Something to read.
    Document(Document<'a>),
    /// What the model thought.
    Thought(Thought<'a>),
    /// The model calls a tool.
    Call(Call<'a>),
    /// What a tool answered.
    ToolResult(ToolResult<'a>),
    /// The model declines.
    Refusal(Text<'a>),
}

impl<'a> Content<'a> {
    /// A text that is based on nothing in particular.
    pub fn text(text: impl Into<Text<'a>>) -> Self {
        Self::Text { text: text.into(), citations: Vec::new() }
    }
}

/// Where the bytes of a piece are.
#[derive(Debug, Clone)]
pub enum Media<'a> {
    /// Here.
    Base64 {
        /// Their media type (RFC 6838), such as `image/png`.
        media_type: Text<'a>,
        /// In the alphabet of RFC 4648 §4.
        data: Text<'a>,
    },
    /// Where the provider can fetch them: `https://…`, or a scheme of the provider's own.
    Url {
        /// Their media type, where the dialect says it.
        media_type: Option<Text<'a>>,
        /// The address.
        url: Text<'a>,
    },
    /// The client gave them to the provider before.
    File(Text<'a>),
}

/// Something to read.
#[derive(Debug)]
pub struct Document<'a> {
    /// What is in it.
    pub source: DocumentSource<'a>,
    /// Its name.
    pub title: Option<Text<'a>>,
    /// What the model should know of it.
    pub context: Option<Text<'a>>,
    /// Whether the answer should cite it.
    pub citations: Option<bool>,
}

/// What is in a document.
#[derive(Debug)]
pub enum DocumentSource<'a> {
    /// A file of any kind.
    Media(Media<'a>),
    /// A plain text.
    Text(Text<'a>),
}

/// What the model thought.
#[derive(Debug, Default)]
pub struct Thought<'a> {
    /// The thought, or a summary of it.
    pub text: Text<'a>,
    /// What proves to its maker that it is the model's own. A dialect that signs other pieces than thoughts
    /// has an empty thought with the signature before the piece.
    pub signature: Option<Signature<'a>>,
    /// A thought that only the maker can read; `text` is empty then.
    pub is_redacted: bool,
}

/// What proves to a provider that a thought is its own model's.
#[derive(Debug, Clone)]
pub struct Signature<'a> {
    /// Who can check it.
    pub maker: Maker,
    /// Opaque.
    pub value: Text<'a>,
}

/// Who signs thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Maker {
    /// Claude, wherever it runs.
    #[default]
    Anthropic,
    /// Gemini.
    Google,
    /// The models behind OpenAI's Responses.
    Openai,
}

impl Maker {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Anthropic, Self::Google, Self::Openai];

    /// The word in a signature that travels through another maker's dialect.
    pub fn word(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Openai => "openai",
        }
    }
}

impl<'a> Signature<'a> {
    /// A signature out of a dialect in which `native` signs, and others only as `gatewright.MAKER.VALUE`.
    pub fn from_dialect(native: Maker, text: Text<'a>) -> Self {
        let plain = text.plain();
        let tagged = plain.strip_prefix(TAG).and_then(|rest| {
            let (word, value) = rest.split_once('.')?;
            let maker = Maker::ALL.into_iter().find(|maker| maker.word() == word)?;
            Some(Signature { maker, value: value.to_owned().into() })
        });
        tagged.unwrap_or(Signature { maker: native, value: text })
    }

    /// The text of a signature in a dialect in which `native` signs.
    pub fn in_dialect(&self, native: Maker) -> Text<'a> {
        if self.maker == native {
            return self.value.clone();
        }
        format!("{TAG}{}.{}", self.maker.word(), self.value.plain()).into()
    }
}

/// Marks a signature that only travels through a dialect.
const TAG: &str = "gatewright.";

/// The model calls a tool.
#[derive(Debug)]
pub struct Call<'a> {
    /// What the answer to it names; empty where the dialect has none.
    pub id: Text<'a>,
    /// The tool.
    pub name: Text<'a>,
    /// The text of a JSON object. In an answer it is as the model wrote it, which may be no JSON at all.
    pub arguments: Arguments<'a>,
}

/// What a tool is called with.
#[derive(Debug, Clone)]
pub enum Arguments<'a> {
    /// As JSON.
    Object(Json<'a>),
    /// As a text that should be JSON.
    Text(Text<'a>),
}

impl Arguments<'_> {
    /// The text of a JSON object; `none` if the model wrote something else. No text at all is an object without members.
    pub fn object(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Object(json) => json.is_object().then(|| Cow::Borrowed(json.written())),
            Self::Text(text) => {
                let plain = text.plain();
                if plain.trim().is_empty() {
                    return Some(Cow::Borrowed("{}"));
                }
                let is_object = JsonDocument::parse(&plain).is_ok_and(|document| document.root().is_object());
                is_object.then_some(plain)
            }
        }
    }
}

/// What a tool answered.
#[derive(Debug)]
pub struct ToolResult<'a> {
    /// The call that it answers.
    pub call: Text<'a>,
    /// The tool's name, where the dialect says it.
    pub name: Option<Text<'a>>,
    /// What it said.
    pub content: ResultContent<'a>,
    /// Whether the tool failed.
    pub is_error: Option<bool>,
}

/// What a tool said.
#[derive(Debug)]
pub enum ResultContent<'a> {
    /// Pieces, as a person would say them.
    Parts(Vec<Part<'a>>),
    /// A JSON object.
    Object(Json<'a>),
}

/// What a text is based on. What a dialect does not say is `none`.
#[derive(Debug, Clone, Default)]
pub struct Citation<'a> {
    /// Where in the answer's text it applies: the first character, and the one after the last.
    pub place: Option<(u32, u32)>,
    /// The words that it is based on.
    pub quote: Option<Text<'a>>,
    /// What the source is called.
    pub title: Option<Text<'a>>,
    /// Where the source is on the web.
    pub url: Option<Text<'a>>,
    /// Which of the request's documents it is, from 0.
    pub document: Option<u32>,
    /// Where in that document.
    pub passage: Option<Passage>,
    /// The provider's own name of the source: a file or a document.
    pub source: Option<Text<'a>>,
}

/// A stretch of a document: the first, and the one after the last, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// By characters.
    Characters(u32, u32),
    /// By pages, from 1.
    Pages(u32, u32),
    /// By pieces of its content.
    Blocks(u32, u32),
}
