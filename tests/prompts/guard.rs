//! What a prompt or an answer must not say does not pass, in any dialect, whole or streamed.

use harness::{Client, Gateway, Origin, Protocol, Reply};
use serde_json::{Value, json};

const RULES: &str = "[{ name: mail, kinds: [email], action: redact }, \
    { name: zebra, words: [Project Zebra], action: deny }, { name: cards, kinds: [credit-card], action: flag }]";

fn gateway_to(origin: &Origin, rules: &str) -> Gateway {
    Gateway::start(&format!(
        r#"policies:
  guard:
    plugin: prompt-guard
    grants: {{ metadata: [guard] }}
    limits: {{ deadline: 2s, body_deadline: 2s }}
    config: {{ rules: {rules} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [guard], upstream: origin, api: auto }}]
"#,
        origin.url()
    ))
}

/// An origin that answers each request with these bytes, some at a time.
fn answering(head: &'static str, body: String, piece: usize) -> Origin {
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let mut sent = format!("HTTP/1.1 200 OK\r\n{head}\r\ntransfer-encoding: chunked\r\n\r\n").into_bytes();
            for bytes in body.as_bytes().chunks(piece) {
                sent.extend(format!("{:x}\r\n", bytes.len()).as_bytes());
                sent.extend(bytes);
                sent.extend(b"\r\n");
            }
            sent.extend(b"0\r\n\r\n");
            conversation.send(&sent);
        }
    })
}

fn json_origin(body: &Value) -> Origin {
    answering("content-type: application/json", body.to_string(), 1 << 20)
}

fn ask(gateway: &Gateway, protocol: Protocol, path: &str, body: &str) -> Reply {
    let mut client = Client::connect(gateway.address(), protocol);
    client.post(path, &[("content-type", "application/json")], body.as_bytes())
}

const PATHS: [&str; 6] = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1beta/models/m:generateContent",
    "/model/m/converse",
    "/v2/chat",
];

/// A request of each path that says a text, as it is written.
fn request(path: &str, text: &str) -> String {
    match path {
        "/v1/responses" => format!(r#"{{ "input":"{text}" ,"x":1.0}}"#),
        "/v1beta/models/m:generateContent" => {
            format!(r#"{{ "contents":[{{"parts":[{{"text":"{text}"}}]}}] ,"x":1.0}}"#)
        }
        "/model/m/converse" => {
            format!(r#"{{ "messages":[{{"role":"user","content":[{{"text":"{text}"}}]}}] ,"x":1.0}}"#)
        }
        _ => format!(r#"{{ "messages":[{{"role":"user","content":"{text}"}}] ,"x":1.0}}"#),
    }
}

#[test]
fn a_prompt_is_redacted_byte_by_byte_or_refused() {
    let origin = json_origin(&json!({}));
    let gateway = gateway_to(&origin, RULES);
    for protocol in Protocol::ALL {
        for path in PATHS {
            let said = r"caf\u00e9, al\u0069ce@example.com\/4111 1111 1111 1111";
            assert_eq!(ask(&gateway, protocol, path, &request(path, said)).status, 200, "{path}");
            let expected = request(path, r"caf\u00e9, [mail]\/4111 1111 1111 1111");
            assert_eq!(String::from_utf8_lossy(&origin.take().requests[0].body), expected);

            let refused = ask(&gateway, protocol, path, &request(path, "about PROJECT\\nzebra"));
            assert_eq!((refused.status, refused.reason()), (403, Some("prompt-denied")), "{path}");
            assert!(!refused.text().to_lowercase().contains("zebra"), "{}", refused.text());
            assert!(origin.take().bytes.is_empty(), "{path}");
        }
    }
    // Each in the shape of its own API.
    let refused = |path: &str| ask(&gateway, Protocol::Http1, path, &request(path, "Project Zebra")).json();
    assert_eq!(refused("/v1/chat/completions")["error"]["code"], "prompt-denied");
    assert_eq!(refused("/v1/messages")["type"], "error");
    assert_eq!(refused("/v1beta/models/m:generateContent")["error"]["status"], "PERMISSION_DENIED");
    let all = gateway.process.stdout.all().concat() + &gateway.process.stderr.all().concat();
    assert!(!all.to_lowercase().contains("zebra\\n") && !all.contains("example.com"), "{all}");
    let metrics = gateway.admin_get("/metrics").text();
    let is_flag =
        |line: &&str| line.contains("guard_matches") && line.contains("rule=\"cards\"") && line.contains("flag");
    assert!(metrics.lines().any(|line| is_flag(&line)), "{metrics}");
}

#[test]
fn an_answer_is_redacted_or_refused() {
    let answer =
        |text: &str| json!({ "choices": [{ "index": 0, "message": { "role": "assistant", "content": text } }] });
    let path = "/v1/chat/completions";
    let origin = json_origin(&answer("ask alice@example.com"));
    let gateway = gateway_to(&origin, RULES);
    let reply = ask(&gateway, Protocol::Http2, path, &request(path, "Hi"));
    assert_eq!((reply.status, reply.json()), (200, answer("ask [mail]")));
    let origin = json_origin(&answer("it is project zebra"));
    let gateway = gateway_to(&origin, RULES);
    let reply = ask(&gateway, Protocol::Http1, path, &request(path, "Hi"));
    assert_eq!((reply.status, reply.reason()), (403, Some("answer-denied")), "{}", reply.text());
}

fn chunks(pieces: &[&str]) -> String {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
        format!("data: {}\n\n", json!({ "id": "c", "choices": [choice] }))
    };
    let mut stream: String = pieces.iter().map(|piece| chunk(json!({ "content": piece }), Value::Null)).collect();
    stream.push_str(&chunk(json!({}), json!("stop")));
    stream + "data: [DONE]\n\n"
}

/// The text of a stream, and whether it had its end mark.
fn said(reply: &Reply) -> (String, bool) {
    let text = reply.text();
    let events: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let parsed = events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let text = parsed.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect();
    (text, events.contains(&"[DONE]"))
}

#[test]
fn a_stream_is_looked_at_however_its_bytes_come() {
    let path = "/v1/chat/completions";
    let pieces = ["Hi ", "al", "ic", "e@exam", "ple.com", ", bye", "."];
    for piece in [1, 7, 64, 1 << 20] {
        let origin = answering("content-type: text/event-stream", chunks(&pieces), piece);
        let gateway = gateway_to(&origin, RULES);
        for protocol in Protocol::ALL {
            let reply = ask(&gateway, protocol, path, &request(path, "Hi"));
            assert_eq!(said(&reply), ("Hi [mail], bye.".to_owned(), true), "{piece}: {}", reply.text());
            assert!(!reply.text().contains("exam"), "{}", reply.text());
        }
    }
}

#[test]
fn a_stream_that_is_refused_ends_in_an_error() {
    let path = "/v1/chat/completions";
    let origin = answering("content-type: text/event-stream", chunks(&["It is pro", "ject ze", "bra", " now"]), 16);
    let gateway = gateway_to(&origin, RULES);
    for protocol in Protocol::ALL {
        let reply = ask(&gateway, protocol, path, &request(path, "Hi"));
        assert_eq!(said(&reply), ("It is ".to_owned(), false), "{}", reply.text());
        let last = reply.text().lines().rev().find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        let last: Value = serde_json::from_str(&last).unwrap();
        assert!(last["error"]["message"].is_string() && last["error"]["code"] == "content_filter", "{last}");
        assert!(!reply.text().contains("\"stop\""), "{}", reply.text());
    }
}

/// 1 MB under 50 rules, and every other character another than ASCII's.
#[test]
fn a_long_prompt_is_looked_at_in_bounded_time() {
    let rules: Vec<String> = (0..50)
        .map(|number| match number % 5 {
            0 => format!("{{ name: r{number}, patterns: ['\\b(?i)secret{number}\\w*\\b'], action: deny }}"),
            1 => format!("{{ name: r{number}, patterns: ['[A-Z]{{3}}-{number}[0-9]{{4,}}'], action: redact }}"),
            2 => format!("{{ name: r{number}, kinds: [email, credit-card, iban, phone, api-key], action: redact }}"),
            3 => format!(
                "{{ name: r{number}, words: [alpha{number}, beta gamma{number}, \"größe{number}\"], action: deny }}"
            ),
            _ => format!("{{ name: r{number}, patterns: ['(?:id|key)[ :=]+[0-9a-f]{{3{number}}}'], action: flag }}"),
        })
        .collect();
    let origin = json_origin(&json!({}));
    let gateway = gateway_to(&origin, &format!("[{}]", rules.join(", ")));
    let path = "/v1/chat/completions";
    let body = request(path, &"Das Mädchen hörte, wie 12 Vögel süß über 3 Dächer flögen. ".repeat(17_000));
    assert!(body.len() > 1_000_000);
    let reply = ask(&gateway, Protocol::Http1, path, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(origin.take().requests[0].body, body.as_bytes());
    // Nothing but matches.
    let (said, expected) = ("al@example.com ", "[r2] ");
    let reply = ask(&gateway, Protocol::Http1, path, &request(path, &said.repeat(70_000)));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(origin.take().requests[0].body, request(path, &expected.repeat(70_000)).as_bytes());
}
