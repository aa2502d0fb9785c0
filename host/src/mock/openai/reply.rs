//! Writes an answer as a chat completion: whole, or in chunks.

use serde_json::{Value, json};

use super::super::answer::{Answer, Call, Stop, tokens};
use super::CREATED;

/// An answer with what its envelope needs.
pub(super) struct Reply {
    /// Part of every identifier.
    pub(super) token: String,
    pub(super) model: String,
    pub(super) answer: Answer,
    /// How often the answer stands in `choices`.
    pub(super) choices: usize,
}

impl Reply {
    /// `chat.completion`.
    pub(super) fn whole(&self) -> Value {
        let calls =
            self.answer.calls.iter().enumerate().map(
                |(index, call)| json!({ "id": self.call_id(index), "type": "function", "function": function(call) }),
            );
        let calls: Vec<Value> = calls.collect();
        let content = if calls.is_empty() { json!(self.answer.text.concat()) } else { Value::Null };
        let mut message = json!({ "role": "assistant", "content": content, "refusal": null, "annotations": [] });
        if !calls.is_empty() {
            message["tool_calls"] = Value::Array(calls);
        }
        let reason = self.finish_reason();
        let choice = |index| json!({ "index": index, "message": message, "logprobs": null, "finish_reason": reason });
        let choices: Vec<Value> = (0..self.choices).map(choice).collect();
        json!({
            "id": self.id(), "object": "chat.completion", "created": CREATED, "model": self.model, "choices": choices,
            "usage": self.usage(), "service_tier": "default", "system_fingerprint": "fp_mock",
        })
    }

    /// `chat.completion.chunk`s as events, `[DONE]` last; an error in its place after so many.
    pub(super) fn events(&self, include_usage: bool, error_after: Option<usize>) -> Vec<String> {
        let mut chunks: Vec<Value> = Vec::new();
        for choice in 0..self.choices {
            let delta = |delta: Value| self.chunk(&json!([choice_of(choice, &delta, None)]));
            let first = if self.answer.calls.is_empty() { json!("") } else { Value::Null };
            chunks.push(delta(json!({ "role": "assistant", "content": first, "refusal": null })));
            chunks.extend(self.answer.text.iter().map(|piece| delta(json!({ "content": piece }))));
            for (index, call) in self.answer.calls.iter().enumerate() {
                let arguments = json!({ "name": call.name, "arguments": "" });
                let start =
                    json!({ "index": index, "id": self.call_id(index), "type": "function", "function": arguments });
                chunks.push(delta(json!({ "tool_calls": [start] })));
                for piece in argument_pieces(call) {
                    let more = json!({ "index": index, "function": { "arguments": piece } });
                    chunks.push(delta(json!({ "tool_calls": [more] })));
                }
            }
            chunks.push(self.chunk(&json!([choice_of(choice, &json!({}), Some(self.finish_reason()))])));
        }
        if include_usage {
            for chunk in &mut chunks {
                chunk["usage"] = Value::Null;
            }
            let mut last = self.chunk(&json!([]));
            last["usage"] = self.usage();
            chunks.push(last);
        }
        let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events.push("data: [DONE]\n\n".to_owned());
        if let Some(count) = error_after.filter(|count| *count < events.len()) {
            events.truncate(count);
            let message = "The mock was asked for an error.";
            let error = json!({ "message": message, "type": "server_error", "param": null, "code": null });
            events.push(format!("data: {}\n\n", json!({ "error": error })));
        }
        events
    }

    fn chunk(&self, choices: &Value) -> Value {
        json!({
            "id": self.id(), "object": "chat.completion.chunk", "created": CREATED, "model": self.model,
            "service_tier": "default", "system_fingerprint": "fp_mock", "choices": choices,
        })
    }

    fn usage(&self) -> Value {
        let (input, output) = (self.answer.input_tokens, self.answer.output_tokens);
        let reasoning = tokens(self.answer.thinking.unwrap_or_default());
        json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
            "completion_tokens_details": { "reasoning_tokens": reasoning, "audio_tokens": 0 },
        })
    }

    fn finish_reason(&self) -> &'static str {
        match self.answer.stop {
            Stop::End | Stop::Sequence(_) => "stop",
            Stop::Length => "length",
            Stop::Tools => "tool_calls",
        }
    }

    fn id(&self) -> String {
        format!("chatcmpl-{}", self.token)
    }

    fn call_id(&self, index: usize) -> String {
        format!("call_{}{index}", self.token)
    }
}

fn function(call: &Call) -> Value {
    json!({ "name": call.name, "arguments": json!(call.arguments).to_string() })
}

fn choice_of(index: usize, delta: &Value, finish_reason: Option<&str>) -> Value {
    json!({ "index": index, "delta": delta, "logprobs": null, "finish_reason": finish_reason })
}

/// Arguments in pieces that end in the middle of names and values.
fn argument_pieces(call: &Call) -> Vec<String> {
    let text: Vec<char> = json!(call.arguments).to_string().chars().collect();
    text.chunks(ARGUMENT_PIECE).map(|piece| piece.iter().collect()).collect()
}

const ARGUMENT_PIECE: usize = 7;
