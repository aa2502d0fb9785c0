//! A prompt as a REST endpoint: parameters in, JSON out, whatever the provider speaks.

use harness::{Client, Gateway, Origin, Protocol};
use serde_json::{Value, json};

/// The route's chain has the endpoint, the upstream's the translation to Anthropic's dialect.
fn gateway_to(origin: &Origin) -> Gateway {
    let url = origin.url();
    let output =
        "{ type: object, properties: { summary: { type: string } }, required: [summary], additionalProperties: false }";
    Gateway::start(&format!(
        r#"policies:
  prompts:
    plugin: prompt-api
    grants: {{ metadata: [prompt] }}
    limits: {{ deadline: 2s, body_deadline: 2s }}
    config:
      apis:
        - path: /v1/summaries
          versions:
            "1":
              model: fast
              system: Sum up.
              template: "Text: {{{{text}}}}"
              parameters: {{ text: {{ type: string, maxLength: 20 }} }}
              output: {output}
  normalize:
    plugin: llm-normalize
    grants: {{ metadata: [llm] }}
    limits: {{ deadline: 2s, body_deadline: 2s }}
    config: {{ dialect: anthropic }}
upstreams:
  provider: {{ endpoints: [{{ url: {url:?} }}], policies: [normalize] }}
routes: [{{ name: all, policies: [prompts], upstream: provider, api: auto }}]
"#
    ))
}

/// An origin that speaks Anthropic's dialect, and says this.
fn saying(status: u16, text: &str, stop: &str) -> Origin {
    let usage = json!({ "input_tokens": 11, "output_tokens": 4 });
    let content = json!([{ "type": "text", "text": text }]);
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "fast", "content": content, "stop_reason": stop,
        "stop_sequence": null, "usage": usage
    });
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "key k is busy" } });
    let body = if status == 200 { body } else { error }.to_string();
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let length = body.len();
            conversation.send(format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
    })
}

fn post(gateway: &Gateway, protocol: Protocol, body: &Value) -> harness::Reply {
    let mut client = Client::connect(gateway.address(), protocol);
    client.post("/v1/summaries", &[("content-type", "application/json")], body.to_string().as_bytes())
}

#[test]
fn parameters_go_in_and_json_comes_out() {
    let said = "{ \"summary\":\"Short.\" }";
    let origin = saying(200, said, "end_turn");
    let gateway = gateway_to(&origin);
    for protocol in Protocol::ALL {
        let reply = post(&gateway, protocol, &json!({ "text": "A \"b\" <x>" }));
        assert_eq!((reply.status, reply.text().as_str()), (200, said));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("x-usage-input-tokens"), Some("11"));
        assert_eq!(reply.header("x-usage-output-tokens"), Some("4"));
        let recording = origin.take();
        let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(request.line, "POST /v1/messages HTTP/1.1");
        assert_eq!(sent["messages"].as_array().map(Vec::len), Some(1), "{sent}");
        assert!(sent["messages"][0].to_string().contains(r"\\u003cx\\u003e"), "{sent}");
        assert!(sent["system"].to_string().contains("Sum up."), "{sent}");
        assert_eq!(sent["output_config"]["format"]["schema"]["required"], json!(["summary"]), "{sent}");
    }
    let line = gateway.access_line("the tokens", |line| line["output_tokens"] == 4.0);
    assert_eq!(line["status"], 200);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let origin = saying(200, "{}", "end_turn");
    let gateway = gateway_to(&origin);
    let reply = post(&gateway, Protocol::Http1, &json!({ "text": "x".repeat(21), "more": 1 }));
    assert_eq!((reply.status, reply.header("content-type")), (400, Some("application/problem+json")));
    let places: Vec<Value> =
        reply.json()["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].clone()).collect();
    assert_eq!(places, ["/more", "/text"], "{}", reply.text());
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let twice = client.post("/v1/summaries", &[], br#"{"text":"a","text":"b"}"#);
    assert_eq!((twice.status, &twice.json()["code"]), (400, &json!("invalid-json")), "{}", twice.text());
    assert!(origin.take().bytes.is_empty());

    let cases = [
        (200, "{}", "end_turn", 502, "answer-off-schema"),
        (200, "{\"summ", "max_tokens", 502, "answer-cut"),
        (200, "no", "refusal", 502, "answer-refused"),
        (200, "Sure: {}", "end_turn", 502, "answer-not-json"),
        (529, "", "", 503, "provider-error"),
    ];
    for (status, said, stop, told, code) in cases {
        let origin = saying(status, said, stop);
        let gateway = gateway_to(&origin);
        let reply = post(&gateway, Protocol::Http2, &json!({ "text": "x" }));
        assert_eq!((reply.status, &reply.json()["code"]), (told, &json!(code)), "{}", reply.text());
        assert!(!reply.text().contains("key k"), "{}", reply.text());
    }
}

#[test]
fn the_description_is_served() {
    let origin = saying(200, "{}", "end_turn");
    let gateway = gateway_to(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http2);
    let reply = client.get("/v1/summaries/openapi.json", &[]);
    assert_eq!((reply.status, &reply.json()["openapi"]), (200, &json!("3.1.0")));
    let schema =
        &reply.json()["paths"]["/v1/summaries"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    jsonschema::meta::validate(schema).unwrap();
    assert_eq!(schema["properties"]["text"]["maxLength"], 20);
}
