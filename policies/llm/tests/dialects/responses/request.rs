//! Requests: what is read, what is written, what is refused.

use gatewright_llm::conversation::{Conversation, Role, Sampling, ToolChoice};
use gatewright_llm::dialect::Options;
use gatewright_llm::dialect::responses::request;
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
    assert!(conversation.hints.is_empty(), "{:?}", conversation.hints);
    ledger.close().map_err(|fault| fault.to_string())?;
    Ok((parsed(&written), ledger.warnings().to_vec()))
}

/// The request with the members that every written request has.
fn with_input(input: &Value) -> Value {
    json!({"model": "m", "input": input, "store": false})
}

fn check_same(body: &Value) {
    assert_eq!(through(body), Ok((body.clone(), Vec::new())));
}

#[test]
fn a_request_with_everything_is_written_as_it_was_read() {
    check_same(
        &json!({
            "model": "gpt-5",
            "tools": [{
                "type": "function", "name": "weather", "description": "Where?", "strict": true,
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
            }],
            "tool_choice": {"type": "function", "name": "weather"},
            "parallel_tool_calls": false,
            "instructions": "Be brief.",
            "input": "Hi",
            "max_output_tokens": 100, "temperature": 0.5, "top_p": 0.9,
            "presence_penalty": 0.5, "frequency_penalty": -1.5,
            "text": {
                "format": {"type": "json_schema", "name": "place", "description": "A place", "strict": true,
                    "schema": {"type": "object"}},
                "verbosity": "low",
            },
            "reasoning": {"effort": "xhigh", "summary": "auto"},
            "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
            "top_logprobs": 3, "safety_identifier": "u-1", "store": true, "metadata": {"a": "b"},
            "prompt_cache_key": "k", "prompt_cache_retention": "24h", "service_tier": "flex", "stream": true,
        })
        .as_object()
        .map(|body| {
            let mut body = body.clone();
            body["input"] = json!([{"type": "message", "role": "user", "content": "Hi"}]);
            Value::Object(body)
        })
        .unwrap(),
    );
}

#[test]
fn a_text_is_the_first_message_of_a_person() {
    let expected = with_input(&json!([{"type": "message", "role": "user", "content": "Hi \u{1F600}"}]));
    let read =
        through(&json!({"model": "m", "input": "Hi \u{1F600}", "stream_options": {"include_obfuscation": false}}));
    assert_eq!(read, Ok((expected, Vec::new())));
}

#[test]
fn every_item_is_written_as_it_was_read() {
    check_same(&with_input(&json!([
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "See"},
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "high"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
            {"type": "input_image", "file_id": "file-1", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"},
            {"type": "input_file", "file_url": "https://a/c.pdf"},
            {"type": "input_file", "file_id": "file-2"},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
            {"type": "input_video", "video_url": "https://a/d.mp4"},
        ]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "enc-1"},
        {"type": "reasoning", "summary": [], "encrypted_content": "enc-2"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": ""}], "encrypted_content": "enc-3"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "One", "annotations": [
                {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://a", "title": "A"},
                {"type": "file_citation", "file_id": "f", "filename": "F", "index": 2},
            ]},
            {"type": "refusal", "refusal": "No"},
        ]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "2", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"a\": 1.0}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "fine"},
        {"type": "function_call_output", "call_id": "c2", "output": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://a/e.png", "detail": "auto"},
        ]},
        {"type": "message", "role": "developer", "content": "Now be brief."},
        {"type": "message", "role": "user", "content": "Go"},
    ])).as_object().map(|body| {
        let mut body = body.clone();
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
        Value::Object(body)
    }).unwrap());
}

/// What clients leave out or write in another way.
#[test]
fn every_form_of_a_field_is_understood() {
    let message = |content: Value| json!([{"type": "message", "role": "user", "content": content}]);
    let said = |text: &str| {
        json!([{"type": "message", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]}])
    };
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let file = |name: &str, data: &str| {
        json!([{"type": "message", "role": "user", "content": [
        {"type": "input_file", "filename": name, "file_data": data}]}])
    };
    let table = [
        (json!([{"role": "user", "content": "a"}]), message(json!("a"))),
        (message(json!([{"type": "input_text", "text": "a"}])), message(json!("a"))),
        (json!([{"role": "assistant", "content": "a"}]), said("a")),
        (
            json!([{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]}]),
            said("a"),
        ),
        (
            json!([{"id": "fc_1", "status": "completed", "type": "function_call", "call_id": "c", "name": "f",
            "arguments": ""}]),
            json!([call]),
        ),
        (file("a.txt", "QQ=="), file("a.txt", "data:text/plain;base64,QQ==")),
        (file("a", "QQ=="), file("a", "data:application/pdf;base64,QQ==")),
        (
            json!([{"type": "reasoning", "id": "rs_1", "encrypted_content": null,
            "summary": [{"type": "summary_text", "text": "x"}]}, {"role": "user", "content": "a"}]),
            message(json!("a")),
        ),
        (
            json!([{"type": "image_generation_call", "id": "ig_0", "status": "completed", "output_format": "webp",
            "result": "AAAA"}]),
            json!([{"type": "image_generation_call", "id": "ig_0", "status": "completed", "output_format": "webp",
            "result": "AAAA"}]),
        ),
    ];
    for (input, expected) in table {
        let (written, _) = through(&json!({"model": "m", "input": input})).unwrap();
        assert_eq!(written, with_input(&expected), "{input}");
    }
}

#[test]
fn what_the_operator_says_first_is_instructions() {
    let read = through(&json!({"model": "m", "instructions": "A", "input": [
        {"role": "developer", "content": "B"}, {"role": "user", "content": "C"}, {"role": "system", "content": "D"}]}));
    let expected = with_input(&json!([
        {"type": "message", "role": "developer",
            "content": [{"type": "input_text", "text": "A"}, {"type": "input_text", "text": "B"}]},
        {"type": "message", "role": "user", "content": "C"},
        {"type": "message", "role": "developer", "content": "D"},
    ]));
    assert_eq!(read, Ok((expected, Vec::new())));
}

/// Parallel calls are one turn, as other dialects need them.
#[test]
fn what_the_model_does_in_one_go_is_one_turn() {
    let text = json!({"model": "m", "input": [
        {"role": "user", "content": "a"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "p"}, {"type": "summary_text", "text": "q"}]},
        {"role": "assistant", "content": "b"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        {"type": "function_call_output", "call_id": "2", "output": "y"},
        {"role": "assistant", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]}).to_string();
    let document = document(&text);
    let conversation = request::read(document.root(), &mut Ledger::default()).unwrap();
    let turns: Vec<_> = conversation.turns.iter().map(|turn| (turn.role, turn.parts.len())).collect();
    use Role::{Assistant, User};
    assert_eq!(turns, [(User, 1), (Assistant, 4), (User, 1), (User, 1), (Assistant, 1), (Assistant, 1)]);
    assert!(format!("{:?}", conversation.turns[1].parts[0]).contains(r#""p\n\nq""#));
}

/// Case 17.
#[test]
fn results_of_tools_come_before_what_the_person_says() {
    use gatewright_llm::content::{Content, Media, Part, ResultContent, ToolResult};
    use gatewright_llm::conversation::Turn;
    let result = |call: &'static str, is_error| {
        let content = ResultContent::Parts(vec![Part::from(Content::text("ok"))]);
        Part::from(Content::ToolResult(ToolResult { call: call.into(), name: None, content, is_error }))
    };
    let image = Content::Image { media: Media::Url { media_type: None, url: "https://a".into() }, detail: None };
    let parts = vec![
        Part::from(Content::text("Here are the results:")),
        result("call_1", None),
        Part::from(image),
        result("call_2", Some(true)),
    ];
    let turns = vec![Turn { role: Role::User, parts, name: None }];
    let mut conversation = Conversation { model: "m".into(), turns, ..Conversation::default() };
    let mut ledger = Ledger::default();
    let written = parsed(&request::write(&mut conversation, &OPTIONS, &mut ledger));
    assert_eq!(
        written,
        with_input(&json!([
            {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
            {"type": "function_call_output", "call_id": "call_2", "output": "ok"},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Here are the results:"},
                {"type": "input_image", "image_url": "https://a", "detail": "auto"},
            ]},
        ]))
    );
    assert_eq!(ledger.warnings(), ["left out: messages[].content tool_result is_error"]);
}

#[test]
fn what_lies_with_one_provider_is_refused_by_name() {
    let state = "lies with the provider that made it; send the whole input";
    let table = [
        (json!({"previous_response_id": "resp_1"}), format!("previous_response_id {state}")),
        (json!({"conversation": {"id": "c"}}), format!("conversation {state}")),
        (json!({"prompt": {"id": "p"}}), format!("prompt {state}")),
        (json!({"background": true}), "background is not known to this provider".into()),
        (
            json!({"input": [{"type": "item_reference", "id": "rs_1"}]}),
            "input[0] refers to what lies with the provider that made it; send the whole item".into(),
        ),
        (
            json!({"input": [{"id": "rs_1"}]}),
            "input[0] refers to what lies with the provider that made it; send the whole item".into(),
        ),
        (
            json!({"input": [{"type": "web_search_call", "id": "ws", "status": "completed"}]}),
            "input[0] is of the type \"web_search_call\", which only its provider has".into(),
        ),
        (
            json!({"tools": [{"type": "web_search"}]}),
            "tools[0] is the tool \"web_search\", which only its provider has".into(),
        ),
        (
            json!({"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://s"}]}),
            "tools[0] is the tool \"mcp\" (\"s\"), which only its provider has".into(),
        ),
        (
            json!({"tools": [{"type": "custom", "name": "n"}]}),
            "tools[0] is the tool \"custom\" (\"n\"), which only its provider has".into(),
        ),
        (
            json!({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}),
            "tool_choice is of the type \"allowed_tools\", which only its provider has".into(),
        ),
        (json!({"x-new": 1}), "x-new is not known".into()),
        (json!({"reasoning": {"mode": "pro"}}), "reasoning.mode is not known".into()),
        (
            json!({"tools": [{"type": "function", "name": "f", "defer_loading": true}]}),
            "tools[0].defer_loading is not known".into(),
        ),
    ];
    for (change, expected) in table {
        let body = with(json!({"model": "m", "input": "a"}), &change);
        assert_eq!(through(&body), Err(expected), "{change}");
    }
}

#[test]
fn what_is_not_of_the_dialect_is_named_with_its_place() {
    let table = [
        (json!({"model": null}), "model is missing"),
        (json!({"input": null}), "input is missing"),
        (json!({"input": 1}), "input must be a text or a list of items"),
        (json!({"input": [1]}), "input[0] refers"),
        (json!({"input": [{"role": "tool", "content": ""}]}), "input[0].role must be user"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            "input[0].content[0].type must not be \"image_url\"",
        ),
        (json!({"input": [{"type": "function_call", "name": "f"}]}), "input[0].call_id is missing"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}),
            "input[0].content[0].image_url is missing",
        ),
        (json!({"temperature": 3}), "temperature must be from 0 to 2"),
        (json!({"tools": [{}]}), "tools[0].type is missing"),
        (json!({"tool_choice": "any"}), "tool_choice must be"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type must be text, json_object or json_schema"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort is not a known effort"),
    ];
    for (change, expected) in table {
        let body = with(json!({"model": "m", "input": "a"}), &change);
        let fault = through(&body).unwrap_err();
        assert!(fault.starts_with(expected), "{change}: {fault}");
    }
}

#[test]
fn what_changes_nothing_in_the_answer_is_told() {
    let table = [
        (json!({"truncation": "auto"}), vec!["left out: truncation"]),
        (json!({"truncation": "disabled", "service_tier": "auto", "top_logprobs": 0}), vec![]),
        (json!({"max_tool_calls": 3}), vec!["left out: max_tool_calls"]),
        (json!({"include": ["file_search_call.results"]}), vec!["left out: include file_search_call.results"]),
        (json!({"reasoning": {"summary": "detailed"}}), vec!["reasoning.summary became auto"]),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a",
            "prompt_cache_breakpoint": {"mode": "explicit"}}]}]}),
            vec!["left out: cache marks"],
        ),
        (
            json!({"input": [{"role": "assistant", "content": "a", "phase": "commentary"}]}),
            vec!["left out: input[].phase"],
        ),
        (
            json!({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
            vec!["left out: input[] reasoning without content"],
        ),
        (
            json!({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "gatewright.anthropic.sig"}]}),
            vec!["left out: messages[].content thinking of another model"],
        ),
    ];
    for (change, expected) in table {
        let body = with(json!({"model": "m", "input": "a"}), &change);
        assert_eq!(through(&body).unwrap().1, expected, "{change}");
    }
}

/// Fields of other dialects. Tools that say nothing of it are not strict; case 24: no choice without tools.
#[test]
fn what_other_dialects_say_is_written_or_told() {
    let mut conversation = Conversation { model: "m".into(), ..Conversation::default() };
    conversation.sampling = Sampling { top_k: Some(3), stop: vec!["x".into()], seed: Some(1), ..Sampling::default() };
    conversation.tool_choice = Some(ToolChoice::Any);
    conversation.user = Some("u".repeat(65).into());
    conversation.thinking =
        Some(gatewright_llm::conversation::Thinking { budget_tokens: Some(4096), ..Default::default() });
    let mut ledger = Ledger::new(OnLoss::Warn);
    let written = parsed(&request::write(&mut conversation, &OPTIONS, &mut ledger));
    assert_eq!(
        written,
        json!({"model": "m", "input": [], "reasoning": {"effort": "medium"},
        "include": ["reasoning.encrypted_content"], "store": false})
    );
    assert_eq!(
        ledger.warnings(),
        [
            "left out: tool_choice without tools",
            "left out: top_k, which is not known to this provider",
            "left out: stop, which is not known to this provider",
            "left out: seed",
            "the budget of thinking became the effort medium",
            "left out: the name of the user, which is longer than 64 characters,",
        ]
    );
    let (written, _) =
        through(&json!({"model": "m", "input": "a", "tools": [{"type": "function", "name": "f"}]})).unwrap();
    let expected = json!([{"type": "function", "name": "f", "strict": false,
        "parameters": {"type": "object", "properties": {}}}]);
    assert_eq!(written["tools"], expected);
}
