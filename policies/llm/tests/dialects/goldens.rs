//! What goes to each upstream, byte for byte: prompts are cached by their bytes, so the same request must always become
//! the same text, with tools and system before the conversation (case 18).

use gatewright_llm::Dialect;
use gatewright_llm::dialect::Options;
use gatewright_llm::fault::OnLoss;
use gatewright_llm::translate::{self, Asked};

/// Members in the order of the cache, numbers and escapes as people write them, and cache marks on all that has them.
const MESSAGES: &str = concat!(
    r#"{"model":"fast","max_tokens":100,"tools":[{"name":"f","description":"\u00e9","input_schema":{"type":"object","properties":{"a":{"type":"number","minimum":1.0,"maximum":1e3}}},"#,
    r#""cache_control":{"type":"ephemeral"}}],"system":[{"type":"text","text":"\u00e9\/","cache_control":{"type":"ephemeral"}}],"#,
    r#""temperature":0.70,"messages":[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{"type":"ephemeral"}}]}]}"#
);

fn translated(upstream: Dialect) -> (String, String) {
    let asked = Asked { client: Dialect::Messages, body: MESSAGES, model: None, stream: None };
    let rename = |model: &str| (model == "fast").then(|| "m-1".to_owned());
    let request = translate::request(&asked, upstream, &Options::default(), OnLoss::default(), rename);
    let request = request.unwrap_or_else(|fault| unreachable!("{fault}"));
    (request.body, request.warning)
}

#[test]
fn the_same_request_always_becomes_the_same_bytes() {
    for upstream in Dialect::ALL {
        let first = translated(upstream);
        for _ in 0..9 {
            assert_eq!(translated(upstream), first);
        }
    }
}

#[test]
fn cache_marks_go_where_the_upstream_has_them_and_are_told_of_elsewhere() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"number","minimum":1.0,"maximum":1e3}}}"#;
    let function = format!(r#"{{"name":"f","description":"\u00e9","parameters":{schema}}}"#);
    let tools = format!(r#""tools":[{{"type":"function","function":{function}}}]"#);
    let messages = r#""messages":[{"role":"system","content":"\u00e9\/"},{"role":"user","content":"Hi"}]"#;
    let point = r#"{"cachePoint":{"type":"default"}}"#;
    let spec = format!(r#"{{"toolSpec":{{"name":"f","description":"\u00e9","inputSchema":{{"json":{schema}}}}}}}"#);
    let none = "left out: cache marks";
    for (upstream, expected, warning) in [
        (
            Dialect::Chat,
            format!(r#"{{"model":"m-1",{tools},{messages},"max_completion_tokens":100,"temperature":0.7}}"#),
            none,
        ),
        (Dialect::Cohere, format!(r#"{{"model":"m-1",{tools},{messages},"max_tokens":100,"temperature":0.7}}"#), none),
        (
            Dialect::Converse,
            format!(
                r#"{{"toolConfig":{{"tools":[{spec},{point}]}},"system":[{{"text":"\u00e9\/"}},{point}],"messages":[{{"role":"user","content":[{{"text":"Hi"}},{point}]}}],"inferenceConfig":{{"maxTokens":100,"temperature":0.7}}}}"#
            ),
            "",
        ),
        (
            Dialect::Responses,
            format!(
                r#"{{"model":"m-1","tools":[{{"type":"function","name":"f","description":"\u00e9","parameters":{schema},"strict":false}}],"instructions":"\u00e9\/","input":[{{"type":"message","role":"user","content":"Hi"}}],"max_output_tokens":100,"temperature":0.7,"store":false}}"#
            ),
            none,
        ),
        (
            Dialect::Gemini,
            format!(
                r#"{{"tools":[{{"functionDeclarations":[{function}]}}],"systemInstruction":{{"parts":[{{"text":"\u00e9\/"}}]}},"contents":[{{"role":"user","parts":[{{"text":"Hi"}}]}}],"generationConfig":{{"maxOutputTokens":100,"temperature":0.7}}}}"#
            ),
            none,
        ),
    ] {
        assert_eq!(translated(upstream), (expected, warning.to_owned()), "{upstream:?}");
    }
}
