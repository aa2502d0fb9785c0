//! Clients speak OpenAI, the upstream what it likes: streams.

use std::sync::{Mutex, mpsc};

use harness::{Client, DEADLINE, Gateway, Origin, Protocol, Wire};
use serde_json::{Value, json};

use super::llm_normalize::{chat, gateway_to};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const REQUEST: &str = r#"{"model":"fast","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#;
const WITH_USAGE: &str = r#"{"model":"fast","stream":true,"stream_options":{"include_usage":true},
                             "messages":[{"role":"user","content":"Hi"}]}"#;

/// An origin that streams this text in pieces of so many bytes, and then ends the stream or breaks it off.
fn streaming(text: String, piece: usize, is_cut: bool) -> Origin {
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let mut sent = HEAD.as_bytes().to_vec();
            for bytes in text.as_bytes().chunks(piece) {
                sent.extend(format!("{:x}\r\n", bytes.len()).as_bytes());
                sent.extend(bytes);
                sent.extend(b"\r\n");
            }
            conversation.send(&sent);
            if is_cut {
                return;
            }
            conversation.send("0\r\n\r\n");
        }
    })
}

fn events(data: &[Value]) -> String {
    data.iter().map(|data| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or("x"))).collect()
}

fn start(id: &str) -> Value {
    let usage = json!({ "input_tokens": 43, "output_tokens": 1 });
    json!({ "type": "message_start", "message": { "id": id, "model": "claude", "content": [], "usage": usage } })
}

fn open(index: u32, block: &Value) -> Value {
    json!({ "type": "content_block_start", "index": index, "content_block": block })
}

fn delta(index: u32, delta: &Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

fn text(index: u32, text: &str) -> Value {
    delta(index, &json!({ "type": "text_delta", "text": text }))
}

fn close(index: u32) -> Value {
    json!({ "type": "content_block_stop", "index": index })
}

fn end(reason: &str) -> [Value; 2] {
    let usage = json!({ "input_tokens": 61, "output_tokens": 2 });
    [
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ]
}

/// The data of each event that the client got, `[DONE]` among them.
fn received(gateway: &Gateway, protocol: Protocol, request: &str) -> Vec<String> {
    let reply = chat(&mut Client::connect(gateway.address(), protocol), request);
    assert_eq!(reply.status, 200, "{}", reply.text());
    // A comment may stay as it came, as a sign of life.
    let events = reply.text().replace("\r\n", "\n");
    let blocks = events.split_terminator("\n\n").filter(|block| !block.starts_with(':'));
    blocks.map(|block| block.strip_prefix("data: ").unwrap_or(block).to_owned()).collect()
}

fn parsed(chunks: &[String]) -> Vec<Value> {
    chunks.iter().filter(|chunk| *chunk != "[DONE]").map(|chunk| serde_json::from_str(chunk).unwrap()).collect()
}

fn said(chunks: &[String]) -> String {
    let chunks = parsed(chunks);
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

fn finishes(chunks: &[String]) -> Vec<String> {
    let reasons = parsed(chunks).into_iter().filter_map(|chunk| {
        let reason = chunk["choices"][0]["finish_reason"].as_str()?;
        Some(reason.to_owned())
    });
    reasons.collect()
}

/// The part of a chat that the cases share.
fn greeting() -> Vec<Value> {
    let mut all = vec![start("msg_1"), json!({ "type": "ping" }), open(0, &json!({ "type": "text", "text": "" }))];
    all.extend([text(0, "Grüß "), text(0, "Gott, 世界 🙂"), close(0)]);
    all.extend(end("end_turn"));
    all
}

/// Cases 12, 13 and 20.
#[test]
fn the_client_gets_the_same_chunks_however_the_bytes_come() {
    let whole = format!(": hello\n\n{}", events(&greeting()));
    let crlf = whole.replace('\n', "\r\n");
    let mut seen = Vec::new();
    for (text, piece) in [(&whole, usize::MAX), (&whole, 1), (&whole, 7), (&crlf, 1), (&crlf, 1 << 10)] {
        let origin = streaming(text.clone(), piece.min(text.len()), false);
        let gateway = gateway_to(&origin, "anthropic");
        for protocol in Protocol::ALL {
            let chunks = received(&gateway, protocol, WITH_USAGE);
            assert_eq!(said(&chunks), "Grüß Gott, 世界 🙂", "{piece} over {protocol:?}");
            assert_eq!((finishes(&chunks), chunks.last().map(String::as_str)), (vec!["stop".into()], Some("[DONE]")));
            let usage: Vec<Value> = parsed(&chunks).into_iter().filter(|chunk| chunk["usage"].is_object()).collect();
            assert_eq!(usage.len(), 1, "{chunks:?}");
            let counted = &usage[0]["usage"];
            assert_eq!((&counted["prompt_tokens"], &counted["completion_tokens"]), (&json!(61), &json!(2)));
            assert!(!chunks.concat().contains('\u{fffd}'));
            let shapes: Vec<Value> = parsed(&chunks).into_iter().map(|chunk| chunk["choices"].clone()).collect();
            seen.push(json!(shapes).to_string());
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].len() == pair[1].len()), "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 1);
}

/// Cases 1 and 2.
#[test]
fn calls_are_counted_from_0_and_an_empty_one_has_arguments() {
    let call = |id: &str, name: &str| json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
    let arguments = |text: &str| json!({ "type": "input_json_delta", "partial_json": text });
    let mut all = vec![start("m"), open(0, &json!({ "type": "text", "text": "" })), text(0, "Look"), close(0)];
    all.extend([open(1, &call("toolu_1", "updateIssueList")), delta(1, &arguments("")), close(1)]);
    all.extend([open(2, &call("toolu_2", "g")), delta(2, &arguments("{\"a\":")), delta(2, &arguments("1}")), close(2)]);
    all.extend(end("tool_use"));
    let origin = streaming(events(&all), 50, false);
    let gateway = gateway_to(&origin, "anthropic");
    for protocol in Protocol::ALL {
        let chunks = received(&gateway, protocol, REQUEST);
        let mut calls = vec![(String::new(), String::new()); 2];
        for chunk in parsed(&chunks) {
            for call in chunk["choices"][0]["delta"]["tool_calls"].as_array().into_iter().flatten() {
                let slot = calls.get_mut(usize::try_from(call["index"].as_u64().unwrap()).unwrap()).unwrap();
                slot.0.push_str(call["id"].as_str().unwrap_or_default());
                slot.1.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            }
        }
        let expected = [("toolu_1", "{}"), ("toolu_2", "{\"a\":1}")].map(|(id, text)| (id.to_owned(), text.to_owned()));
        assert_eq!(calls, expected, "{chunks:?}");
        assert_eq!(finishes(&chunks), ["tool_calls"]);
    }
}

/// Case 15: both dialects, an end that is too early and a connection that breaks.
#[test]
fn half_a_stream_is_never_taken_for_a_whole_one() {
    let mut half = greeting();
    half.truncate(5);
    let chunk = json!({ "id": "c", "choices": [{ "index": 0, "delta": { "content": "Hi" }, "finish_reason": null }] });
    for (dialect, body) in [("anthropic", events(&half)), ("openai", format!("data: {chunk}\n\n"))] {
        for is_cut in [false, true] {
            let origin = streaming(body.clone(), 1 << 10, is_cut);
            let gateway = gateway_to(&origin, dialect);
            for protocol in Protocol::ALL {
                let chunks = received(&gateway, protocol, REQUEST);
                let last: Value = serde_json::from_str(chunks.last().unwrap()).unwrap();
                assert!(last["error"]["message"].is_string(), "{dialect}, cut: {is_cut}: {chunks:?}");
                assert!(finishes(&chunks).is_empty(), "{chunks:?}");
                assert!(!chunks.contains(&"[DONE]".to_owned()), "{chunks:?}");
            }
        }
    }
}

/// Case 14.
#[test]
fn a_second_message_in_a_stream_is_never_merged_into_the_first() {
    let call = |id: &str| open(0, &json!({ "type": "tool_use", "id": id, "name": "f", "input": {} }));
    let part = |text: &str| delta(0, &json!({ "type": "input_json_delta", "partial_json": text }));
    let mut same = greeting();
    same.insert(1, start("msg_1"));
    let origin = streaming(events(&same), 64, false);
    let chunks = received(&gateway_to(&origin, "anthropic"), Protocol::Http1, REQUEST);
    assert_eq!((said(&chunks).as_str(), finishes(&chunks)), ("Grüß Gott, 世界 🙂", vec!["stop".to_owned()]));

    let mut spliced = vec![start("msg_first"), call("t1"), part("{\"value\":\"Spark")];
    spliced.extend([start("msg_second"), call("t2"), part("{\"other\":1}"), close(0)]);
    spliced.extend(end("tool_use"));
    let origin = streaming(events(&spliced), 64, false);
    let gateway = gateway_to(&origin, "anthropic");
    for protocol in Protocol::ALL {
        let chunks = received(&gateway, protocol, REQUEST);
        let errors = parsed(&chunks).into_iter().filter(|chunk| chunk["error"].is_object()).count();
        let all = chunks.concat();
        assert_eq!((errors, finishes(&chunks).len()), (1, 0), "{chunks:?}");
        assert!(!all.contains("t2") && !all.contains("other") && !all.contains("[DONE]"), "{chunks:?}");
    }
}

/// Case 12, in the same dialect: bytes stay, odd frames harm nobody; and case 10, the chunk that nobody asked for.
#[test]
fn a_stream_of_the_same_dialect_keeps_its_bytes_but_for_the_usage_that_nobody_asked_for() {
    let stream = concat!(
        ": comment\n\n",
        "data:{\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"H\\u00e9\"},",
        "\"finish_reason\":null}],\"usage\":null}\n\n",
        "data: {\"id\":\"c\", \"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":\"\"}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    );
    let usage = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\n";
    let origin = streaming(format!("{stream}{usage}data: [DONE]\n\n"), 13, false);
    let gateway = gateway_to(&origin, "openai");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let asked = chat(&mut client, WITH_USAGE).text();
        assert!(asked.contains("\"prompt_tokens\":9") && asked.ends_with("data: [DONE]\n\n"), "{asked}");
        let unasked = chat(&mut client, REQUEST).text();
        assert!(!unasked.contains("prompt_tokens") && unasked.ends_with("data: [DONE]\n\n"), "{unasked}");
        assert!(unasked.contains("H\\u00e9") && unasked.contains("\"finish_reason\":\"stop\""), "{unasked}");
    }
    let bodies: Vec<Value> =
        origin.take().requests.iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert!(bodies.iter().all(|body| body["stream_options"]["include_usage"] == true), "{bodies:?}");
    let line = gateway.access_line("the tokens", |line| line["input_tokens"] == 9.0);
    assert_eq!(line["output_tokens"], 2.0);
}

/// A model may think for long before its first word, while others count the seconds.
#[test]
fn a_stream_that_says_nothing_is_kept_alive_by_comments() {
    let (go_on, waits) = mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let origin = Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            conversation.send(HEAD);
            waits.lock().unwrap().recv_timeout(DEADLINE).unwrap();
            let [end, stop] = end("end_turn");
            let words =
                [start("m"), open(0, &json!({ "type": "text", "text": "" })), text(0, "Hi"), close(0), end, stop];
            let words = events(&words);
            conversation.send(format!("{:x}\r\n{words}\r\n0\r\n\r\n", words.len()));
        }
    });
    let gateway = Gateway::start(&format!(
        r#"timeouts: {{ event_silence: 100ms }}
policies:
  normalize: {{ plugin: llm-normalize, grants: {{ metadata: [llm] }}, config: {{ dialect: anthropic }} }}
upstreams: {{ provider: {{ endpoints: [{{ url: {:?} }}], policies: [normalize] }} }}
routes: [{{ name: all, upstream: provider, api: openai }}]
"#,
        origin.url()
    ));
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{REQUEST}",
        REQUEST.len()
    ));
    assert_eq!(wire.read_head().unwrap().status, 200);
    for _ in 0..2 {
        assert_eq!(wire.chunk().unwrap(), b": keep-alive\n\n");
    }
    go_on.send(()).unwrap();
    let mut rest = Vec::new();
    while let Some(chunk) = wire.chunk() {
        rest.extend(chunk);
    }
    let rest = String::from_utf8(rest).unwrap();
    let words = rest.trim_start_matches(": keep-alive\n\n");
    assert!(words.starts_with("data: {") && words.contains("\"Hi\"") && words.ends_with("data: [DONE]\n\n"), "{rest}");
}
