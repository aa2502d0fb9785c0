//! Requests: what is read, what is written, what is refused.

use gatewright_llm::content::{Content, Media, Part, ResultContent, Signature, Thought, ToolResult};
use gatewright_llm::conversation::{Conversation, Role, Sampling, Thinking, Tool, ToolChoice, Turn};
use gatewright_llm::dialect::Options;
use gatewright_llm::dialect::cohere::request;
use gatewright_llm::fault::{Ledger, OnLoss};
use serde_json::{Value, json};

use crate::rig::{document, parsed, with};

const OPTIONS: Options = Options::DEFAULT;

/// Reads a request and writes it again; all that is left out or changed is told.
fn through(body: &Value) -> Result<(Value, Vec<String>), String> {
    let text = body.to_string();
    let document = document(&text);
    let mut ledger = Ledger::default();
    let mut conversation = request::read(document.root(), &mut ledger).map_err(|fault| fault.to_string())?;
    let written = request::write(&mut conversation, &OPTIONS, &mut ledger);
    ledger.close().map_err(|fault| fault.to_string())?;
    Ok((parsed(&written), ledger.warnings().to_vec()))
}

fn with_messages(messages: &Value) -> Value {
    json!({"model": "m", "messages": messages})
}

fn check_same(body: &Value) {
    assert_eq!(through(body), Ok((body.clone(), Vec::new())));
}

/// The names of documents are those that the writer gives.
#[test]
fn a_request_with_everything_is_written_as_it_was_read() {
    let body = |names: [Value; 3]| {
        let [first, second, third] = names;
        json!({
            "model": "command-a-03-2025",
            "tools": [{"type": "function", "function": {"name": "weather", "description": "Where?",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}],
            "strict_tools": true, "tool_choice": "REQUIRED",
            "documents": [
                with(first, &json!({"data": {"title": "T", "context": "C", "text": "a"}})),
                with(second, &json!({"data": {"text": "b"}})),
                with(third, &json!({"data": {"snippet": "c", "page": 1.0}})),
            ],
            "citation_options": {"mode": "OFF"},
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
            "max_tokens": 100, "stop_sequences": ["x", "y"], "temperature": 0.5, "seed": 7,
            "frequency_penalty": 0.25, "k": 5, "p": 0.75,
            "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
            "thinking": {"type": "enabled", "token_budget": 1000},
            "logprobs": true, "stream": true,
        })
    };
    let read = through(&body([json!({}), json!({}), json!({})]));
    let names = [json!({"id": "doc:0"}), json!({"id": "doc:1"}), json!({"id": "doc:2"})];
    assert_eq!(read, Ok((body(names), Vec::new())));
}

#[test]
fn every_message_is_written_as_it_was_read() {
    check_same(&with_messages(&json!([
        {"role": "system", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
        {"role": "user", "content": [
            {"type": "text", "text": "See \u{1F600}"},
            {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "high"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
        {"role": "assistant", "tool_plan": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1.0}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "fine"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "document", "document": {"data": {"x": [1e3]}}}]},
        {"role": "tool", "tool_call_id": "c3", "content": [
            {"type": "text", "text": "a"}, {"type": "document", "document": {"data": {"title": "t", "text": "b"}}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "One two"}],
            "citations": [{"start": 4, "end": 7, "text": "two", "content_index": 1, "type": "TEXT_CONTENT", "sources": [
                {"type": "document", "id": "doc:2", "document": {"id": "doc:2", "title": "T"}},
                {"type": "document", "id": "c1:0", "document": {"id": "c1:0"}}]}]},
        {"role": "system", "content": "Now be brief."},
        {"role": "user", "content": "Go"},
    ])));
}

/// Case 17: results first; images of tools with what the person says.
#[test]
fn results_of_tools_come_before_what_the_person_says() {
    let image = |url: &'static str| {
        Part::from(Content::Image { media: Media::Url { media_type: None, url: url.into() }, detail: None })
    };
    let result = |call: &'static str, parts, is_error| {
        let content = ResultContent::Parts(parts);
        Part::from(Content::ToolResult(ToolResult { call: call.into(), name: None, content, is_error }))
    };
    let text = |text: &'static str| Part::from(Content::text(text));
    let parts = vec![
        text("Here are the results:"),
        result("call_1", vec![text("ok"), image("https://1")], None),
        image("https://2"),
        result("call_2", vec![], Some(true)),
    ];
    let turns = vec![Turn { role: Role::User, parts, name: None }];
    let mut conversation = Conversation { model: "m".into(), turns, ..Conversation::default() };
    let mut ledger = Ledger::default();
    let written = parsed(&request::write(&mut conversation, &OPTIONS, &mut ledger));
    assert_eq!(
        written,
        with_messages(&json!([
            {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "user", "content": [
                {"type": "text", "text": "Here are the results:"},
                {"type": "image_url", "image_url": {"url": "https://1"}},
                {"type": "image_url", "image_url": {"url": "https://2"}},
            ]},
        ]))
    );
    assert_eq!(
        ledger.warnings(),
        [
            "messages[].content tool_result image was moved to what the person says next",
            "left out: messages[].content tool_result is_error",
        ]
    );
}

#[test]
fn what_is_not_carried_is_refused_or_told() {
    let refused = [
        (json!({"safety_mode": "STRICT"}), "safety_mode is not known to this provider"),
        (json!({"raw_prompting": true}), "raw_prompting is not known"),
        (json!({"messages": []}), "messages is missing or empty"),
        (
            json!({"messages": [{"role": "bot", "content": ""}]}),
            "messages[0].role must be system, user, assistant or tool",
        ),
        (json!({"messages": [{"role": "user"}]}), "messages[0].content is missing"),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}),
            "messages[0].content[0].type must be text, image_url or document",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]}),
            "messages[0].tool_calls[0].function.name is missing",
        ),
        (json!({"messages": [{"role": "tool", "content": "a"}]}), "messages[0].tool_call_id is missing"),
        (json!({"tool_choice": "any"}), "tool_choice must be REQUIRED or NONE"),
        (json!({"tools": [{"type": "web"}]}), "tools[0].type must be function"),
        (json!({"documents": [{"id": "a"}]}), "documents[0].data is missing"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type must be text or json_object"),
        (json!({"thinking": {}}), "thinking.type is missing"),
        (json!({"messages": [{"role": "user", "content": "a", "x": 1}]}), "messages[0].x is not known"),
    ];
    let base = with_messages(&json!([{"role": "user", "content": "a"}]));
    for (change, expected) in refused {
        assert_eq!(through(&with(base.clone(), &change)), Err(expected.to_owned()), "{change}");
    }
    let told = [
        (json!({"safety_mode": "OFF"}), vec!["left out: safety_mode"]),
        (json!({"safety_mode": "CONTEXTUAL", "k": 0, "citation_options": {"mode": "FAST"}}), vec![]),
        (json!({"priority": 1}), vec!["left out: priority"]),
        (
            json!({"documents": [{"id": "a", "data": {"text": "x"}}], "citation_options": {"mode": "FAST"}}),
            vec!["citation_options.mode became ACCURATE", "left out: documents[0].id"],
        ),
    ];
    for (change, expected) in told {
        assert_eq!(through(&with(base.clone(), &change)).unwrap().1, expected, "{change}");
    }
}

#[test]
fn what_other_dialects_say_is_written_or_told() {
    let thought =
        |signature| Part::from(Content::Thought(Thought { text: "Hm".into(), signature, is_redacted: false }));
    let signed = Signature { maker: gatewright_llm::content::Maker::Anthropic, value: "s".into() };
    let turns = vec![Turn { role: Role::Assistant, parts: vec![thought(Some(signed)), thought(None)], name: None }];
    let tool = |name: &'static str, strict| Tool {
        name: name.into(),
        description: None,
        parameters: None,
        strict,
        cache: None,
    };
    let mut conversation = Conversation { model: "m".into(), turns, ..Conversation::default() };
    conversation.tools = vec![tool("f", Some(true)), tool("g", None)];
    conversation.tool_choice = Some(ToolChoice::Named("g".into()));
    conversation.sampling = Sampling {
        temperature: Some(1.5),
        presence_penalty: Some(-1.0),
        stop: vec!["x".into(); 6],
        ..Sampling::default()
    };
    conversation.parallel_tool_calls = Some(false);
    conversation.thinking =
        Some(Thinking { effort: Some(gatewright_llm::conversation::Effort::Medium), ..Thinking::default() });
    let mut ledger = Ledger::new(OnLoss::Warn);
    let written = parsed(&request::write(&mut conversation, &OPTIONS, &mut ledger));
    assert_eq!(
        written,
        json!({
            "model": "m",
            "tools": [{"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}}],
            "tool_choice": "REQUIRED",
            "messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}]}],
            "temperature": 1,
            "thinking": {"type": "enabled", "token_budget": 4096},
        })
    );
    assert_eq!(
        ledger.warnings(),
        [
            "left out: messages[].content thinking of another model",
            "tool_choice became REQUIRED, with this tool alone",
            "left out: parallel_tool_calls, which must not be false for this provider",
            "left out: stop, which must not be more than 5 texts for this provider",
            "temperature was lowered to 1",
            "left out: presence_penalty, which must be from 0 to 1 for this provider",
            "the effort of thinking became a budget of 4096 tokens",
        ]
    );
}
