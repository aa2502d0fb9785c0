//! Requests.

use gatewright_llm::content::{Arguments, Call, Content, Maker, Part, ResultContent, Signature, Thought, ToolResult};
use gatewright_llm::conversation::{Conversation, Effort, Role, Tool, ToolChoice, Turn};
use gatewright_llm::dialect::Options;
use gatewright_llm::dialect::gemini::request;
use gatewright_llm::fault::{Ledger, OnLoss};
use gatewright_llm::json::{Document, Text};
use serde_json::{Value, json};

use crate::rig::parsed;
use crate::told::told_part;

/// What becomes of a request that is read and written again, and what the ledger says of it.
fn rewritten(body: &Value) -> (Value, Result<String, String>) {
    let text = body.to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let mut ledger = Ledger::new(OnLoss::ByWeight);
    let mut conversation =
        request::read(document.root(), &mut ledger).unwrap_or_else(|fault| unreachable!("{fault}: {body}"));
    conversation.model = "gemini-2.5-flash".into();
    let written = parsed(&request::write(&mut conversation, &Options::DEFAULT, &mut ledger));
    (written, ledger.close().map_err(|fault| fault.to_string()))
}

fn fault(body: &Value) -> String {
    let text = body.to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    match request::read(document.root(), &mut Ledger::default()) {
        Ok(conversation) => unreachable!("{conversation:?}"),
        Err(fault) => fault.to_string(),
    }
}

fn written(conversation: &mut Conversation<'_>) -> (Value, Result<String, String>) {
    let mut ledger = Ledger::new(OnLoss::ByWeight);
    let body = parsed(&request::write(conversation, &Options::DEFAULT, &mut ledger));
    (body, ledger.close().map_err(|fault| fault.to_string()))
}

fn turn<'a>(role: Role, parts: Vec<Content<'a>>) -> Turn<'a> {
    Turn { role, parts: parts.into_iter().map(Part::from).collect(), name: None }
}

fn call<'a>(id: &'a str, arguments: &'a str) -> Content<'a> {
    Content::Call(Call { id: id.into(), name: "weather".into(), arguments: Arguments::Text(arguments.into()) })
}

fn result<'a>(id: &'a str, text: &'a str) -> Content<'a> {
    let content = ResultContent::Parts(vec![Content::text(text).into()]);
    Content::ToolResult(ToolResult { call: id.into(), name: None, content, is_error: None })
}

fn signed<'a>(maker: Maker, text: &'a str) -> Content<'a> {
    let signature = Some(Signature { maker, value: "U0lH".into() });
    Content::Thought(Thought { text: text.into(), signature, is_redacted: false })
}

fn everything() -> Value {
    json!({
        "tools": [{"functionDeclarations": [
            {"name": "weather", "description": "It tells.", "parameters": {
                "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
            }},
            {"name": "now"},
        ]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [
                {"text": "What is \u{e9}?\n"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://bucket/paper.pdf"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
                {"fileData": {"mimeType": "video/mp4", "fileUri": "https://example.com/film"}},
            ]},
            {"role": "model", "parts": [
                {"text": "I wonder.", "thought": true},
                {"text": "Let me look."},
                {"functionCall": {"id": "one", "name": "weather", "args": {"city": "Z\u{fc}rich"}},
                    "thoughtSignature": "U0lHTkVE"},
                {"functionCall": {"id": "two", "name": "weather", "args": {}}},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "one", "name": "weather", "response": {"degrees": 20.5, "$ref": "#/x"}}},
                {"functionResponse": {"id": "two", "name": "weather", "response": {"error": "no city"},
                    "parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}},
                {"text": "So?"},
            ]},
        ],
        "generationConfig": {
            "maxOutputTokens": 100, "temperature": 0.5, "topP": 0.25, "topK": 40, "stopSequences": ["END"],
            "seed": 7, "presencePenalty": 0.5, "frequencyPenalty": -0.5, "responseLogprobs": true, "logprobs": 3,
            "responseMimeType": "application/json",
            "responseSchema": {"type": "object", "properties": {"a": {"type": "integer"}}},
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 1024},
        },
        "serviceTier": "flex",
        "labels": {"team": "a"},
        "store": false,
    })
}

#[test]
fn a_request_is_written_as_it_was_read() {
    let body = everything();
    assert_eq!(rewritten(&body), (body, Ok(String::new())));
}

#[test]
fn names_in_snake_case_are_the_same() {
    let snake = json!({
        "system_instruction": {"parts": {"text": "no list"}},
        "contents": [{"parts": []}],
    });
    assert_eq!(
        fault(&snake),
        "systemInstruction.parts must be a list".replace("systemInstruction", "system_instruction")
    );
    let (body, ledger) = rewritten(&json!({
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "__79"}}]}],
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"include_thoughts": true}},
        "tool_config": {"function_calling_config": {"mode": "AUTO"}},
    }));
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "//79"}}]}],
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"includeThoughts": true}},
    });
    // Without tools there is nothing to choose.
    assert_eq!((body, ledger), (expected, Ok(String::new())));
}

#[test]
fn calls_without_ids_get_them_and_results_find_their_calls() {
    let text = json!({"contents": [
        {"role": "model", "parts": [
            {"functionCall": {"name": "a", "args": {}}}, {"functionCall": {"name": "b"}},
            {"functionCall": {"name": "a", "args": {"x": 1}}},
        ]},
        {"role": "function", "parts": [
            {"functionResponse": {"name": "b", "response": {"output": "of b"}}},
            {"functionResponse": {"name": "a", "response": {"result": 1}}},
            {"functionResponse": {"name": "a", "response": {"error": {"code": 2}}}},
        ]},
    ]})
    .to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let conversation = request::read(document.root(), &mut Ledger::default()).unwrap_or_else(|f| unreachable!("{f}"));
    let told: Vec<Value> = conversation.turns.iter().flat_map(|turn| &turn.parts).map(told_part).collect();
    assert_eq!(
        told,
        [
            json!({"call": ["call_1", "a", "{}"]}),
            json!({"call": ["call_2", "b", "{}"]}),
            json!({"call": ["call_3", "a", "{\"x\":1}"]}),
            json!({"result": "call_2", "content": [{"text": "of b"}], "is_error": null}),
            json!({"result": "call_1", "content": {"result": 1}, "is_error": null}),
            json!({"result": "call_3", "content": {"error": {"code": 2}}, "is_error": true}),
        ]
    );
}

#[test]
fn the_pieces_of_a_streamed_answer_are_one_turn_again() {
    let piece = |part: Value| json!({"role": "model", "parts": [part]});
    let signed = "Z2F0ZXdyaWdodC5hbnRocm9waWMuYlc5amF3PT0=";
    let contents = json!([
        {"role": "user", "parts": [{"text": "What is it like?"}]},
        piece(json!({"text": "I ", "thought": true})),
        {"role": "model", "parts": [
            {"text": "wonder.", "thought": true}, {"text": "", "thought": true, "thoughtSignature": signed},
        ]},
        piece(json!({"text": "Let me "})),
        piece(json!({"text": "look."})),
        piece(json!({"functionCall": {"name": "weather", "args": {}}})),
        piece(json!({"text": ""})),
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "sunny"}}}]},
    ]);
    let text = json!({"contents": contents}).to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let conversation = request::read(document.root(), &mut Ledger::default()).unwrap_or_default();
    let turns: Vec<Vec<Value>> =
        conversation.turns.iter().map(|turn| turn.parts.iter().map(told_part).collect()).collect();
    assert_eq!(turns.len(), 3, "{turns:?}");
    assert_eq!(
        turns[1],
        [
            json!({"thought": "I wonder.", "signature": ["anthropic", "bW9jaw=="], "redacted": false}),
            json!({"text": "Let me look."}),
            json!({"call": ["call_1", "weather", "{}"]}),
        ]
    );
    assert_eq!(turns[2][0]["result"], json!("call_1"));
}

#[test]
fn what_only_this_provider_has_is_refused_or_left_out() {
    let of = |field: Value| {
        let mut body = json!({"contents": [{"parts": [{"text": "x"}]}]});
        for (name, value) in field.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        rewritten(&body).1
    };
    let refused = [
        (json!({"tools": [{"googleSearch": {}}]}), "tools[0].googleSearch is a tool of this provider's own"),
        (json!({"cachedContent": "cachedContents/1"}), "cachedContent names what only its provider has"),
        (json!({"generationConfig": {"candidateCount": 2}}), "generationConfig.candidateCount must be 1"),
        (
            json!({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}),
            "generationConfig.responseModalities may only be TEXT",
        ),
        (
            json!({"generationConfig": {"speechConfig": {"x": 1}}}),
            "generationConfig.speechConfig is only known to this provider",
        ),
        (
            json!({"safetySettings": [{"category": "A", "threshold": "BLOCK_LOW_AND_ABOVE"}]}),
            "safetySettings that block are only known to this provider",
        ),
        (
            json!({"contents": [{"parts": [{"executableCode": {"code": "1"}}]}]}),
            "contents[0].parts[0].executableCode is only known to this provider",
        ),
        (json!({"surprise": 1}), "surprise is not known"),
        (
            json!({"contents": [{"parts": [{"text": "x", "surprise": 1}]}]}),
            "contents[0].parts[0].surprise is not known",
        ),
    ];
    for (field, message) in refused {
        assert_eq!(of(field), Err(message.to_owned()));
    }
    let left_out = [
        (json!({"safetySettings": [{"category": "A", "threshold": "OFF"}]}), "left out: safetySettings"),
        (
            json!({"generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW"}}),
            "left out: generationConfig.mediaResolution",
        ),
    ];
    for (field, message) in left_out {
        assert_eq!(of(field), Ok(message.to_owned()));
    }
}

#[test]
fn what_is_wrong_is_a_fault() {
    let cases = [
        (json!([]), "the body must be an object"),
        (json!({}), "contents is missing or empty"),
        (json!({"contents": [{"role": "tool", "parts": []}]}), "contents[0].role must be user or model"),
        (json!({"contents": [{"parts": [{"text": 1}]}]}), "contents[0].parts[0].text must be a text"),
        (
            json!({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}),
            "contents[0].parts[0].functionCall.name is missing",
        ),
        (
            json!({"contents": [{}], "generationConfig": {"thinkingConfig": {"thinkingLevel": "DEEP"}}}),
            "generationConfig.thinkingConfig.thinkingLevel is not a known level",
        ),
        (
            json!({"contents": [{}], "toolConfig": {"functionCallingConfig": {"mode": "MUST"}}}),
            "toolConfig.functionCallingConfig.mode must be AUTO, ANY, NONE or VALIDATED",
        ),
    ];
    for (body, message) in cases {
        assert_eq!(fault(&body), message);
    }
}

/// Case 6.
#[test]
fn a_dropped_signature_is_a_placeholder_on_the_first_call_of_several() {
    let conversation = |model: &'static str| Conversation {
        model: model.into(),
        turns: vec![
            turn(Role::User, vec![Content::text("x")]),
            turn(Role::Assistant, vec![call("a", "{}"), call("b", "{}")]),
            turn(Role::User, vec![result("a", "1"), result("b", "2")]),
        ],
        ..Conversation::default()
    };
    let (body, ledger) = written(&mut conversation("gemini-3-pro"));
    let plain = json!({"functionCall": {"id": "b", "name": "weather", "args": {}}});
    let mut first = json!({"functionCall": {"id": "a", "name": "weather", "args": {}}});
    let older = json!([first.clone(), plain.clone()]);
    first["thoughtSignature"] = json!("skip_thought_signature_validator");
    assert_eq!((&body["contents"][1]["parts"], ledger), (&json!([first, plain]), Ok(String::new())));
    assert_eq!(written(&mut conversation("gemini-2.5-pro")).0["contents"][1]["parts"], older);
}

/// Case 6.
#[test]
fn a_signature_goes_back_to_its_part_and_no_other_maker_gets_it() {
    let mut conversation = Conversation {
        model: "gemini-3-pro".into(),
        turns: vec![turn(
            Role::Assistant,
            vec![
                signed(Maker::Anthropic, "A thought."),
                signed(Maker::Google, ""),
                call("a", "{\"x\":1.50}"),
                call("b", "not json"),
                signed(Maker::Google, ""),
            ],
        )],
        ..Conversation::default()
    };
    let (body, ledger) = written(&mut conversation);
    assert_eq!(
        body["contents"][0]["parts"],
        json!([
            {"text": "A thought.", "thought": true},
            {"functionCall": {"id": "a", "name": "weather", "args": {"x": 1.5}}, "thoughtSignature": "U0lH"},
            {"functionCall": {"id": "b", "name": "weather", "args": {}}},
            {"text": "", "thoughtSignature": "U0lH"},
        ])
    );
    let warnings = "left out: signatures of thoughts of another provider; \
                    arguments of a tool call were left out: they are no JSON object";
    assert_eq!(ledger, Ok(warnings.to_owned()));
}

/// Case 17.
#[test]
fn results_of_tools_come_first_and_sides_alternate() {
    let image = json!({"inlineData": {"mimeType": "image/png", "data": "AAAA"}});
    let mut conversation = Conversation {
        turns: vec![
            turn(Role::Assistant, vec![call("a", "{}"), call("b", "{}")]),
            turn(Role::User, vec![Content::text("Here:"), result("a", "1")]),
            turn(Role::System, vec![Content::text("Later.")]),
            turn(Role::User, vec![Content::text(""), result("b", "2"), Content::text("So?")]),
        ],
        ..Conversation::default()
    };
    if let Content::ToolResult(result) = &mut conversation.turns[1].parts[1].content
        && let ResultContent::Parts(parts) = &mut result.content
    {
        let media = gatewright_llm::content::Media::Base64 { media_type: "image/png".into(), data: "AAAA".into() };
        parts.push(Content::Image { media, detail: None }.into());
        result.is_error = Some(true);
    }
    let (body, ledger) = written(&mut conversation);
    assert_eq!(
        body["contents"][1],
        json!({"role": "user", "parts": [
            {"functionResponse": {"id": "a", "name": "weather", "response": {"error": "1"}, "parts": [image]}},
            {"functionResponse": {"id": "b", "name": "weather", "response": {"output": "2"}}},
            {"text": "Here:"},
            {"text": "So?"},
        ]})
    );
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "Later."}]}));
    assert_eq!(ledger, Ok("a later system message was moved to the start".to_owned()));
}

#[test]
fn how_hard_to_think_is_a_level_or_for_older_models_a_budget() {
    let thinking = |model: &'static str, effort| {
        let mut conversation = Conversation { model: model.into(), ..Conversation::default() };
        conversation.thinking =
            Some(gatewright_llm::conversation::Thinking { effort: Some(effort), ..Default::default() });
        written(&mut conversation).0["generationConfig"]["thinkingConfig"].clone()
    };
    assert_eq!(thinking("gemini-3-pro", Effort::High), json!({"thinkingLevel": "HIGH"}));
    assert_eq!(thinking("gemini-3-pro", Effort::Highest), json!({"thinkingLevel": "XHIGH"}));
    assert_eq!(thinking("gemini-2.5-pro", Effort::High), json!({"thinkingBudget": 16384}));
    assert_eq!(thinking("gemini-2.5-flash", Effort::None), json!({"thinkingBudget": 0}));
}

/// Case 24.
#[test]
fn the_choice_among_tools_has_a_mode() {
    let modes = |choice: Option<ToolChoice<'static>>, strict: Option<bool>| {
        let tool = Tool { name: "a".into(), description: None, parameters: None, strict, cache: None };
        let mut conversation = Conversation { tools: vec![tool], tool_choice: choice, ..Conversation::default() };
        written(&mut conversation).0["toolConfig"]["functionCallingConfig"].clone()
    };
    assert_eq!(modes(None, None), Value::Null);
    assert_eq!(modes(Some(ToolChoice::Auto), None), json!({"mode": "AUTO"}));
    assert_eq!(modes(Some(ToolChoice::Auto), Some(true)), json!({"mode": "VALIDATED"}));
    assert_eq!(modes(Some(ToolChoice::None), None), json!({"mode": "NONE"}));
    assert_eq!(modes(Some(ToolChoice::Any), None), json!({"mode": "ANY"}));
    let named = Some(ToolChoice::Named(Text::from("a")));
    assert_eq!(modes(named, None), json!({"mode": "ANY", "allowedFunctionNames": ["a"]}));
    let mut without = Conversation { tool_choice: Some(ToolChoice::Any), ..Conversation::default() };
    assert_eq!(written(&mut without).0, json!({"contents": []}));
    let mut body = everything();
    body["toolConfig"]["functionCallingConfig"] = json!({"mode": "ANY", "allowedFunctionNames": ["weather", "x"]});
    assert_eq!(
        rewritten(&body).1,
        Err("toolConfig.functionCallingConfig.allowedFunctionNames names several tools, but not all".to_owned())
    );
}
