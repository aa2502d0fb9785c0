//! What the policies' pages promise.

use std::collections::BTreeSet;
use std::path::PathBuf;

use harness::{Gateway, gatewright};
use serde_yaml_ng::{Mapping, Value};

use super::repository;
use super::tokens::Signer;

const HEADINGS: [&str; 6] =
    ["## What it does", "## When it runs", "## Settings", "## Example policy", "## Try it", "## Limits"];

/// Name and page of every policy that ships.
fn pages() -> Vec<(String, String)> {
    let folder = repository().join("policies");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_policy = |path: &PathBuf| {
        // What is no component is a library that policies share.
        std::fs::read_to_string(path.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("cdylib"))
    };
    let policies: BTreeSet<PathBuf> = entries.filter(is_policy).collect();
    let page = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path.join("README.md")).unwrap_or_default())
    };
    let pages: Vec<_> = policies.into_iter().map(page).collect();
    assert!(pages.len() >= 5, "{pages:?}");
    pages
}

#[test]
fn every_policy_has_a_page_with_the_same_headings() {
    for (name, page) in pages() {
        let found: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, HEADINGS, "policies/{name}/README.md");
        assert!(page.starts_with(&format!("# {name}\n")), "policies/{name}/README.md");
    }
}

#[test]
fn every_policy_is_built_and_says_what_it_is() {
    for (name, _) in pages() {
        let file = Gateway::plugins().join(format!("{name}.wasm"));
        let output = gatewright().args(["inspect", "--format", "json"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["name"], name.as_str());
        assert!(said["phases"].as_array().is_some_and(|phases| !phases.is_empty()), "{said}");
        jsonschema::meta::validate(&said["config_schema"]).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn every_example_is_a_configuration_that_passes() {
    for (name, page) in pages() {
        let (_, rest) = page.split_once("## Example policy").unwrap();
        let (_, rest) = rest.split_once("```yaml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let keys = serde_json::json!({ "keys": [Signer::rsa().jwk("1")] });
        std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
        let text = whole(example);
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, &text).unwrap();
        let mut command = gatewright();
        let output = command.arg("check").arg("--config").arg(&file).env("ANTHROPIC_API_KEY", "k").output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "policies/{name}/README.md:\n{said}\n{text}");
    }
}

/// The example with what it leaves to the rest of the configuration: a listener, upstreams, and a route that uses it.
fn whole(example: &str) -> String {
    let mut config: Mapping = serde_yaml_ng::from_str(example).unwrap();
    let names: Vec<Value> = config["policies"].as_mapping().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 1, "{example}");
    let from = |text: &str| serde_yaml_ng::from_str::<Value>(text).unwrap();
    let plugins = Gateway::plugins();
    config.insert("listeners".into(), from("[{ address: \"127.0.0.1:0\" }]"));
    config.insert("plugins".into(), from(&format!("{{ folder: {plugins:?} }}")));
    let upstreams = config.entry("upstreams".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
    let is_used = upstreams.as_mapping().unwrap().values().any(|upstream| upstream.get("policies").is_some());
    let upstreams = upstreams.as_mapping_mut().unwrap();
    for name in ["openai-eu", "openai-us"] {
        upstreams.insert(name.into(), from("{ endpoints: [{ url: \"http://127.0.0.1:1\" }] }"));
    }
    let choices: Vec<Value> = upstreams.keys().cloned().collect();
    let mut route = from("{ name: all, upstream: { default: openai-eu } }");
    route["upstream"]["choices"] = Value::Sequence(choices);
    if !is_used {
        route["policies"] = Value::Sequence(names);
    }
    config.insert("routes".into(), Value::Sequence(vec![route]));
    serde_yaml_ng::to_string(&config).unwrap()
}
