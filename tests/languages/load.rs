//! Settings that are refused, and what the gateway sees in a file.

use harness::gatewright;

use super::{check, config, folder_with, policies};

#[test]
fn every_language_refuses_settings_in_the_same_words() {
    let config = config("http://127.0.0.1:1");
    let line = config.lines().find(|line| line.contains("plugin: conformance")).unwrap();
    let silent = line.replace("  conformance:", "  silent:").replace("hello", "''");
    let stubborn = line.replace("  conformance:", "  stubborn:").replace("hello", "refuse");
    let config = config.replace(line, &format!("{line}\n{silent}\n{stubborn}"));
    for (language, policy) in policies() {
        let (output, text) = check(&folder_with(&policy, &config));
        assert_eq!(output.status.code(), Some(2), "{language}: {text}");
        for (line, reason) in [(6, "is empty: write a word"), (7, "told to refuse its settings")] {
            let says = |said: &&str| said.contains(&format!("gateway.yaml:{line}:")) && said.contains(reason);
            assert!(text.lines().any(|said| says(&said)), "{language}: {text}");
        }
        assert!(!text.contains("gateway.yaml:5:"), "{language}: {text}");
    }
}

#[test]
fn every_language_has_the_same_phases_and_powers_and_needs_no_wasi() {
    for (language, policy) in policies() {
        let folder = tempfile::tempdir().unwrap();
        let plugin = folder.path().join("conformance.wasm");
        std::fs::write(&plugin, policy).unwrap();
        let output = gatewright().args(["inspect", "--format", "json"]).arg(&plugin).output().unwrap();
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut powers: Vec<_> = seen["powers"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
        powers.sort_unstable();
        assert_eq!(powers, ["clock", "limits", "log"], "{language}");
        assert_eq!(seen["phases"].as_array().unwrap().len(), 6, "{language}");
        assert_eq!(seen["wasi"], false, "{language}");
        assert_eq!(seen["config_schema"]["properties"]["greeting"]["type"], "string", "{language}");
    }
}
