//! The modules of the host: which way they depend, how long they are, and who alone may do what.

use std::path::{Path, PathBuf};

use super::{files, read, repository, without_tests};

fn host() -> PathBuf {
    repository().join("host/src")
}

/// The modules in the order of `lib.rs`, the highest first.
fn modules() -> Vec<String> {
    let (_, text) = read(&host().join("lib.rs"));
    let names = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let modules: Vec<String> = names.map(str::to_owned).collect();
    assert!(modules.len() > 12, "{modules:?}");
    modules
}

/// The module that a file belongs to; none for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let name = path.strip_prefix(host()).unwrap().components().next().unwrap().as_os_str().to_string_lossy();
    let name = name.trim_end_matches(".rs").to_owned();
    (name != "lib" && name != "main").then_some(name)
}

fn sources() -> Vec<PathBuf> {
    let sources = files(&host(), &[".rs"]);
    assert!(sources.len() > 70, "{}", sources.len());
    sources
}

/// Code without its comments and unit tests.
fn code(text: &str) -> String {
    let lines = without_tests(text).lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows each `crate::`, a group of names one by one.
fn uses(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let name = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
        match rest.strip_prefix('{') {
            Some(group) => {
                let group = group.split('}').next().unwrap_or_default();
                found.extend(group.split(',').map(|item| name(item.trim())).filter(|item| !item.is_empty()));
            }
            None => found.push(name(rest)),
        }
    }
    found
}

#[test]
fn modules_use_only_those_below_them() {
    let modules = modules();
    let place = |name: &str| modules.iter().position(|module| module == name);
    let mut edges = 0;
    for path in sources() {
        let Some(module) = module_of(&path) else { continue };
        let own = place(&module).unwrap_or_else(|| panic!("{module} is not in lib.rs"));
        let (name, text) = read(&path);
        for used in uses(&code(&text)) {
            if let Some(other) = place(&used) {
                edges += 1;
                assert!(other >= own, "{name}: `{module}` uses `{used}`, which is above it in lib.rs");
            }
        }
    }
    assert!(edges > 150, "{edges}");
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let mut sources = sources();
    for folder in ["tests", "policies", "sdk/rust"] {
        sources.extend(files(&repository().join(folder), &[".rs"]));
    }
    assert!(sources.len() > 130, "{}", sources.len());
    for path in sources {
        let (name, text) = read(&path);
        let lines = without_tests(&text).lines().count();
        assert!(lines <= 400, "{name} has {lines} lines: split it by noun");
    }
}

#[test]
fn every_file_says_what_it_is_for() {
    for path in sources() {
        let (name, text) = read(&path);
        assert!(text.starts_with("//! "), "{name} has no `//!` line");
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let banned = ["utils.rs", "helpers.rs", "common.rs", "types.rs", "mod.rs", "misc.rs"];
        assert!(!banned.contains(&file.as_str()), "{name}: name it after a noun");
    }
}

/// Files that contain a word, but for those below the allowed places.
fn outside(word: &str, allowed: &[&str]) -> (usize, Vec<String>) {
    let mut inside = 0;
    let mut outside = Vec::new();
    for path in sources() {
        let name = path.strip_prefix(host()).unwrap().to_string_lossy().into_owned();
        if !code(&read(&path).1).contains(word) {
            continue;
        }
        if allowed.iter().any(|place| name == format!("{place}.rs") || name.starts_with(&format!("{place}/"))) {
            inside += 1;
        } else {
            outside.push(name);
        }
    }
    (inside, outside)
}

#[test]
fn each_power_has_one_home() {
    let rules: [(&str, &[&str]); 8] = [
        // The mock and the operator's address listen for themselves; `run` takes the mock's address.
        ("TcpListener", &["server", "admin", "mock", "cli/run"]),
        ("listener.accept(", &["server", "admin", "mock"]),
        // `status` and `reload` ask a running gateway.
        ("TcpStream::connect", &["upstream", "cli/ask"]),
        ("wasmtime", &["plugin"]),
        ("Framer", &["body", "proxy/body"]),
        ("StatusCode::INTERNAL_SERVER_ERROR", &["error", "admin", "exchange/reply", "grpc", "mock"]),
        ("std::env::", &["main"]),
        ("ClientConfig::builder", &["upstream"]),
    ];
    for (word, allowed) in rules {
        let (inside, outside) = outside(word, allowed);
        assert!(outside.is_empty(), "`{word}` outside of {allowed:?}: {outside:?}");
        assert!(inside > 0, "nobody uses `{word}`: this rule looks for the wrong word");
    }
}

#[test]
fn nothing_waits_by_sleeping_on_the_request_path() {
    for module in ["proxy", "exchange", "body", "route", "upstream", "snapshot"] {
        let (_, outside) = outside("thread::sleep", &[]);
        let found: Vec<_> = outside.iter().filter(|name| name.starts_with(module)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
