//! A model's answer, whatever dialect it was written in: whole, or as the steps of a stream.

use crate::content::{Citation, Part, Signature};
use crate::error::UpstreamError;
use crate::json::Text;
use crate::usage::Usage;

/// A whole answer.
#[derive(Debug, Default)]
pub struct Completion<'a> {
    /// The provider's name for it; empty if it has none.
    pub id: Text<'a>,
    /// The model that answered.
    pub model: Text<'a>,
    /// What it said, in order.
    pub parts: Vec<Part<'a>>,
    /// Why it ended.
    pub finish: Finish,
    /// The text that ended it, where it was one of the client's.
    pub stop_sequence: Option<Text<'a>>,
    /// How likely each token was.
    pub log_probabilities: Vec<TokenProbability<'a>>,
    /// What it cost.
    pub usage: Usage,
}

/// How likely a token was, and the likeliest others in its place.
#[derive(Debug, Clone)]
pub struct TokenProbability<'a> {
    /// The token.
    pub token: Text<'a>,
    /// The natural logarithm of its probability.
    pub log_probability: f64,
    /// Its bytes, for tokens that are no whole characters.
    pub bytes: Option<Vec<u32>>,
    /// The likeliest tokens in its place.
    pub top: Vec<Self>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Finish {
    /// The model was done.
    #[default]
    Stop,
    /// One of the client's texts came up.
    StopSequence,
    /// As many tokens as were allowed.
    Length,
    /// The model waits for its tools.
    ToolCalls,
    /// The model or its provider declined.
    Refused,
    /// The provider paused a long turn; the client may send it back to go on.
    Paused,
}

/// One step of a stream. A reader keeps to this order: `Start`; then blocks, of which several may be open at once;
/// then `Finish` or `Error`, once, and nothing after it.
#[derive(Debug)]
pub enum Step<'a> {
    /// The answer begins. The usage is what is known by now.
    Start {
        /// The provider's name for it; empty if it has none.
        id: Text<'a>,
        /// The model that answers.
        model: Text<'a>,
        /// What is known of it by now.
        usage: Usage,
    },
    /// A block begins. Blocks are counted from 0 in the order in which they begin.
    Open {
        /// Which block.
        block: u32,
        /// What it will hold.
        kind: Block<'a>,
    },
    /// More of a block.
    Piece {
        /// Which block.
        block: u32,
        /// What is added.
        piece: Piece<'a>,
    },
    /// A block is whole.
    Close {
        /// Which block.
        block: u32,
    },
    /// The provider is there, but has nothing to say yet.
    Alive,
    /// What it cost so far, where the answer then ends without a good end.
    Usage(Usage),
    /// The end: nothing follows.
    Finish {
        /// Why.
        finish: Finish,
        /// The client's text that ended it.
        stop_sequence: Option<Text<'a>>,
        /// What it cost.
        usage: Usage,
    },
    /// The end, but not a good one.
    Error(UpstreamError),
}

/// What a block holds.
#[derive(Debug)]
pub enum Block<'a> {
    /// Text.
    Text,
    /// A thought.
    Thought,
    /// A thought that only its maker can read, whole.
    Redacted(Signature<'a>),
    /// A refusal.
    Refusal,
    /// A call of a tool.
    Call {
        /// What the answer to it names.
        id: Text<'a>,
        /// The tool.
        name: Text<'a>,
    },
    /// Anything that comes whole: an image, say.
    Whole(Part<'a>),
}

/// More of a block.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Of a text, a thought or a refusal.
    Text(Text<'a>),
    /// Of the text of a call's arguments. A call without any has `{}`.
    Arguments(Text<'a>),
    /// Of a thought: its signature, whole.
    Signature(Signature<'a>),
    /// Of a text: what it is based on.
    Citation(Citation<'a>),
    /// Of a text: how likely its tokens were.
    LogProbabilities(Vec<TokenProbability<'a>>),
}
