//! The way from each dialect to each: requests, whole answers, streams and errors.

use serde::{Deserialize, Serialize};

use crate::completion::{Block, Finish, Piece, Step};
use crate::content::Content;
use crate::conversation::Conversation;
use crate::dialect::{
    Dialect, Frame, Heading, Options, Output, Sink, chat, cohere, converse, gemini, messages, responses,
};
use crate::error::{ErrorKind, UpstreamError};
use crate::fault::{Fault, Ledger, OnLoss};
use crate::json::{Document, Json};
use crate::tool_name::ToolNames;
use crate::usage::Usage;

/// Calls one door of a dialect.
macro_rules! at {
    ($dialect:expr, $door:ident::$way:ident($($argument:expr),*)) => {
        match $dialect {
            Dialect::Chat => chat::$door::$way($($argument),*),
            Dialect::Responses => responses::$door::$way($($argument),*),
            Dialect::Messages => messages::$door::$way($($argument),*),
            Dialect::Gemini => gemini::$door::$way($($argument),*),
            Dialect::Converse => converse::$door::$way($($argument),*),
            Dialect::Cohere => cohere::$door::$way($($argument),*),
        }
    };
}

/// A request as its client made it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What the client speaks.
    pub client: Dialect,
    /// The body.
    pub body: &'a str,
    /// The model, in dialects that have it in the path.
    pub model: Option<&'a str>,
    /// Whether the answer is to be streamed, in dialects that have it in the path.
    pub stream: Option<bool>,
}

/// A request for the upstream.
#[derive(Debug)]
pub struct Request {
    /// The body.
    pub body: String,
    /// The model that the client asked for.
    pub requested: String,
    /// The same, as the upstream knows it.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants usage at the end of its stream.
    pub stream_usage: bool,
    /// Names of tools that were changed.
    pub names: ToolNames,
    /// One header value that names all that was not carried over; empty if all was.
    pub warning: String,
}

/// Translates a request. `rename` has the upstream's name of a model, where it is another.
///
/// # Errors
/// The body is not what the client's dialect says, or holds what the upstream's has no place for.
pub fn request(
    asked: &Asked<'_>,
    upstream: Dialect,
    options: &Options,
    on_loss: OnLoss,
    rename: impl FnOnce(&str) -> Option<String>,
) -> Result<Request, Fault> {
    let document = Document::parse(asked.body).map_err(|error| Fault::not_json(&error.to_string()))?;
    let mut ledger = Ledger::new(on_loss);
    let mut conversation = at!(asked.client, request::read(document.root(), &mut ledger))?;
    if let Some(model) = asked.model {
        conversation.model = model.into();
    }
    conversation.stream = asked.stream.unwrap_or(conversation.stream);
    let requested = conversation.model.plain().into_owned();
    if let Some(model) = rename(&requested) {
        conversation.model = model.into();
    }
    let mut names = ToolNames::default();
    names.replace_in(&mut conversation);
    let body = at!(upstream, request::write(&mut conversation, options, &mut ledger));
    tell_of_hints(&conversation, &mut ledger);
    Ok(Request {
        body,
        requested,
        model: conversation.model.plain().into_owned(),
        stream: conversation.stream,
        stream_usage: conversation.stream_usage,
        names,
        warning: ledger.close()?,
    })
}

/// Hints that the upstream's dialect did not take.
fn tell_of_hints(conversation: &Conversation<'_>, ledger: &mut Ledger) {
    for hint in &conversation.hints {
        if hint.matters {
            ledger.refuse(hint.name, "is not offered by this model's provider");
        } else {
            ledger.left_out(hint.name);
        }
    }
}

/// A whole answer for the client.
#[derive(Debug)]
pub struct Response {
    /// The body.
    pub body: String,
    /// What it cost.
    pub usage: Usage,
    /// Why it ended.
    pub finish: Finish,
}

/// Where a translation begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// What the client speaks.
    pub client: Dialect,
    /// What the upstream speaks.
    pub upstream: Dialect,
}

/// Translates a whole answer.
///
/// # Errors
/// It cannot be read, or is an error with a good status.
pub fn response(
    pair: Pair,
    body: &str,
    names: &ToolNames,
    heading: &Heading,
    ledger: &mut Ledger,
) -> Result<Response, UpstreamError> {
    let unreadable = || UpstreamError::new(ErrorKind::Other, "the provider sent an answer that cannot be read");
    let document = Document::parse(body).map_err(|_| unreadable())?;
    let mut completion = at!(pair.upstream, response::read(document.root(), heading, ledger))?;
    for part in &mut completion.parts {
        if let Content::Call(call) = &mut part.content {
            call.name = names.original(std::mem::take(&mut call.name));
        }
    }
    let (usage, finish) = (completion.usage, completion.finish);
    Ok(Response { body: at!(pair.client, response::write(&completion, heading, ledger)), usage, finish })
}

/// Translates the body of an error. The status stays, unless the client's dialect has another for what the error says.
pub fn error(pair: Pair, status: u16, body: &str) -> (u16, String) {
    let error = at!(pair.upstream, error::read(status, body));
    let (own, body) = error_in(pair.client, &error);
    let stays = ErrorKind::of_status(status) == error.kind && error.kind != ErrorKind::Overloaded;
    (if stays { status } else { own }, body)
}

/// The body and status of an error in a dialect.
pub fn error_in(client: Dialect, error: &UpstreamError) -> (u16, String) {
    let status = match client {
        Dialect::Messages => messages::error::status(error.kind),
        Dialect::Gemini => gemini::error::status(error.kind),
        Dialect::Converse => converse::error::status(error.kind),
        Dialect::Cohere => cohere::error::status(error.kind),
        Dialect::Chat | Dialect::Responses => error.kind.status(),
    };
    (status, at!(client, error::write(error)))
}

/// What an answer cost, from the text of its own account of it: the member `usage`, of Gemini `usageMetadata`.
pub fn usage(dialect: Dialect, text: &str) -> Option<Usage> {
    let document = Document::parse(text).ok()?;
    let said = Some(document.root()).filter(|said| said.is_object())?;
    match dialect {
        Dialect::Chat => chat::usage::read(said),
        Dialect::Responses => responses::usage::read(said),
        Dialect::Messages => messages::usage::read(said),
        Dialect::Gemini => Some(gemini::usage::read(said)),
        Dialect::Converse => Some(converse::usage::read(said)),
        Dialect::Cohere => cohere::usage::read(said),
    }
}

/// Whether a chunk of chat completions has nothing but usage: clients that did not ask for it do not expect it.
pub fn is_usage_alone(data: &str) -> bool {
    if !data.contains("\"usage\"") {
        return false;
    }
    let Ok(document) = Document::parse(data) else { return false };
    let (usage, choices) = (document.root().member("usage"), document.root().member("choices"));
    usage.is_some_and(Json::is_object) && choices.is_some_and(Json::says_nothing)
}

/// How a stream went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is whole.
    Complete,
    /// The provider ended its stream early.
    Truncated,
    /// The provider said that something went wrong.
    Error,
}

/// Translates a stream, frame by frame. All that is kept from one frame to the next is in here.
#[derive(Debug, Serialize, Deserialize)]
pub struct Relay {
    reader: Reader,
    writer: Writer,
    tally: Tally,
}

/// What is known of a stream so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// How it went; none while it goes on.
    pub outcome: Option<Outcome>,
    /// The provider's figures, as far as they came.
    pub usage: Usage,
    /// Bytes of text that the client got.
    said: u32,
}

macro_rules! sides {
    ($($dialect:ident => $module:ident),*) => {
        #[derive(Debug, Serialize, Deserialize)]
        enum Reader { $($dialect($module::stream::Reader)),* }

        #[derive(Debug, Serialize, Deserialize)]
        enum Writer { $($dialect($module::stream::Writer)),* }

        impl Reader {
            fn of(dialect: Dialect) -> Self {
                match dialect { $(Dialect::$dialect => Self::$dialect($module::stream::Reader::default())),* }
            }

            fn read(&mut self, frame: &Frame, heading: &Heading, sink: Sink<'_>) {
                match self { $(Self::$dialect(reader) => reader.read(frame, heading, sink)),* }
            }

            fn close(&mut self, sink: Sink<'_>) {
                match self { $(Self::$dialect(reader) => reader.close(sink)),* }
            }
        }

        impl Writer {
            fn of(dialect: Dialect) -> Self {
                match dialect { $(Dialect::$dialect => Self::$dialect($module::stream::Writer::default())),* }
            }

            fn write(&mut self, step: &Step<'_>, heading: &Heading, output: &mut Output) {
                match self { $(Self::$dialect(writer) => writer.write(step, heading, output)),* }
            }
        }
    };
}

sides!(
    Chat => chat, Responses => responses, Messages => messages, Gemini => gemini, Converse => converse, Cohere => cohere
);

impl Relay {
    /// The start of a stream.
    pub fn new(pair: Pair) -> Self {
        Self { reader: Reader::of(pair.upstream), writer: Writer::of(pair.client), tally: Tally::default() }
    }

    /// The client's frames of one of the upstream's.
    pub fn read(&mut self, frame: &Frame, names: &ToolNames, heading: &Heading, output: &mut Output) {
        let Self { reader, writer, tally } = self;
        reader.read(frame, heading, &mut |step| {
            let step = with_original_name(step, names);
            tally.count(&step);
            writer.write(&step, heading, output);
        });
    }

    /// The client's last frames: the upstream's stream has ended, well or not.
    pub fn close(&mut self, heading: &Heading, output: &mut Output) {
        let Self { reader, writer, tally } = self;
        reader.close(&mut |step| {
            tally.count(&step);
            writer.write(&step, heading, output);
        });
    }

    /// What is known so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

fn with_original_name<'a>(step: Step<'a>, names: &ToolNames) -> Step<'a> {
    match step {
        Step::Open { block, kind: Block::Call { id, name } } => {
            Step::Open { block, kind: Block::Call { id, name: names.original(name) } }
        }
        other => other,
    }
}

/// Watches a stream that passes as it is, to know how it went.
#[derive(Debug, Serialize, Deserialize)]
pub struct Watch {
    reader: Reader,
    tally: Tally,
}

impl Watch {
    /// The start of a stream.
    pub fn new(dialect: Dialect) -> Self {
        Self { reader: Reader::of(dialect), tally: Tally::default() }
    }

    /// Looks at one frame. The error is one that the gateway found, and the client does not know of.
    pub fn read(&mut self, frame: &Frame, heading: &Heading) -> Option<UpstreamError> {
        let Self { reader, tally } = self;
        let mut found = None;
        reader.read(frame, heading, &mut |step| found = found.take().or_else(|| tally.count(&step)));
        found
    }

    /// The upstream's stream has ended, well or not.
    pub fn close(&mut self) -> Option<UpstreamError> {
        let Self { reader, tally } = self;
        let mut found = None;
        reader.close(&mut |step| found = found.take().or_else(|| tally.count(&step)));
        found
    }

    /// What is known so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// The frame that an error is in a stream.
pub fn error_frame(client: Dialect, error: &UpstreamError) -> Frame {
    let mut output = Output::default();
    Writer::of(client).write(&Step::Error(error.clone()), &Heading::default(), &mut output);
    output.frames.pop().unwrap_or_default()
}

impl Tally {
    /// Takes note of a step; an error that the gateway found is given back.
    fn count(&mut self, step: &Step<'_>) -> Option<UpstreamError> {
        match step {
            Step::Start { usage, .. } | Step::Usage(usage) => self.usage = *usage,
            Step::Piece { piece: Piece::Text(text) | Piece::Arguments(text), .. } => {
                let bytes = u32::try_from(text.bytes()).unwrap_or(u32::MAX);
                self.said = self.said.saturating_add(bytes);
            }
            Step::Finish { usage, .. } => {
                self.usage = *usage;
                self.outcome = Some(Outcome::Complete);
            }
            Step::Error(error) => {
                let is_cut = error.kind == ErrorKind::Truncated;
                self.outcome = Some(if is_cut { Outcome::Truncated } else { Outcome::Error });
                return error.is_found.then(|| error.clone());
            }
            Step::Open { .. } | Step::Piece { .. } | Step::Close { .. } | Step::Alive => {}
        }
        None
    }

    /// What the stream cost. Where the provider's figures never came, an estimate that is marked as one.
    pub fn usage(&self, heading: &Heading) -> Usage {
        if self.outcome == Some(Outcome::Complete) && self.usage.total() > 0 {
            return self.usage;
        }
        let mut usage = self.usage;
        usage.is_estimate = true;
        if usage.input_total() == 0 {
            usage.input = heading.input_estimate;
        }
        usage.output = usage.output.max(estimate(self.said));
        usage
    }
}

/// About how many tokens a text of so many bytes has.
pub fn estimate(bytes: u32) -> u32 {
    bytes.div_ceil(4)
}
