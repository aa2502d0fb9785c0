//! A request to a model, whatever dialect it was written in.

use serde_json::value::RawValue;

/// What a client asks of a model.
#[derive(Default)]
pub(crate) struct Conversation<'a> {
    pub(crate) model: String,
    /// What the model is told before all turns.
    pub(crate) instructions: Vec<Part<'a>>,
    pub(crate) turns: Vec<Turn<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) tool_choice: Option<ToolChoice>,
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) output_tokens_max: Option<u32>,
    /// From 0 to 2.
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) stop: Vec<String>,
    /// The JSON Schema that the answer must fit.
    pub(crate) answer_schema: Option<&'a RawValue>,
    pub(crate) effort: Option<Effort>,
    /// Who the end user is, opaque.
    pub(crate) user: Option<String>,
    pub(crate) stream: bool,
    /// Whether the client wants usage at the end of its stream.
    pub(crate) stream_usage: bool,
}

/// What one side said.
pub(crate) enum Turn<'a> {
    User(Vec<Part<'a>>),
    Assistant {
        thoughts: Vec<Thought>,
        parts: Vec<Part<'a>>,
        calls: Vec<Call>,
    },
    /// What a tool answered.
    ToolResult {
        call: String,
        parts: Vec<Part<'a>>,
    },
}

/// A piece of what was said, with the cache mark that the client put on it.
pub(crate) struct Part<'a> {
    pub(crate) content: Content,
    pub(crate) cache_control: Option<&'a RawValue>,
}

pub(crate) enum Content {
    Text(String),
    Image(Source),
    Document { source: Source, title: Option<String> },
}

/// Where the bytes of an image or a document are.
pub(crate) enum Source {
    Base64 { media_type: String, data: String },
    Url(String),
}

/// A thought that the model signed, to be given back as it was.
pub(crate) enum Thought {
    Signed { text: String, signature: String },
    Encrypted(String),
}

/// A call of a tool.
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The text of a JSON object.
    pub(crate) arguments: Box<RawValue>,
}

pub(crate) struct Tool<'a> {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) parameters: Option<&'a RawValue>,
    pub(crate) strict: Option<bool>,
    pub(crate) cache_control: Option<&'a RawValue>,
}

pub(crate) enum ToolChoice {
    Auto,
    None,
    Any,
    Named(String),
}

/// How long a model may think before it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    None,
    Low,
    Medium,
    High,
    Higher,
    Highest,
}
