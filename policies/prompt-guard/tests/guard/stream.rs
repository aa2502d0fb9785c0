//! Rules on streams.

use gatewright_llm::Dialect;
use gatewright_llm::dialect::Frame;
use gatewright_sdk::{Ending, testing};
use serde_json::{Value, json};

use crate::rig::{PATHS, Streamed, asked, emails, frames, guard, one_batch, parsed, read, streamed};

/// Every way to cut a text in three.
fn cuts(text: &str) -> Vec<[&str; 3]> {
    let places: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
    let mut all = Vec::new();
    for (index, first) in places.iter().enumerate() {
        for second in places.iter().skip(index) {
            let parts = [text.get(..*first), text.get(*first..*second), text.get(*second..)];
            all.push(parts.map(|part| part.unwrap_or_default()));
        }
    }
    all
}

fn one_by_one(frames: Vec<Frame>) -> Vec<Vec<Frame>> {
    frames.into_iter().map(|frame| vec![frame]).collect()
}

#[test]
fn a_match_is_found_however_the_events_cut_it() {
    let policy = guard(&json!([
        { "name": "email", "kinds": ["email"], "action": "redact" },
        { "name": "plan", "words": ["große Kunst"], "action": "redact", "replacement": "\"§\"" },
    ]));
    let text = "Ja, Große\nKunst: \"al\u{200b}ice@example.com\".";
    for (path, dialect) in PATHS {
        for pieces in cuts(text) {
            let batches = one_by_one(frames(dialect, Streamed::Text, &pieces));
            let (got, is_ended) = streamed(&policy, path, &batches);
            let whole: String = got.iter().map(|frame| frame.data.as_str()).collect();
            assert!(!whole.contains("example") && !whole.contains("Kunst"), "{dialect:?} {pieces:?}: {whole}");
            let (said, _, end) = read(dialect, got);
            assert_eq!((said.as_str(), end.as_str()), ("Ja, \"§\": \"[email]\".", "stop"), "{dialect:?} {pieces:?}");
            assert!(!is_ended);
        }
    }
}

#[test]
fn arguments_are_looked_at_value_by_value() {
    let policy = guard(&json!([
        { "name": "email", "kinds": ["email"], "action": "redact", "parts": ["calls"] },
        { "name": "card", "kinds": ["credit-card"], "action": "redact", "replacement": "0" },
    ]));
    let text = r#"{"a":"x\n\u0061l\ud83d\ude42 b@x.org","n":4111111111111111,"c":""}"#;
    for (path, dialect) in PATHS {
        for pieces in cuts(text) {
            let batches = one_by_one(frames(dialect, Streamed::Arguments, &pieces));
            let (got, _) = streamed(&policy, path, &batches);
            let (_, arguments, end) = read(dialect, got);
            let arguments: Value = serde_json::from_str(&arguments).unwrap();
            let expected = json!({ "a": "x\nal🙂 [email]", "n": "0", "c": "" });
            assert_eq!((&arguments, end.as_str()), (&expected, "tool_calls"), "{dialect:?} {pieces:?}");
        }
    }
}

#[test]
fn a_denied_stream_ends_in_an_error_and_never_in_a_finish() {
    let policy = guard(&json!([{ "name": "x", "words": ["zebra"], "action": "deny" }]));
    for (path, dialect) in PATHS {
        for pieces in cuts("So a Zebra. No.") {
            let (got, is_ended) = streamed(&policy, path, &one_by_one(frames(dialect, Streamed::Text, &pieces)));
            assert!(is_ended, "{dialect:?}");
            let whole: String = got.iter().map(|frame| frame.data.to_lowercase()).collect();
            assert!(!whole.contains("zebra") && !whole.contains("[done]"), "{dialect:?} {pieces:?}: {whole}");
            let (said, _, end) = read(dialect, got);
            assert_eq!(end, "error", "{dialect:?} {pieces:?}");
            assert!("So a ".starts_with(&said), "{dialect:?} {pieces:?}: {said:?}");
        }
    }
    assert!(testing::logged_lines().is_empty());
}

#[test]
fn a_stream_in_which_nothing_matches_keeps_its_bytes() {
    for (path, dialect) in PATHS {
        let sent = frames(dialect, Streamed::Text, &["Hel", "lo @ wor", "ld", " "]);
        for batches in [vec![sent.clone()], one_by_one(sent.clone())] {
            let (got, _) =
                streamed(&guard(&json!([{ "name": "x", "words": ["zebra"], "action": "redact" }])), path, &batches);
            assert_eq!(got, sent, "{dialect:?}");
            let (got, _) = streamed(&emails(), path, &batches);
            assert_eq!(read(dialect, got), read(dialect, sent.clone()), "{dialect:?}");
        }
    }
}

fn chunk(text: &str) -> Frame {
    let choice = json!({ "index": 0, "delta": { "content": text }, "finish_reason": null });
    Frame::unnamed(json!({ "id": "c", "choices": [choice] }).to_string())
}

fn text_of(frames: &[Frame]) -> String {
    let text = |frame: &Frame| {
        let chunk = parsed(&frame.data);
        chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    frames.iter().map(text).collect()
}

#[test]
fn no_more_than_the_bound_waits() {
    let policy: prompt_guard::PromptGuard = testing::configured(json!({
        "hold_back_bytes": 64, "rules": [{ "name": "email", "kinds": ["email"], "action": "redact" }]
    }));
    let exchange = asked(&policy, "/v1/chat/completions");
    let (mut sent, mut got) = (0, 0);
    for _ in 0..100 {
        let (frames, _) = one_batch(&policy, &exchange, &[chunk("abcdefghi")], Ending::Open);
        sent += 9;
        got += text_of(&frames).len();
        assert!(sent - got <= 64 + 9, "{sent} {got}");
    }
    // Just below the bound a match is found, also at once.
    let address = format!("{}@x.org", "a".repeat(58));
    let (first, second) = address.split_at(30);
    let exchange = asked(&policy, "/v1/chat/completions");
    let mut all = Vec::new();
    for text in [" ", first, second, " "] {
        all.extend(one_batch(&policy, &exchange, &[chunk(text)], Ending::Open).0);
    }
    all.extend(one_batch(&policy, &exchange, &[], Ending::Complete).0);
    assert_eq!(text_of(&all), " [email] ");
}

#[test]
fn what_waits_comes_at_the_end_however_it_ends() {
    for ending in [Ending::Complete, Ending::Truncated] {
        let exchange = asked(&emails(), "/v1/chat/completions");
        let (first, _) = one_batch(&emails(), &exchange, &[chunk("Hi a@x"), chunk(".org")], Ending::Open);
        let (last, _) = one_batch(&emails(), &exchange, &[], ending);
        assert_eq!((text_of(&first).as_str(), text_of(&last).as_str()), ("Hi ", "[email]"));
    }
}

#[test]
fn texts_that_come_at_once_do_not_mix() {
    let choice = |index: u32, text: &str| {
        let choice = json!({ "index": index, "delta": { "content": text }, "finish_reason": null });
        Frame::unnamed(json!({ "choices": [choice] }).to_string())
    };
    let sent = [choice(0, "a@x"), choice(1, "b@"), choice(0, "."), choice(1, " y.org"), choice(0, "org")];
    let (got, _) = streamed(&emails(), "/v1/chat/completions", &one_by_one(sent.to_vec()));
    let of = |index: u32| {
        let frames = got.iter().filter(|frame| frame.data.contains(&format!("\"index\":{index}")));
        text_of(&frames.cloned().collect::<Vec<_>>())
    };
    assert_eq!((of(0).as_str(), of(1).as_str()), ("[email]", "b@ y.org"));
}

#[test]
fn likely_words_do_not_tell_what_was_written_over() {
    let token = |text: &str| {
        let probabilities = json!({ "content": [{ "token": text, "logprob": -0.1 }] });
        let choice =
            json!({ "index": 0, "delta": { "content": text }, "logprobs": probabilities, "finish_reason": null });
        Frame::unnamed(json!({ "choices": [choice] }).to_string())
    };
    let sent = ["Hi ", "a@", "x.org", " ok "].map(token);
    let (got, _) = streamed(&emails(), "/v1/chat/completions", &one_by_one(sent.to_vec()));
    let whole: String = got.iter().map(|frame| frame.data.as_str()).collect();
    assert!(!whole.contains("x.org") && !whole.contains("a@"), "{whole}");
    assert!(got.iter().any(|frame| frame.data.contains("\"token\":\"Hi \"")), "{whole}");
    assert_eq!(text_of(&got), "Hi [email] ok ");
}

#[test]
fn thoughts_are_looked_at_where_a_rule_says_so() {
    let event = |delta: Value| {
        let data = json!({ "type": "content_block_delta", "index": 0, "delta": delta });
        Frame::named("content_block_delta", data.to_string())
    };
    let sent = ["a@", "x.org"].map(|text| event(json!({ "type": "thinking_delta", "thinking": text })));
    let check = |parts: Value, expected: bool| {
        let policy = guard(&json!([{ "name": "email", "kinds": ["email"], "action": "redact", "parts": parts }]));
        let (got, _) = streamed(&policy, "/v1/messages", &one_by_one(sent.to_vec()));
        let whole: String = got.iter().map(|frame| frame.data.as_str()).collect();
        assert_eq!(whole.contains("[email]"), expected, "{parts}: {whole}");
    };
    check(json!(["thoughts"]), true);
    check(json!(["text", "calls"]), false);
}

#[test]
fn a_flood_of_texts_that_wait_ends_the_stream() {
    let exchange = asked(&emails(), "/v1/chat/completions");
    let choice = |index: u32| {
        let choice = json!({ "index": index, "delta": { "content": "abc" }, "finish_reason": null });
        Frame::unnamed(json!({ "choices": [choice] }).to_string())
    };
    let few: Vec<Frame> = (0..64).map(choice).collect();
    assert!(!one_batch(&emails(), &exchange, &few, Ending::Open).1);
    let (got, is_ended) = one_batch(&emails(), &exchange, &[choice(64)], Ending::Open);
    assert!(is_ended);
    assert_eq!(read(Dialect::Chat, got).2, "error");
}
