//! What the commands `check` and `schema` say of a configuration.

use std::path::Path;
use std::process::Output;

use harness::gatewright;
use serde_json::Value;

/// Runs `gatewright check` on a configuration beside an empty drop folder.
fn check(config: &str) -> (Output, String) {
    check_in(tempfile::tempdir().unwrap().path(), config)
}

/// As `check`, in a folder that already holds what the configuration names.
pub(crate) fn check_in(folder: &Path, config: &str) -> (Output, String) {
    std::fs::create_dir(folder.join("plugins")).unwrap();
    let file = folder.join("gateway.yaml");
    std::fs::write(&file, config).unwrap();
    let output = gatewright().arg("check").arg("--config").arg(&file).output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8(text).unwrap();
    (output, text)
}

/// The exit code of a command that found faults.
const FAULTY: i32 = 2;

const GOOD: &str = r#"listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  api: { endpoints: [{ url: "http://127.0.0.1:1" }] }
routes:
  - { name: all, upstream: api }
"#;

#[test]
fn a_good_configuration_passes() {
    let (output, text) = check(GOOD);
    assert!(output.status.success(), "{text}");
}

#[test]
fn every_fault_is_reported_with_its_line() {
    let (output, text) = check(
        r#"listeners: [{ address: "127.0.0.1:0" }]
upstreams:
  api: { endpoints: [{ url: "ftp://127.0.0.1:1" }] }
  none: { endpoints: [{ url: "http://127.0.0.1:1/path" }] }
routes:
  - { name: one, upstream: apu }
  - { name: one, upstream: api }
  - { name: two, upstream: api, policies: [missing] }
"#,
    );
    assert_eq!(output.status.code(), Some(FAULTY), "{text}");
    for line in [3, 4, 6, 7, 8] {
        assert!(text.contains(&format!("gateway.yaml:{line}:")), "nothing on line {line} in:\n{text}");
    }
    assert!(text.contains("\"apu\"") && text.contains("\"api\""), "{text}");
}

#[test]
fn every_misfit_of_the_schema_is_reported_with_its_line() {
    let (output, text) = check(
        r#"listeners: [{ address: "127.0.0.1:0" }]
timeouts: { headers: 10 }
bounds: { headers: 0 }
upstreams:
  api: { endpoints: [{ uri: "http://127.0.0.1:1" }] }
rotues: []
routes: [{ name: all, upstream: api, body: 10 MB }]
"#,
    );
    assert_eq!(output.status.code(), Some(FAULTY), "{text}");
    for line in [2, 3, 5, 6, 7] {
        assert!(text.contains(&format!("gateway.yaml:{line}:")), "nothing on line {line} in:\n{text}");
    }
    assert!(text.contains("did you mean \"routes\"?") && text.contains("did you mean \"url\"?"), "{text}");
}

#[test]
fn a_route_that_could_not_do_what_it_says_is_refused() {
    let routes = [
        "{ name: none }",
        "{ name: two, upstream: api, respond: { status: 200 } }",
        "{ name: status, redirect: { status: 304 } }",
        "{ name: no-prefix, redirect: { prefix: /x } }",
        "{ name: both, match: { path: { prefix: /a } }, redirect: { prefix: /x, path: /y } }",
        "{ name: host, redirect: { host: \"b.test:81\" } }",
        "{ name: own, respond: { status: 200, headers: { content-length: \"5\" } } }",
        "{ name: body, respond: { status: 204, body: x } }",
        "{ name: dots, upstream: api, rewrite: { path: /a/../b } }",
        "{ name: query, upstream: api, rewrite: { path: \"/a?b\" } }",
        "{ name: group, upstream: api, rewrite: { regex: { pattern: \"/(a)\", substitution: /$2 } } }",
        "{ name: regex, upstream: api, match: { path: { regex: \"/(\" } } }",
        "{ name: zero, upstream: { split: [{ upstream: api, weight: 0 }] } }",
        "{ name: twice, upstream: { split: [{ upstream: api, weight: 1 }, { upstream: api, weight: 1 }] } }",
        "{ name: shadow, upstream: api, mirror: { upstream: nobody } }",
        "{ name: unread, respond: { status: 200 }, mirror: { upstream: api } }",
    ];
    for route in routes {
        let (output, text) = check(&GOOD.replace("{ name: all, upstream: api }", route));
        assert_eq!(output.status.code(), Some(FAULTY), "{route}:\n{text}");
        assert!(text.contains("gateway.yaml:5:"), "{route}:\n{text}");
    }
}

#[test]
fn a_secret_is_never_repeated_in_a_fault() {
    let (output, text) = check(&format!("{GOOD}timeouts: {{ headers: \"hunter2-hunter2\" }}\n"));
    assert_eq!(output.status.code(), Some(FAULTY), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    let output = gatewright().args(["check", "--config", "no-such-file.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(FAULTY));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-file.yaml"), "{output:?}");
}

#[test]
fn the_schema_accepts_what_is_good_and_nothing_unknown() {
    let output = gatewright().arg("schema").output().unwrap();
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema.get("$schema").and_then(Value::as_str), Some("https://json-schema.org/draft/2020-12/schema"));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let parse = |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap();
    let example = include_str!("fixtures/everything.yaml");
    for good in [GOOD, example] {
        let faults: Vec<String> = validator.iter_errors(&parse(good)).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
    }
    assert!(!validator.is_valid(&parse("rotues: []")));
}
