//! Writes an answer as a message: whole, or as the events of a stream.

use serde_json::{Value, json};

use super::super::answer::{Answer, Stop};

/// An answer with what its envelope needs.
pub(super) struct Reply {
    /// Part of every identifier.
    pub(super) token: String,
    pub(super) model: String,
    pub(super) answer: Answer,
}

impl Reply {
    /// `message`.
    pub(super) fn whole(&self) -> Value {
        let content: Vec<Value> = self.blocks().into_iter().map(|block| block.whole).collect();
        let mut message = self.envelope(&json!(content), self.answer.output_tokens);
        message["stop_reason"] = json!(self.stop_reason());
        message["stop_sequence"] = self.stop_sequence();
        message
    }

    /// The events of a stream in their order, with a `ping` in it; an error in its place after so many.
    pub(super) fn events(&self, error_after: Option<usize>) -> Vec<String> {
        let mut events = vec![json!({ "type": "message_start", "message": self.envelope(&json!([]), 1) })];
        for (index, block) in self.blocks().into_iter().enumerate() {
            events.push(json!({ "type": "content_block_start", "index": index, "content_block": block.start }));
            if index == 0 {
                events.push(json!({ "type": "ping" }));
            }
            let delta = |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
            events.extend(block.deltas.into_iter().map(delta));
            events.push(json!({ "type": "content_block_stop", "index": index }));
        }
        let delta = json!({ "stop_reason": self.stop_reason(), "stop_sequence": self.stop_sequence() });
        let usage = json!({ "output_tokens": self.answer.output_tokens });
        events.push(json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        events.push(json!({ "type": "message_stop" }));
        if let Some(count) = error_after.filter(|count| *count < events.len()) {
            events.truncate(count);
            events.push(json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }));
        }
        events
            .iter()
            .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
            .collect()
    }

    fn envelope(&self, content: &Value, output_tokens: usize) -> Value {
        json!({
            "id": format!("msg_{}", self.token), "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": null, "stop_sequence": null,
            "usage": {
                "input_tokens": self.answer.input_tokens, "output_tokens": output_tokens,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard",
            },
        })
    }

    /// Thinking, text, calls. Calls come after a text, so that the index of a block is not that of a call.
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = self.answer.thinking.map(Block::thinking).into_iter().collect();
        if self.answer.calls.is_empty() {
            blocks.push(Block::text(&self.answer.text));
        } else {
            blocks.push(Block::text(&["I will ask ".to_owned(), "the tools.".to_owned()]));
        }
        for (index, call) in self.answer.calls.iter().enumerate() {
            let id = format!("toolu_{}{index}", self.token);
            blocks.push(Block::call(&id, &call.name, &json!(call.arguments)));
        }
        blocks
    }

    fn stop_reason(&self) -> &'static str {
        match self.answer.stop {
            Stop::End => "end_turn",
            Stop::Length => "max_tokens",
            Stop::Sequence(_) => "stop_sequence",
            Stop::Tools => "tool_use",
        }
    }

    fn stop_sequence(&self) -> Value {
        match &self.answer.stop {
            Stop::Sequence(sequence) => json!(sequence),
            Stop::End | Stop::Length | Stop::Tools => Value::Null,
        }
    }
}

/// A block of content, both ways it is written.
struct Block {
    whole: Value,
    start: Value,
    deltas: Vec<Value>,
}

impl Block {
    fn text(pieces: &[String]) -> Self {
        Self {
            whole: json!({ "type": "text", "text": pieces.concat() }),
            start: json!({ "type": "text", "text": "" }),
            deltas: pieces.iter().map(|piece| json!({ "type": "text_delta", "text": piece })).collect(),
        }
    }

    fn thinking(text: &str) -> Self {
        let pieces = text.split_inclusive(' ').map(|piece| json!({ "type": "thinking_delta", "thinking": piece }));
        let signature = std::iter::once(json!({ "type": "signature_delta", "signature": SIGNATURE }));
        Self {
            whole: json!({ "type": "thinking", "thinking": text, "signature": SIGNATURE }),
            start: json!({ "type": "thinking", "thinking": "", "signature": "" }),
            deltas: pieces.chain(signature).collect(),
        }
    }

    /// A call; without arguments its one delta is empty, as Anthropic sends it.
    fn call(id: &str, name: &str, arguments: &Value) -> Self {
        let text = if arguments == &json!({}) { String::new() } else { arguments.to_string() };
        let characters: Vec<char> = text.chars().collect();
        let pieces = characters.chunks(ARGUMENT_PIECE).map(|piece| piece.iter().collect::<String>());
        let delta = |piece: String| json!({ "type": "input_json_delta", "partial_json": piece });
        Self {
            whole: json!({ "type": "tool_use", "id": id, "name": name, "input": arguments }),
            start: json!({ "type": "tool_use", "id": id, "name": name, "input": {} }),
            deltas: std::iter::once(String::new()).chain(pieces).map(delta).collect(),
        }
    }
}

const SIGNATURE: &str = "bW9jaw==";
const ARGUMENT_PIECE: usize = 7;
