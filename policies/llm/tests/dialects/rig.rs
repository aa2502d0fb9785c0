//! What the tests of several dialects need.

use gatewright_llm::completion::{Block, Piece, Step};
use gatewright_llm::content::Signature;
use gatewright_llm::dialect::{Frame, Heading, Sink};
use gatewright_llm::json::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or_default() % bound
    }
}

/// A JSON text as a value to compare.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}

/// A JSON text, ready to be read.
pub(crate) fn document(text: &str) -> Document<'_> {
    Document::parse(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
}

/// An object with other members added or changed.
pub(crate) fn with(mut object: Value, change: &Value) -> Value {
    if let (Some(members), Some(change)) = (object.as_object_mut(), change.as_object()) {
        members.extend(change.clone());
    }
    object
}

/// A state as it is after it was stored, and how many bytes that took.
pub(crate) fn stored<T: Serialize + DeserializeOwned>(state: &T) -> (T, usize) {
    let text = serde_json::to_string(state).unwrap_or_else(|error| unreachable!("{error}"));
    (serde_json::from_str(&text).unwrap_or_else(|error| unreachable!("{error}: {text}")), text.len())
}

/// What the tests know of an answer beside what the upstream says.
pub(crate) fn heading() -> Heading {
    Heading {
        seed: "seed".into(),
        model: "asked".into(),
        created: 1_700_000_000,
        stream_usage: true,
        input_estimate: 0,
    }
}

/// The doors of a stream's reader.
pub(crate) type StreamDoors<R> = (fn(&mut R, &Frame, &Heading, Sink<'_>), fn(&mut R, Sink<'_>));

/// Reads a stream to its end, and hands every step on. The reader is stored between frames if `stores`.
pub(crate) fn read_stream<R: Default + Serialize + DeserializeOwned>(
    frames: &[Frame],
    (read, close): StreamDoors<R>,
    stores: bool,
    mut on: impl FnMut(&Step<'_>),
) {
    let mut reader = R::default();
    for frame in frames {
        read(&mut reader, frame, &heading(), &mut |step| on(&step));
        if stores {
            reader = stored(&reader).0;
        }
    }
    close(&mut reader, &mut |step| on(&step));
}

/// The steps of a stream, one line each; the same whether the reader is stored between frames or not.
pub(crate) fn steps<R: Default + Serialize + DeserializeOwned>(frames: &[Frame], doors: StreamDoors<R>) -> Vec<String> {
    let [at_once, stored] = [false, true].map(|stores| {
        let mut lines = Vec::new();
        read_stream(frames, doors, stores, |step| lines.push(line(step)));
        lines
    });
    assert_eq!(at_once, stored, "the state of the reader is not whole");
    stored
}

/// A step as a line that is easily read.
pub(crate) fn line(step: &Step<'_>) -> String {
    match step {
        Step::Start { id, model, .. } => format!("start {} {}", id.plain(), model.plain()),
        Step::Open { block, kind } => match kind {
            Block::Text => format!("{block} text"),
            Block::Thought => format!("{block} thought"),
            Block::Refusal => format!("{block} refusal"),
            Block::Redacted(signature) => format!("{block} redacted {}", signed(signature)),
            Block::Call { id, name } => format!("{block} call {} {}", id.plain(), name.plain()),
            Block::Whole(part) => format!("{block} whole {:?}", part.content),
        },
        Step::Piece { block, piece } => match piece {
            Piece::Text(text) | Piece::Arguments(text) => format!("{block} + {}", text.plain()),
            Piece::Signature(signature) => format!("{block} signed {}", signed(signature)),
            Piece::Citation(citation) => format!("{block} {citation:?}"),
            Piece::LogProbabilities(tokens) => {
                let tokens = tokens.iter().map(|token| format!("{}={}", token.token.plain(), token.log_probability));
                format!("{block} likely {}", tokens.collect::<Vec<_>>().join(" "))
            }
        },
        Step::Close { block } => format!("{block} end"),
        Step::Alive => "alive".into(),
        Step::Usage(usage) => format!("so far in {} out {}", usage.input, usage.output),
        Step::Finish { finish, stop_sequence, usage } => {
            let stop = stop_sequence.as_ref().map(|stop| format!(" {:?}", stop.plain())).unwrap_or_default();
            let (read, out, thought) = (usage.cache_read, usage.output, usage.reasoning);
            format!("finish {finish:?}{stop} in {} read {read} out {out} thought {thought}", usage.input)
        }
        Step::Error(error) => format!("error {}: {}", error.kind.word(), error.message),
    }
}

fn signed(signature: &Signature<'_>) -> String {
    format!("{} {}", signature.maker.word(), signature.value.plain())
}
