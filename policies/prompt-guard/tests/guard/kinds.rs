//! What each ready-made kind finds, and what it leaves.

use serde_json::json;

use crate::rig::{guard, parsed, passed};

fn check(kind: &str, text: &str, expected: &str) {
    let policy = guard(&json!([{ "name": "x", "kinds": [kind], "action": "redact", "replacement": "#" }]));
    let body = json!({ "messages": [{ "role": "user", "content": text }] }).to_string();
    let body = parsed(&passed(&policy, "/v1/chat/completions", &body));
    assert_eq!(body["messages"][0]["content"], expected, "{kind}: {text}");
}

#[test]
fn addresses_are_found() {
    check("email", "to alice.o'neil+x@mail.example.com, and jürgen@münchen.de.", "to #, and #.");
    check("email", "alice\u{200b}@exam\u{ad}ple.com and ａｌｉｃｅ＠example.com", "# and #");
    check("email", "not @alice, nor a@b, nor a@b.c", "not @alice, nor a@b, nor a@b.c");
    check("ipv4", "at 10.0.0.1, 255.255.255.255.", "at #, #.");
    check("ipv4", "1.2.3.4.5 256.1.1.1 v1.2.3 x1.2.3.4", "1.2.3.4.5 256.1.1.1 v1.2.3 x1.2.3.4");
    check("phone", "+49 (30) 1234-5678 or 0044 20 7946 0958 or (212) 555-0123", "# or # or #");
    check("phone", "in 2024 we sold 1234567 for 12.50", "in 2024 we sold 1234567 for 12.50");
}

#[test]
fn numbers_are_found_where_their_check_digits_fit() {
    check("credit-card", "4111 1111 1111 1111, 4111-1111-1111-1111 and 378282246310005.", "#, # and #.");
    check("credit-card", "4111111111111112 and 4111 1111 1111 1112", "4111111111111112 and 4111 1111 1111 1112");
    check("credit-card", "order 12 4111 1111 1111 1111 7 left", "order 12 # 7 left");
    check("credit-card", "94111111111111111 411111111111111a", "94111111111111111 411111111111111a");
    check("iban", "DE89 3704 0044 0532 0130 00 is mine, gb29nwbk60161331926819 yours", "# is mine, # yours");
    check("iban", "DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01");
}

#[test]
fn secrets_are_found() {
    check("api-key", "use sk-proj-abcdefghij0123456789_-x!", "use #!");
    check("api-key", "AKIAIOSFODNN7EXAMPLE and ghp_abcdefghijklmnopqrstuvwxyz0123456789", "# and #");
    check("api-key", "task-abcdefghij0123456789abc and sk-short", "task-abcdefghij0123456789abc and sk-short");
    let key = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAB-C\n-----END RSA PRIVATE KEY-----";
    check("private-key", &format!("a {key} b {key}"), "a # b #");
    check("private-key", "a -----BEGIN PRIVATE KEY-----\nABC", "a #");
    check("private-key", "-----BEGIN PUBLIC KEY-----\nABC", "-----BEGIN PUBLIC KEY-----\nABC");
}
