//! Clients speak OpenAI, the upstream what it likes: whole requests and answers.

use harness::{Client, Gateway, Origin, Protocol, Reply};
use serde_json::{Value, json};

/// A gateway that translates for an origin of this dialect.
pub(super) fn gateway_to(origin: &Origin, dialect: &str) -> Gateway {
    Gateway::start(&format!(
        r#"policies:
  normalize:
    plugin: llm-normalize
    grants: {{ metadata: [llm] }}
    limits: {{ deadline: 2s, body_deadline: 2s }}
    config: {{ dialect: {dialect}, models: {{ fast: upstream-model }} }}
upstreams:
  provider: {{ endpoints: [{{ url: {:?} }}], policies: [normalize], headers: {{ x-api-key: k }} }}
routes: [{{ name: all, upstream: provider, api: openai }}]
"#,
        origin.url()
    ))
}

pub(super) fn chat(client: &mut Client, body: &str) -> Reply {
    client.post("/v1/chat/completions", &[("content-type", "application/json")], body.as_bytes())
}

/// An origin that answers every request with this document.
fn answering(status: u16, body: &Value) -> Origin {
    let body = body.to_string();
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let length = body.len();
            conversation.send(format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

fn message(content: &Value, stop: &str, usage: &Value) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model", "content": content,
        "stop_reason": stop, "stop_sequence": null, "usage": usage
    })
}

fn completion() -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "upstream-model",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hi" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 }
    })
}

fn usage() -> Value {
    json!({ "input_tokens": 3, "output_tokens": 1 })
}

/// What the upstream got, as JSON.
fn sent(origin: &Origin) -> Value {
    let recording = origin.take();
    let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
    serde_json::from_slice(&request.body).unwrap()
}

/// Case 18: a prompt cache is keyed by bytes.
#[test]
fn an_alias_changes_the_bytes_of_the_model_and_nothing_else() {
    let origin = answering(200, &completion());
    let gateway = gateway_to(&origin, "openai");
    let body = concat!(
        r#"{ "tools":[{"type":"function","function":{"name":"f","parameters":{"x":1.0,"y":1e3}}}] ,"model" : "fast","#,
        r#""temperature":0.70, "messages":[{"role":"system","content":[{"type":"text","text":"\u00e9\/","#,
        r#""cache_control":{"type":"ephemeral"}}]},{"content":"Hi 🙂","role":"user"}], "zeta":null,"alpha":[ 1 ,2 ] }"#
    );
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for _ in 0..10 {
            let reply = chat(&mut client, body);
            assert_eq!((reply.status, reply.json()), (200, completion()));
        }
    }
    let recording = origin.take();
    let expected = body.replace("\"fast\"", "\"upstream-model\"");
    assert_eq!(recording.requests.len(), 20);
    for request in &recording.requests {
        assert_eq!(String::from_utf8_lossy(&request.body), expected);
        assert_eq!(request.values("content-length"), [expected.len().to_string()]);
        assert_eq!(request.line, "POST /v1/chat/completions HTTP/1.1");
    }
}

/// Case 18: the answer of the same dialect keeps its bytes too, and a request without an alias.
#[test]
fn nothing_to_change_changes_no_byte() {
    let raw = "{ \"id\" : \"c1\",\"choices\":[ ],\"created\":1.0, \"\\u0078\":1e2 }";
    let origin = Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let length = raw.len();
            conversation.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{raw}"
            ));
        }
    });
    let gateway = gateway_to(&origin, "openai");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let body = r#"{"model":"other" , "messages":[{"role":"user","content":"Hi"}],"n":1.0}"#;
    let reply = chat(&mut client, body);
    assert_eq!((reply.status, reply.text().as_str()), (200, raw));
    assert_eq!(String::from_utf8_lossy(&origin.take().requests[0].body), body);
}

/// Case 17.
#[test]
fn results_of_tools_come_first_in_one_turn() {
    let origin = answering(200, &message(&json!([{ "type": "text", "text": "ok" }]), "end_turn", &usage()));
    let gateway = gateway_to(&origin, "anthropic");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let call =
        |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let request = json!({
        "model": "fast", "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
        "messages": [
            { "role": "system", "content": "Be short." },
            { "role": "user", "content": "Go" },
            { "role": "assistant", "content": null, "tool_calls": [call("c1"), call("c2")] },
            { "role": "tool", "tool_call_id": "c1", "content": "one" },
            { "role": "tool", "tool_call_id": "c2", "content": "two" },
            { "role": "user", "content": "and?" }
        ]
    });
    assert_eq!(chat(&mut client, &request.to_string()).status, 200);
    let recording = origin.take();
    let request = &recording.requests[0];
    assert_eq!((request.line.as_str(), request.values("anthropic-version").len()), ("POST /v1/messages HTTP/1.1", 1));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "user"], "{body}");
    let kinds: Vec<&str> =
        messages[2]["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool_result", "tool_result", "text"], "{body}");
    assert_eq!(messages[1]["content"][0]["input"], json!({ "a": 1 }), "an object, not a text");
    assert_eq!((&body["model"], body["max_tokens"].is_u64()), (&json!("upstream-model"), true));
}

/// Case 1, whole answers; and case 2's order of calls.
#[test]
fn calls_of_tools_have_arguments_even_if_there_are_none() {
    let content = json!([
        { "type": "text", "text": "Look" },
        { "type": "tool_use", "id": "toolu_1", "name": "updateIssueList", "input": {} },
        { "type": "tool_use", "id": "toolu_2", "name": "g", "input": { "city": "Żółw 🙂" } }
    ]);
    let origin = answering(200, &message(&content, "tool_use", &usage()));
    let gateway = gateway_to(&origin, "anthropic");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let reply = chat(&mut client, r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#);
        let choice = &reply.json()["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{}", reply.text());
        let calls = choice["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(calls[0]["function"], json!({ "name": "updateIssueList", "arguments": "{}" }));
        let arguments: Value = serde_json::from_str(calls[1]["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!((arguments, &calls[1]["id"]), (json!({ "city": "Żółw 🙂" }), &json!("toolu_2")));
        drop(origin.take());
    }
}

/// Case 19.
#[test]
fn cached_tokens_are_counted_once() {
    let usage = json!({
        "input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 100, "output_tokens": 550
    });
    let origin = answering(200, &message(&json!([{ "type": "text", "text": "ok" }]), "end_turn", &usage));
    let gateway = gateway_to(&origin, "anthropic");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let reply = chat(&mut client, r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#);
    let counted = reply.json()["usage"].clone();
    assert_eq!((&counted["prompt_tokens"], &counted["completion_tokens"]), (&json!(12_407), &json!(550)), "{counted}");
    assert_eq!(counted["total_tokens"], 12_957);
    assert_eq!(counted["prompt_tokens_details"]["cached_tokens"], 100);
    let line = gateway.access_line("the tokens", |line| line["model"] == "upstream-model");
    assert_eq!((line["input_tokens"].as_f64(), line["output_tokens"].as_f64()), (Some(12_407.0), Some(550.0)));
}

/// Case 24.
#[test]
fn what_cannot_be_carried_over_is_refused_by_its_name() {
    let origin = answering(200, &message(&json!([]), "end_turn", &usage()));
    let gateway = gateway_to(&origin, "anthropic");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for (field, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("logit_bias", json!({ "1": 2 })),
        ("presence_penalty", json!(1)),
        ("tools", json!([{ "type": "web_search" }])),
        ("made_up", json!(1)),
    ] {
        let mut request = json!({ "model": "fast", "messages": [{ "role": "user", "content": "Hi" }] });
        request[field] = value;
        let reply = chat(&mut client, &request.to_string());
        assert_eq!((reply.status, reply.reason()), (400, Some("unsupported-field")), "{field}: {}", reply.text());
        let named = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(named.contains(field) || named.contains("web_search"), "{field}: {named}");
        assert!(origin.take().bytes.is_empty(), "{field}");
    }
    let request = json!({ "model": "fast", "seed": 7, "messages": [{ "role": "user", "content": "Hi" }] });
    let reply = chat(&mut client, &request.to_string());
    assert!(reply.status == 200 && reply.header("x-gatewright-warning").unwrap().contains("seed"), "{reply:?}");
}

/// Case 24: names are changed there and changed back here.
#[test]
fn a_name_that_is_too_long_there_comes_back_as_it_was() {
    let name = "a".repeat(60) + ".search";
    let origin = Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            let name = body["tools"][0]["name"].as_str().unwrap();
            assert!(name.len() <= 64 && body["tool_choice"]["name"] == name, "{body}");
            let content = json!([{ "type": "tool_use", "id": "t", "name": name, "input": {} }]);
            let body = message(&content, "tool_use", &usage()).to_string();
            let length = body.len();
            conversation.send(format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
    });
    let gateway = gateway_to(&origin, "anthropic");
    let request = json!({
        "model": "fast", "messages": [{ "role": "user", "content": "Hi" }],
        "tools": [{ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } }],
        "tool_choice": { "type": "function", "function": { "name": name } }, "parallel_tool_calls": false
    });
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let reply = chat(&mut client, &request.to_string());
    assert_eq!(reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["name"], name);
    assert_eq!(sent(&origin)["tool_choice"]["disable_parallel_tool_use"], true);
}

#[test]
fn an_error_of_the_upstream_keeps_its_status_and_changes_its_shape() {
    // No client of OpenAI knows 529.
    for (status, kind, told_status) in
        [(400, "invalid_request_error", 400), (429, "rate_limit_error", 429), (529, "overloaded_error", 503)]
    {
        let error = json!({ "type": "error", "error": { "type": kind, "message": "no, thanks" } });
        let origin = answering(status, &error);
        let gateway = gateway_to(&origin, "anthropic");
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        let reply = chat(&mut client, r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#);
        assert_eq!(reply.status, told_status, "{}", reply.text());
        let told = reply.json();
        assert_eq!(told["error"]["message"], "no, thanks", "{told}");
        assert!(told.get("type").is_none(), "{told}");
    }
}

#[test]
fn what_is_no_chat_completion_passes_untouched() {
    let origin = answering(200, &json!({ "data": [] }));
    let gateway = gateway_to(&origin, "anthropic");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    assert_eq!(client.get("/v1/models", &[]).json(), json!({ "data": [] }));
    assert_eq!(origin.take().requests[0].line, "GET /v1/models HTTP/1.1");
    let body = br#"{"model":"fast","input":1.0}"#;
    assert_eq!(client.post("/v1/embeddings", &[("content-type", "application/json")], body).status, 200);
    assert_eq!(origin.take().requests[0].body, body);
}

#[test]
fn an_answer_has_the_cost_of_its_models_price() {
    let origin = answering(200, &message(&json!([{ "type": "text", "text": "Hi" }]), "end_turn", &usage()));
    let gateway = Gateway::start(&format!(
        r#"policies:
  normalize:
    plugin: llm-normalize
    grants: {{ metadata: [llm] }}
    config:
      dialect: anthropic
      models: {{ fast: upstream-model }}
      prices:
        - {{ model: "upstream-*", input: 100, output: 500 }}
        - {{ model: upstream-model, from: "2020-01-01", input: 200000, output: 1000000 }}
        - {{ model: upstream-model, from: "9999-01-01", input: 1, output: 1 }}
upstreams:
  provider: {{ endpoints: [{{ url: {:?} }}], policies: [normalize] }}
routes: [{{ name: all, upstream: provider, api: openai }}]
"#,
        origin.url()
    ));
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for model in ["fast", "upstream-other", "elsewhere"] {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hi" }] });
        assert_eq!(chat(&mut client, &body.to_string()).status, 200);
    }
    // Three tokens in and one out, at the price of the day, at that of the beginning, and at none.
    for (model, cost) in [("upstream-model", json!(1.6)), ("upstream-other", json!(0.0008)), ("elsewhere", Value::Null)]
    {
        let line = gateway.access_line(model, |line| line["model"] == model);
        assert_eq!(line["cost"], cost, "{line}");
    }
    let metrics = gateway.admin_get("/metrics").text();
    let counted = |model: &str, micros: u32| {
        let is_it = |line: &&str| line.starts_with("gatewright_policy_llm_cost_micros") && line.contains(model);
        let line = metrics.lines().find(is_it).unwrap_or_else(|| panic!("{metrics}"));
        assert!(line.ends_with(&format!(" {micros}")), "{line}");
    };
    counted("\"upstream-model\"", 1_600_000);
    counted("\"upstream-*\"", 800);
}
