//! What is wrong with settings is said.

use gatewright_sdk::testing;
use prompt_guard::PromptGuard;
use serde_json::{Value, json};

fn problems(settings: Value) -> Vec<(String, String)> {
    let Err(problems) = testing::try_configured::<PromptGuard>(settings) else { return Vec::new() };
    problems.into_iter().map(|problem| (problem.at, problem.message)).collect()
}

#[test]
fn every_fault_is_named_at_its_place() {
    let found = problems(json!({
        "status": 402, "hold_back_bytes": 63,
        "rules": [
            { "name": "A", "action": "deny" },
            { "name": "b", "action": "deny", "patterns": ["(", "a*", "(?=x)", "\\bok\\b"], "replacement": "x" },
            { "name": "b", "action": "redact", "words": ["ok", "--"], "where": [], "replacement": "x".repeat(257) },
            { "name": "c", "action": "flag", "patterns": ["(((a{99}){99}){99})"] },
        ]
    }));
    let places: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
    let expected = [
        "/status",
        "/hold_back_bytes",
        "/rules/0/name",
        "/rules/0",
        "/rules/1/replacement",
        "/rules/1/patterns/0",
        "/rules/1/patterns/1",
        "/rules/1/patterns/2",
        "/rules/2/name",
        "/rules/2",
        "/rules/2/replacement",
        "/rules/2/words/1",
        "/rules/3/patterns/0",
    ];
    assert_eq!(places, expected, "{found:?}");
    assert!(found.iter().all(|(_, message)| !message.is_empty() && !message.contains('\n')), "{found:?}");
}

#[test]
fn bounds_are_kept_and_not_more() {
    let rule = |name: usize| json!({ "name": format!("r{name}"), "action": "flag", "words": ["x"] });
    let rules = |count: usize| (0..count).map(rule).collect::<Vec<_>>();
    for (count, is_good) in [(0, false), (1, true), (256, true), (257, false)] {
        assert_eq!(problems(json!({ "rules": rules(count) })).is_empty(), is_good, "{count}");
    }
    for (bytes, is_good) in [(63, false), (64, true), (16_384, true), (16_385, false)] {
        let settings = json!({ "rules": rules(1), "hold_back_bytes": bytes });
        assert_eq!(problems(settings).is_empty(), is_good, "{bytes}");
    }
    for (bytes, is_good) in [(4096, true), (4097, false)] {
        let settings = json!({ "rules": [{ "name": "r", "action": "flag", "patterns": ["x".repeat(bytes)] }] });
        assert_eq!(problems(settings).is_empty(), is_good, "{bytes}");
    }
}
