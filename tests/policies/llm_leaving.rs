//! Case 23: a client that leaves ends its stream at the provider, whatever it speaks.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{DEADLINE, Gateway, Origin, Wire};
use serde_json::{Value, json};

/// What it may take: a hundredth of a second is usual, and machines stand still.
const SOON: Duration = Duration::from_secs(2);

const TURNS: &str = r#""messages":[{"role":"user","content":"Hi"}]"#;
const PARTS: &str = r#""contents":[{"role":"user","parts":[{"text":"Hi"}]}]"#;
const BLOCKS: &str = r#""messages":[{"role":"user","content":[{"text":"Hi"}]}]"#;

/// A request for a stream in each dialect.
fn requests() -> [(&'static str, String); 6] {
    let post = |path: &str, body: &str| format!("{{\"path\":{path:?},\"body\":{{{body}}}}}");
    [
        ("Chat Completions", post("/v1/chat/completions", &format!(r#""model":"m","stream":true,{TURNS}"#))),
        ("Responses", post("/v1/responses", r#""model":"m","stream":true,"input":"Hi""#)),
        ("Messages", post("/v1/messages", &format!(r#""model":"m","stream":true,"max_tokens":9,{TURNS}"#))),
        ("Gemini", post("/v1beta/models/m:streamGenerateContent?alt=sse", PARTS)),
        ("Converse", post("/model/m/converse-stream", BLOCKS)),
        ("Cohere", post("/v2/chat", &format!(r#""model":"m","stream":true,{TURNS}"#))),
    ]
}

/// An origin that begins to stream and never ends; and when each of its connections was closed.
fn endless() -> (Origin, mpsc::Receiver<Instant>) {
    let (sender, closed) = mpsc::channel();
    let origin = Origin::talking(move |conversation| {
        if conversation.request().is_some() {
            let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "word " } }] });
            let event = format!("data: {chunk}\n\n");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            conversation.send(format!("{head}{:x}\r\n{event}\r\n", event.len()));
            assert!(conversation.wire.closes());
            sender.send(Instant::now()).unwrap();
        }
    });
    (origin, closed)
}

#[test]
fn a_client_that_leaves_ends_its_stream_at_the_provider_in_every_dialect() {
    let (origin, closed) = endless();
    let gateway = Gateway::start(&format!(
        r#"policies:
  normalize: {{ plugin: llm-normalize, grants: {{ metadata: [llm] }}, config: {{ dialect: openai }} }}
upstreams: {{ provider: {{ endpoints: [{{ url: {:?} }}], policies: [normalize] }} }}
routes: [{{ name: all, upstream: provider, api: auto }}]
"#,
        origin.url()
    ));
    for (dialect, request) in requests() {
        let request: Value = serde_json::from_str(&request).unwrap();
        let (path, body) = (request["path"].as_str().unwrap(), request["body"].to_string());
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let head = wire.read_head().unwrap();
        assert_eq!(head.status, 200, "{dialect}: {head:?}");
        assert!(wire.chunk().is_some(), "{dialect}");
        drop(wire);
        let left = Instant::now();
        let took = closed.recv_timeout(DEADLINE).unwrap().saturating_duration_since(left);
        assert!(took < SOON, "{dialect}: {took:?}");
        let line = gateway.access_line(dialect, |line| line["path"] == path.split('?').next().unwrap());
        assert_eq!(line["reason"], "client-gone", "{dialect}: {line}");
        // The provider's figures never came: a quarter of the bytes, of the request and of "word ".
        let tokens = (&line["input_tokens"], &line["output_tokens"]);
        assert!(tokens.0.as_u64() > Some(0) && *tokens.1 == 2, "{dialect}: {line}");
    }
}
