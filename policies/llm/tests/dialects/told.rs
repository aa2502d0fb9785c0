//! What is read, as JSON that is easily compared.

use gatewright_llm::completion::{Block, Piece, Step};
use gatewright_llm::content::{Arguments, Citation, Content, Part, Passage, ResultContent};
use gatewright_llm::json::Text;
use gatewright_llm::usage::Usage;
use serde_json::{Value, json};

use crate::rig::parsed;

/// A step of a stream as JSON, to compare.
pub(crate) fn told(step: &Step<'_>) -> Value {
    let plain = |text: &Text<'_>| text.plain().into_owned();
    match step {
        Step::Start { id, model, .. } => json!({"start": [plain(id), plain(model)]}),
        Step::Open { block, kind } => match kind {
            Block::Text => json!({"open": [block, "text"]}),
            Block::Thought => json!({"open": [block, "thought"]}),
            Block::Redacted(signature) => {
                json!({"open": [block, "redacted", signature.maker, plain(&signature.value)]})
            }
            Block::Refusal => json!({"open": [block, "refusal"]}),
            Block::Call { id, name } => json!({"open": [block, "call", plain(id), plain(name)]}),
            Block::Whole(part) => json!({"open": [block, "whole", format!("{:?}", part.content)]}),
        },
        Step::Piece { block, piece } => match piece {
            Piece::Text(text) => json!({"text": [block, plain(text)]}),
            Piece::Arguments(text) => json!({"arguments": [block, plain(text)]}),
            Piece::Signature(signature) => json!({"signature": [block, signature.maker, plain(&signature.value)]}),
            Piece::Citation(citation) => json!({"citation": [block, told_citation(citation)]}),
            Piece::LogProbabilities(tokens) => {
                let tokens = tokens.iter().map(|token| json!([plain(&token.token), token.log_probability]));
                json!({"log_probabilities": [block, tokens.collect::<Vec<_>>()]})
            }
        },
        Step::Close { block } => json!({"close": block}),
        Step::Alive => json!("alive"),
        Step::Usage(usage) => json!({ "usage": [usage.input_total(), usage.output] }),
        Step::Finish { finish, stop_sequence, usage } => {
            json!({"finish": [finish, stop_sequence.as_ref().map(plain)], "usage": told_usage(usage)})
        }
        Step::Error(error) => json!({"error": [error.kind, error.message]}),
    }
}

/// A citation as JSON, without what it does not say.
pub(crate) fn told_citation(citation: &Citation<'_>) -> Value {
    let mut told = json!({});
    let texts = [("quote", &citation.quote), ("title", &citation.title), ("url", &citation.url)];
    for (name, text) in texts.into_iter().chain([("source", &citation.source)]) {
        if let Some(text) = text {
            told[name] = json!(text.plain());
        }
    }
    if let Some((start, end)) = citation.place {
        told["place"] = json!([start, end]);
    }
    if let Some(document) = citation.document {
        told["document"] = json!(document);
    }
    match citation.passage {
        None => {}
        Some(Passage::Characters(start, end)) => told["characters"] = json!([start, end]),
        Some(Passage::Pages(start, end)) => told["pages"] = json!([start, end]),
        Some(Passage::Blocks(start, end)) => told["blocks"] = json!([start, end]),
    }
    told
}

/// Usage as JSON, without what is 0.
pub(crate) fn told_usage(usage: &Usage) -> Value {
    let mut told = json!(usage);
    if let Some(members) = told.as_object_mut() {
        members.retain(|_, value| *value != json!(0) && *value != json!(false));
    }
    told
}

/// A part as JSON, without what it does not say.
pub(crate) fn told_part(part: &Part<'_>) -> Value {
    let plain = |text: &Text<'_>| text.plain().into_owned();
    match &part.content {
        Content::Text { text, citations } if citations.is_empty() => json!({"text": plain(text)}),
        Content::Text { text, citations } => {
            json!({"text": plain(text), "citations": citations.iter().map(told_citation).collect::<Vec<_>>()})
        }
        Content::Thought(thought) => {
            let signature =
                thought.signature.as_ref().map(|signature| json!([signature.maker, plain(&signature.value)]));
            json!({"thought": plain(&thought.text), "signature": signature, "redacted": thought.is_redacted})
        }
        Content::Call(call) => {
            let arguments = match &call.arguments {
                Arguments::Object(json) => json.written().to_owned(),
                Arguments::Text(text) => plain(text),
            };
            json!({"call": [plain(&call.id), plain(&call.name), arguments]})
        }
        Content::ToolResult(result) => {
            let content = match &result.content {
                ResultContent::Parts(parts) => json!(parts.iter().map(told_part).collect::<Vec<_>>()),
                ResultContent::Object(json) => parsed(json.written()),
            };
            json!({"result": plain(&result.call), "content": content, "is_error": result.is_error})
        }
        Content::Refusal(text) => json!({"refusal": plain(text)}),
        other => json!({"media": format!("{other:?}")}),
    }
}
