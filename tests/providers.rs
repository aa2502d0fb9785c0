//! Providers as data: an upstream that names one needs no more than a key, and one policy serves them all.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use harness::{Gateway, Mock, Origin, Request, gatewright, http_post};
use serde_json::{Value, json};

/// What `gatewright providers --json` says.
fn catalogue() -> BTreeMap<String, Value> {
    let output = gatewright().args(["providers", "--json"]).output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

const POLICY: &str = "policies:\n  any:\n    plugin: llm-normalize\n    grants: { metadata: [llm] }\n    \
                      limits: { deadline: 2s, body_deadline: 2s }\n    config: {}\n";
const KEY: &str = "secret-key";

/// The credential and the places that an upstream of this provider needs.
fn upstream(name: &str, provider: &Value, url: &str) -> String {
    let base = provider["base_url"].as_str().unwrap();
    let places: Vec<&str> = base.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
    let places: BTreeMap<&str, &str> = places.into_iter().map(|place| (place, "place-1")).collect();
    let credential = match provider["credential"].as_str() {
        Some("aws_sigv4") => json!({ "aws_sigv4": { "access_key_id": "AKID", "secret_access_key": KEY } }),
        Some("google_service_account" | "none") => Value::Null,
        _ => json!(KEY),
    };
    json!({
        "provider": name, "places": places, "credential": credential, "policies": ["any"],
        "endpoints": [{ "url": url }],
    })
    .to_string()
}

/// A gateway with an upstream for each of these, asked for with the header `x-to`.
fn gateway(providers: &BTreeMap<String, Value>, url: &str) -> Gateway {
    let mut config = format!("{POLICY}upstreams:\n");
    for (name, provider) in providers {
        writeln!(config, "  {name:?}: {}", upstream(name, provider, url)).unwrap();
    }
    config += "routes:\n";
    for name in providers.keys() {
        writeln!(
            config,
            "  - {{ name: {name:?}, match: {{ headers: {{ x-to: {{ exact: {name:?} }} }} }}, upstream: {name:?} }}"
        )
        .unwrap();
    }
    Gateway::start(&config)
}

/// An answer of one word in the dialect that has this path.
fn answer(path: &str) -> Value {
    let text = json!([{ "type": "text", "text": "Hi" }]);
    if path.ends_with("/chat/completions") {
        let message = json!({ "role": "assistant", "content": "Hi" });
        json!({
            "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4 }
        })
    } else if path.ends_with("/responses") {
        let content = json!([{ "type": "output_text", "text": "Hi", "annotations": [] }]);
        let output =
            json!([{ "type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": content }]);
        json!({
            "id": "r1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": output,
            "usage": { "input_tokens": 3, "output_tokens": 1, "total_tokens": 4 }
        })
    } else if path.ends_with("/messages") {
        json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": text,
            "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 3, "output_tokens": 1 }
        })
    } else if path.ends_with(":generateContent") {
        let content = json!({ "role": "model", "parts": [{ "text": "Hi" }] });
        json!({
            "candidates": [{ "content": content, "finishReason": "STOP", "index": 0 }],
            "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4 }
        })
    } else if path.ends_with("/converse") {
        json!({
            "output": { "message": { "role": "assistant", "content": [{ "text": "Hi" }] } }, "stopReason": "end_turn",
            "usage": { "inputTokens": 3, "outputTokens": 1, "totalTokens": 4 }, "metrics": { "latencyMs": 1 }
        })
    } else {
        json!({
            "id": "c1", "finish_reason": "COMPLETE", "message": { "role": "assistant", "content": text },
            "usage": { "tokens": { "input_tokens": 3, "output_tokens": 1 } }
        })
    }
}

/// An origin that answers in every dialect.
fn origin() -> Origin {
    Origin::talking(|conversation| {
        while let Some(request) = conversation.request() {
            let target = request.line.split(' ').nth(1).unwrap().to_owned();
            let body = answer(target.split('?').next().unwrap()).to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            conversation.send(format!("{head}\r\n\r\n{body}"));
        }
    })
}

/// Where chat is, after the prefix.
fn fixed(dialect: &str) -> &'static str {
    match dialect {
        "openai" => "/chat/completions",
        "openai-responses" => "/responses",
        "anthropic" => "/messages",
        "gemini" => "/models/claude-v1%3A0:generateContent",
        "bedrock" => "/model/claude-v1%3A0/converse",
        "cohere" => "/v2/chat",
        other => panic!("{other}"),
    }
}

/// What came of a key.
fn check_credential(name: &str, provider: &Value, request: &Request) {
    let authorization = request.values("authorization");
    let credential = &provider["credential"];
    match (credential.as_str(), credential["header"].as_str(), credential["query"].as_str()) {
        (Some("bearer"), ..) => assert_eq!(authorization, [format!("Bearer {KEY}")], "{name}"),
        (Some("aws_sigv4"), ..) => {
            assert!(authorization[0].starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{name}: {authorization:?}");
            assert!(authorization[0].contains("/place-1/bedrock/aws4_request"), "{name}: {authorization:?}");
        }
        // Without a credential the client's own passes, unless it is none of the upstream's dialect.
        (Some(_), ..) if provider["dialect"] == "openai" => assert_eq!(authorization, ["Bearer mine"], "{name}"),
        (Some(_), ..) => assert!(authorization.is_empty(), "{name}"),
        (None, Some(header), _) => {
            assert_eq!((request.values(header), authorization.len()), (vec![KEY], 0), "{name}");
        }
        (None, None, query) => {
            assert!(request.line.contains(&format!("?{}={KEY} ", query.unwrap())), "{name}: {}", request.line);
        }
    }
}

/// A client's own key stays with the gateway, whichever provider it is for.
const HEADERS: &str = "content-type: application/json\r\nauthorization: Bearer mine\r\n";

#[test]
fn every_provider_is_asked_where_and_as_the_catalogue_says() {
    let (origin, providers) = (origin(), catalogue());
    assert!(providers.len() >= 100, "{}", providers.len());
    let gateway = gateway(&providers, &origin.url());
    let body = json!({
        "model": "claude-v1:0", "max_completion_tokens": 5,
        "messages": [
            { "role": "user", "content": "Say hi" },
            { "role": "assistant", "content": "Hm", "reasoning_content": "think" },
            { "role": "user", "content": "Say hi" },
        ]
    });
    for (name, provider) in &providers {
        let to = format!("{HEADERS}x-to: {name}\r\n");
        let reply = http_post(gateway.address(), "/v1/chat/completions", &to, &body.to_string());
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "Hi", "{name}");
        let request = origin.take().requests.remove(0);
        let base = provider["base_url"].as_str().unwrap().split_once("://").unwrap().1;
        let mut prefix = base.find('/').map_or(String::new(), |at| base.split_at(at).1.to_owned());
        for place in ["account", "project", "region", "endpoint"] {
            prefix = prefix.replace(&format!("{{{place}}}"), "place-1");
        }
        let dialect = provider["dialect"].as_str().unwrap();
        let path = format!("POST {prefix}{}", fixed(dialect));
        assert_eq!(request.line.split(['?']).next().unwrap().trim_end_matches(" HTTP/1.1"), path, "{name}");
        check_credential(name, provider, &request);
        // Where the dialect is the client's, its fields pass as they are.
        assert!(!String::from_utf8_lossy(&request.body).contains(KEY));
    }
}

#[test]
fn what_a_provider_knows_decides_what_it_is_told() {
    let origin = origin();
    let mut providers = catalogue();
    providers.retain(|name, _| ["openai", "deepseek", "openrouter", "groq"].contains(&name.as_str()));
    let gateway = gateway(&providers, &origin.url());
    let body = json!({
        "model": "claude", "max_tokens": 5, "messages": [
            { "role": "user", "content": "Go" },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "think", "signature": "c2ln" }, { "type": "text", "text": "Hm" }] },
            { "role": "user", "content": "On" },
        ]
    });
    for (name, bound, thoughts) in [
        ("openai", "max_completion_tokens", None),
        ("groq", "max_completion_tokens", None),
        ("deepseek", "max_tokens", Some("reasoning_content")),
        ("openrouter", "max_completion_tokens", Some("reasoning_details")),
    ] {
        let to = format!("{HEADERS}x-to: {name}\r\n");
        let reply = http_post(gateway.address(), "/v1/messages", &to, &body.to_string());
        assert_eq!((reply.status, &reply.json()["content"][0]["text"]), (200, &json!("Hi")), "{name}");
        let request = origin.take().requests.remove(0);
        let sent: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(sent[bound], 5, "{name}: {sent}");
        for field in ["reasoning_content", "reasoning_details"] {
            assert_eq!(!sent["messages"][1][field].is_null(), thoughts == Some(field), "{name}: {sent}");
        }
    }
}

#[test]
fn what_is_no_chat_goes_where_the_provider_has_it() {
    let origin = origin();
    let mut providers = catalogue();
    providers.retain(|name, _| ["openai", "groq", "deepinfra", "anthropic", "bedrock"].contains(&name.as_str()));
    let gateway = gateway(&providers, &origin.url());
    for (name, path, expected) in [
        ("groq", "/v1/embeddings?a=b", "/openai/v1/embeddings?a=b"),
        ("deepinfra", "/v1/audio/speech", "/v1/openai/audio/speech"),
        ("openai", "/v1/embeddings", "/v1/embeddings"),
        ("groq", "/v1x/embeddings", "/v1x/embeddings"),
        ("anthropic", "/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("bedrock", "/model/m/invoke", "/model/m/invoke"),
    ] {
        let reply = http_post(gateway.address(), path, &format!("{HEADERS}x-to: {name}\r\n"), "{}");
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let request = origin.take().requests.remove(0);
        assert_eq!(request.line, format!("POST {expected} HTTP/1.1"), "{name}");
        check_credential(name, &providers[name], &request);
    }
}

#[test]
fn a_model_by_its_arn_is_one_part_of_the_path() {
    let origin = origin();
    let mut providers = catalogue();
    providers.retain(|name, _| name == "bedrock");
    let gateway = gateway(&providers, &origin.url());
    let model = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-v1:0";
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    let to = format!("{HEADERS}x-to: bedrock\r\n");
    let reply = http_post(gateway.address(), "/v1/chat/completions", &to, &body.to_string());
    assert_eq!((reply.status, &reply.json()["choices"][0]["message"]["content"]), (200, &json!("Hi")));
    let request = origin.take().requests.remove(0);
    let model = model.replace(':', "%3A").replace('/', "%2F");
    assert_eq!(request.line, format!("POST /model/{model}/converse HTTP/1.1"));
    check_credential("bedrock", &providers["bedrock"], &request);
    // What Bedrock's own client writes is the same path, which a route has to let in.
    let reply = http_post(gateway.address(), &format!("/model/{model}/converse"), &to, "{\"messages\":[]}");
    assert_eq!((reply.status, reply.reason()), (400, Some("ambiguous-path")));
}

#[test]
fn the_mock_serves_as_a_provider() {
    let mock = Mock::start(&[]);
    let mut providers = catalogue();
    providers.retain(|name, _| ["openai", "anthropic"].contains(&name.as_str()));
    let gateway = gateway(&providers, &format!("http://{}", mock.address));
    for name in providers.keys() {
        for (path, body) in [
            ("/v1/chat/completions", json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] })),
            (
                "/v1/messages",
                json!({ "model": "m", "max_tokens": 9, "messages": [{ "role": "user", "content": "Hello" }] }),
            ),
        ] {
            let to = format!("{HEADERS}anthropic-version: 2023-06-01\r\nx-to: {name}\r\n");
            let reply = http_post(gateway.address(), path, &to, &body.to_string());
            assert_eq!(reply.status, 200, "{name} {path}: {}", reply.text());
            let text = [&reply.json()["choices"][0]["message"]["content"], &reply.json()["content"][0]["text"]]
                .map(|text| text.as_str().unwrap_or_default().len());
            assert!(text.iter().sum::<usize>() > 0, "{name} {path}: {}", reply.text());
        }
    }
}

#[test]
fn an_operator_adds_providers_and_replaces_known_ones() {
    let origin = origin();
    let gateway = Gateway::start(&format!(
        "{POLICY}providers:\n  house: {{ base_url: \"{0}/llm/{{team}}/v1\", dialect: openai, older_max_tokens: true, \
         credential: {{ header: x-house }} }}\n  groq: {{ base_url: \"{0}/mirror\", dialect: anthropic }}\n\
         upstreams:\n  house: {{ provider: house, places: {{ team: blue }}, credential: one, policies: [any] }}\n  \
         groq: {{ provider: groq, credential: two, policies: [any] }}\n\
         routes:\n  - {{ name: house, match: {{ headers: {{ x-to: {{ exact: house }} }} }}, upstream: house }}\n  \
         - {{ name: groq, upstream: groq }}\n",
        origin.url()
    ));
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "Hello" }] }).to_string();
    let ask = |more: &str| http_post(gateway.address(), "/v1/chat/completions", &format!("{HEADERS}{more}"), &body);
    assert_eq!((ask("x-to: house\r\n").status, ask("").status), (200, 200));
    let requests = origin.take().requests;
    assert_eq!(requests[0].line, "POST /llm/blue/v1/chat/completions HTTP/1.1");
    assert_eq!((requests[0].values("x-house"), requests[0].values("authorization").len()), (vec!["one"], 0));
    assert_eq!(requests[1].line, "POST /mirror/messages HTTP/1.1");
    assert_eq!(requests[1].values("authorization"), ["Bearer two"]);
}

#[test]
fn a_policy_without_a_dialect_needs_a_provider() {
    let origin = origin();
    let gateway = Gateway::start(&format!(
        "{POLICY}upstreams: {{ plain: {{ endpoints: [{{ url: {:?} }}], policies: [any] }} }}\n\
         routes: [{{ name: all, upstream: plain }}]\n",
        origin.url()
    ));
    let body = json!({ "model": "m", "messages": [] }).to_string();
    let reply = http_post(gateway.address(), "/v1/chat/completions", HEADERS, &body);
    assert_eq!((reply.status, reply.reason()), (500, Some("policy-failed")));
    let line = gateway.access_line("the failure", |line| line["route"] == "all");
    assert!(line.to_string().contains("no-dialect"), "{line}");
    assert!(origin.take().requests.is_empty());
}

#[test]
fn what_an_upstream_says_of_its_provider_is_proved() {
    let cases = [
        ("provider: gorq", "unknown provider \"gorq\" (did you mean \"groq\"?)"),
        ("provider: bedrock", "provider \"bedrock\" needs `places: { region: … }`"),
        ("provider: bedrock, places: { region: \"eu/../x\" }", "region is made of letters"),
        ("provider: groq, places: { region: x }", "unknown place \"region\""),
        ("provider: bedrock, places: { region: r }, credential: k", "provider \"bedrock\" is shown no key alone"),
        ("provider: vertex-global, places: { project: p }, credential: k", "google_service_account"),
        ("provider: ollama, credential: k", "provider \"ollama\" wants no key"),
        ("endpoints: [{ url: \"http://127.0.0.1:9\" }], credential: k", "a key alone needs a `provider`"),
        ("endpoints: [{ url: \"http://127.0.0.1:9\" }], places: { a: b }", "only a `provider` has places"),
        ("credential: { bearer: k }", "it needs at least one endpoint"),
    ];
    for (upstream, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let config = format!(
            "listeners: [{{ address: 127.0.0.1:0 }}]\nupstreams: {{ it: {{ {upstream} }} }}\n\
             routes: [{{ name: all, upstream: it }}]\n"
        );
        std::fs::write(&file, config).unwrap();
        let output = gatewright().args(["check", "--config"]).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{upstream}: {text}");
        assert!(text.contains(message), "{upstream}: {text}");
        assert!(!text.contains("unknown upstream"), "{upstream}: {text}");
    }
    let output = gatewright().arg("providers").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let groq = text.lines().find(|line| line.starts_with("groq ")).unwrap();
    let words: Vec<&str> = groq.split_whitespace().collect();
    assert_eq!(words, ["groq", "openai", "GROQ_API_KEY", "https://api.groq.com/openai/v1"]);
}
