//! What can be said in a request, in the words of each dialect that has it.

use gatewright_llm::Dialect::{self, Chat, Cohere, Converse, Gemini, Messages, Responses};
use serde_json::{Value, json};

mod calls;

/// The smallest request of a dialect.
pub(crate) fn base(dialect: Dialect) -> Value {
    match dialect {
        Chat | Cohere => json!({ "model": "m", "messages": [{ "role": "user", "content": "Hi" }] }),
        Responses => json!({ "model": "m", "input": [user_item(json!([{ "type": "input_text", "text": "Hi" }]))] }),
        Messages => json!({ "model": "m", "max_tokens": 9000, "messages": [user(json!("Hi"))] }),
        Gemini => json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] }] }),
        Converse => json!({ "messages": [user(json!([{ "text": "Hi" }]))], "inferenceConfig": { "maxTokens": 9000 } }),
    }
}

/// Adds what makes a feature.
pub(crate) fn merge(body: &mut Value, fragment: &Value) {
    match (body, fragment) {
        (Value::Object(body), Value::Object(fragment)) => {
            for (name, value) in fragment {
                merge(body.entry(name).or_insert(Value::Null), value);
            }
        }
        (body, fragment) => *body = fragment.clone(),
    }
}

/// Whether everything that makes a feature is there.
pub(crate) fn holds(body: &Value, fragment: &Value) -> bool {
    match (body, fragment) {
        (Value::Object(body), Value::Object(fragment)) => {
            fragment.iter().all(|(name, value)| body.get(name).is_some_and(|body| holds(body, value)))
        }
        (body, fragment) => body == fragment,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn user(content: Value) -> Value {
    json!({ "role": "user", "content": content })
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn user_item(content: Value) -> Value {
    json!({ "type": "message", "role": "user", "content": content })
}

/// A request with one message of one part.
#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn says(dialect: Dialect, part: Value) -> (Dialect, Value) {
    let fragment = match dialect {
        Chat | Cohere | Messages | Converse => json!({ "messages": [user(json!([part]))] }),
        Responses => json!({ "input": [user_item(json!([part]))] }),
        Gemini => json!({ "contents": [{ "role": "user", "parts": [part] }] }),
    };
    (dialect, fragment)
}

pub(crate) type Feature = (&'static str, Vec<(Dialect, Value)>);

/// Every feature.
pub(crate) fn all() -> Vec<Feature> {
    [said(), calls::called(), asked(), marked()].concat()
}

fn said() -> Vec<Feature> {
    vec![
        (
            "system",
            vec![
                (Chat, json!({ "messages": [{ "role": "system", "content": "Be brief." }, user(json!("Hi"))] })),
                (Responses, json!({ "instructions": "Be brief." })),
                (Messages, json!({ "system": [{ "type": "text", "text": "Be brief." }] })),
                (Gemini, json!({ "systemInstruction": { "parts": [{ "text": "Be brief." }] } })),
                (Converse, json!({ "system": [{ "text": "Be brief." }] })),
                (Cohere, json!({ "messages": [{ "role": "system", "content": "Be brief." }, user(json!("Hi"))] })),
            ],
        ),
        (
            "image, its bytes",
            vec![
                says(Chat, json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } })),
                says(Responses, json!({ "type": "input_image", "image_url": "data:image/png;base64,AAAA" })),
                says(
                    Messages,
                    json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } }),
                ),
                says(Gemini, json!({ "inlineData": { "mimeType": "image/png", "data": "AAAA" } })),
                says(Converse, json!({ "image": { "format": "png", "source": { "bytes": "AAAA" } } })),
                says(Cohere, json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } })),
            ],
        ),
        (
            "image, its address",
            vec![
                says(Chat, json!({ "type": "image_url", "image_url": { "url": "https://a.test/b.png" } })),
                says(Responses, json!({ "type": "input_image", "image_url": "https://a.test/b.png" })),
                says(Messages, json!({ "type": "image", "source": { "type": "url", "url": "https://a.test/b.png" } })),
                says(Gemini, json!({ "fileData": { "mimeType": "image/png", "fileUri": "https://a.test/b.png" } })),
                says(Cohere, json!({ "type": "image_url", "image_url": { "url": "https://a.test/b.png" } })),
            ],
        ),
        (
            "audio",
            vec![
                says(Chat, json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } })),
                says(Gemini, json!({ "inlineData": { "mimeType": "audio/wav", "data": "AAAA" } })),
            ],
        ),
        (
            "document, its bytes",
            vec![
                says(
                    Chat,
                    json!({ "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA" } }),
                ),
                says(
                    Responses,
                    json!({ "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA" }),
                ),
                says(
                    Messages,
                    json!({ "type": "document", "title": "a.pdf", "source": { "type": "base64", "media_type": "application/pdf", "data": "AAAA" } }),
                ),
                says(Gemini, json!({ "inlineData": { "mimeType": "application/pdf", "data": "AAAA" } })),
                says(Converse, json!({ "document": { "name": "a", "format": "pdf", "source": { "bytes": "AAAA" } } })),
            ],
        ),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn asked() -> Vec<Feature> {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"], "additionalProperties": false });
    vec![
        (
            "temperature, top_p",
            vec![
                (Chat, json!({ "temperature": 0.5, "top_p": 0.9 })),
                (Responses, json!({ "temperature": 0.5, "top_p": 0.9 })),
                (Messages, json!({ "temperature": 0.5, "top_p": 0.9 })),
                (Gemini, json!({ "generationConfig": { "temperature": 0.5, "topP": 0.9 } })),
                (Converse, json!({ "inferenceConfig": { "temperature": 0.5, "topP": 0.9 } })),
                (Cohere, json!({ "temperature": 0.5, "p": 0.9 })),
            ],
        ),
        (
            "top_k",
            vec![
                (Messages, json!({ "top_k": 5 })),
                (Gemini, json!({ "generationConfig": { "topK": 5 } })),
                (Cohere, json!({ "k": 5 })),
            ],
        ),
        (
            "the bound on the answer",
            vec![
                (Chat, json!({ "max_completion_tokens": 500 })),
                (Responses, json!({ "max_output_tokens": 500 })),
                (Messages, json!({ "max_tokens": 500 })),
                (Gemini, json!({ "generationConfig": { "maxOutputTokens": 500 } })),
                (Converse, json!({ "inferenceConfig": { "maxTokens": 500 } })),
                (Cohere, json!({ "max_tokens": 500 })),
            ],
        ),
        (
            "stop texts",
            vec![
                (Chat, json!({ "stop": ["END"] })),
                (Messages, json!({ "stop_sequences": ["END"] })),
                (Gemini, json!({ "generationConfig": { "stopSequences": ["END"] } })),
                (Converse, json!({ "inferenceConfig": { "stopSequences": ["END"] } })),
                (Cohere, json!({ "stop_sequences": ["END"] })),
            ],
        ),
        (
            "seed",
            vec![
                (Chat, json!({ "seed": 7 })),
                (Gemini, json!({ "generationConfig": { "seed": 7 } })),
                (Cohere, json!({ "seed": 7 })),
            ],
        ),
        (
            "penalties",
            vec![
                (Chat, json!({ "presence_penalty": 0.5, "frequency_penalty": 0.25 })),
                (Gemini, json!({ "generationConfig": { "presencePenalty": 0.5, "frequencyPenalty": 0.25 } })),
                (Cohere, json!({ "presence_penalty": 0.5, "frequency_penalty": 0.25 })),
            ],
        ),
        (
            "log probabilities",
            vec![
                (Chat, json!({ "logprobs": true, "top_logprobs": 2 })),
                (Responses, json!({ "include": ["message.output_text.logprobs"], "top_logprobs": 2 })),
                (Gemini, json!({ "generationConfig": { "responseLogprobs": true, "logprobs": 2 } })),
                (Cohere, json!({ "logprobs": true })),
            ],
        ),
        (
            "an answer that fits a schema",
            vec![
                (
                    Chat,
                    json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } } }),
                ),
                (
                    Responses,
                    json!({ "text": { "format": { "type": "json_schema", "name": "answer", "schema": schema, "strict": true } } }),
                ),
                (Messages, json!({ "output_config": { "format": { "type": "json_schema", "schema": schema } } })),
                (
                    Gemini,
                    json!({ "generationConfig": { "responseMimeType": "application/json", "responseJsonSchema": schema } }),
                ),
                (Cohere, json!({ "response_format": { "type": "json_object", "json_schema": schema } })),
            ],
        ),
        (
            "an answer that is JSON",
            vec![
                (Chat, json!({ "response_format": { "type": "json_object" } })),
                (Responses, json!({ "text": { "format": { "type": "json_object" } } })),
                (Gemini, json!({ "generationConfig": { "responseMimeType": "application/json" } })),
                (Cohere, json!({ "response_format": { "type": "json_object" } })),
            ],
        ),
        (
            "an effort of thinking",
            vec![
                (Chat, json!({ "reasoning_effort": "low" })),
                (Responses, json!({ "reasoning": { "effort": "low" } })),
                (Messages, json!({ "thinking": { "type": "adaptive" }, "output_config": { "effort": "low" } })),
                (Gemini, json!({ "generationConfig": { "thinkingConfig": { "thinkingLevel": "LOW" } } })),
            ],
        ),
        (
            "a budget of thinking",
            vec![
                (Messages, json!({ "thinking": { "type": "enabled", "budget_tokens": 2000 } })),
                (Gemini, json!({ "generationConfig": { "thinkingConfig": { "thinkingBudget": 2000 } } })),
                (Cohere, json!({ "thinking": { "type": "enabled", "token_budget": 2000 } })),
            ],
        ),
        (
            "the end user",
            vec![
                (Chat, json!({ "user": "u1" })),
                (Responses, json!({ "safety_identifier": "u1" })),
                (Messages, json!({ "metadata": { "user_id": "u1" } })),
            ],
        ),
        (
            "metadata",
            vec![
                (Chat, json!({ "metadata": { "a": "b" } })),
                (Responses, json!({ "metadata": { "a": "b" } })),
                (Converse, json!({ "requestMetadata": { "a": "b" } })),
            ],
        ),
    ]
}

fn marked() -> Vec<Feature> {
    let asks = user(json!("Hi"));
    vec![
        (
            "cache marks",
            vec![
                (
                    Messages,
                    json!({ "system": [{ "type": "text", "text": "Be brief.", "cache_control": { "type": "ephemeral" } }] }),
                ),
                (Converse, json!({ "system": [{ "text": "Be brief." }, { "cachePoint": { "type": "default" } }] })),
            ],
        ),
        (
            "an earlier thought, signed",
            vec![
                (
                    Chat,
                    json!({ "messages": [asks, { "role": "assistant", "content": "Yo", "reasoning_details": [
                { "type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0 }] }, asks] }),
                ),
                (
                    Messages,
                    json!({ "messages": [asks, { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }, { "type": "text", "text": "Yo" }] }, asks] }),
                ),
                (
                    Gemini,
                    json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] },
                { "role": "model", "parts": [{ "text": "Yo", "thoughtSignature": "c2ln" }] }, { "role": "user", "parts": [{ "text": "Hi" }] }] }),
                ),
                (
                    Converse,
                    json!({ "messages": [user(json!([{ "text": "Hi" }])), { "role": "assistant", "content": [
                { "reasoningContent": { "reasoningText": { "text": "Hm.", "signature": "c2ln" } } }, { "text": "Yo" }] }, user(json!([{ "text": "Hi" }]))] }),
                ),
            ],
        ),
        (
            "citations are wanted",
            vec![
                says(
                    Messages,
                    json!({ "type": "document", "title": "A", "source": { "type": "text", "media_type": "text/plain", "data": "Plain." }, "citations": { "enabled": true } }),
                ),
                says(
                    Converse,
                    json!({ "document": { "name": "A", "format": "txt", "source": { "text": "Plain." }, "citations": { "enabled": true } } }),
                ),
            ],
        ),
        (
            "a name of a participant",
            vec![(Chat, json!({ "messages": [{ "role": "user", "name": "ann", "content": "Hi" }] }))],
        ),
        (
            "more than one answer",
            vec![(Chat, json!({ "n": 2 })), (Gemini, json!({ "generationConfig": { "candidateCount": 2 } }))],
        ),
        (
            "a field that is not known",
            vec![
                (Chat, json!({ "x_new": 1 })),
                (Responses, json!({ "x_new": 1 })),
                (Messages, json!({ "x_new": 1 })),
                (Gemini, json!({ "xNew": 1 })),
                (Converse, json!({ "xNew": 1 })),
                (Cohere, json!({ "x_new": 1 })),
            ],
        ),
    ]
}
