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

/// Every name misspelt and every value of the wrong kind, one at a time.
#[test]
fn hundreds_of_faulty_configurations_are_refused_with_the_line_of_their_fault() {
    // A variable that is not set would be the only fault told.
    let variable = regex::Regex::new(r"\$\{env:[A-Z_]+\}").unwrap();
    let good = &*variable.replace_all(include_str!("fixtures/everything.yaml"), "text");
    let faults = |config: &str| -> std::collections::BTreeSet<String> {
        let (output, text) = check(config);
        assert_eq!(output.status.code(), Some(FAULTY), "{text}");
        assert!(!text.contains("panicked"), "{text}");
        // The folder is another one each time.
        let faults = text.lines().filter_map(|line| line.split_once("gateway.yaml:"));
        faults
            .map(|(_, fault)| fault.to_owned())
            .filter(|fault| fault.starts_with(|first: char| first.is_ascii_digit()))
            .collect()
    };
    let before = faults(good);
    let names = regex::Regex::new(r#"[{ ,\n]([a-z][a-z_]*): "#).unwrap();
    let values = regex::Regex::new(r#"[a-z]: ([A-Za-z0-9"][^,}\]\n#{\[]*)"#).unwrap();
    let misspelt = names.captures_iter(good).map(|found| (found.get(1).unwrap().end(), 0, "_x"));
    let wrong = values.captures_iter(good).map(|found| {
        let value = found.get(1).unwrap();
        (value.start(), value.as_str().trim_end().len(), "[[]]")
    });
    let changes: Vec<(usize, usize, &str)> = misspelt.chain(wrong).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let refused = std::sync::Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((at, length, text)) =
                    changes.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).copied()
                {
                    let (before_it, from) = good.split_at(at);
                    let changed = format!("{before_it}{text}{}", from.split_at(length).1);
                    let is_new = faults(&changed).difference(&before).next().is_some();
                    let mut refused = refused.lock().unwrap();
                    if is_new {
                        refused.0 += 1;
                    } else {
                        refused.1.push(changed.lines().nth(before_it.lines().count() - 1).unwrap().to_owned());
                    }
                }
            });
        }
    });
    let (count, passed) = refused.into_inner().unwrap();
    // What an operator names may have any name.
    println!("{count} of {} refused; the others: {passed:#?}", changes.len());
    assert!(count >= 200, "{count} of {}: {passed:#?}", changes.len());
    // What is in the configuration of a policy is for its plugin to judge, and there is none here.
    let is_policys = |line: &String| line.contains("plugin: ");
    assert!(passed.iter().all(|line| !line.contains("[[]]") || is_policys(line)), "{passed:#?}");
}
