//! Rules that no compiler checks: who may use what, how long a file may be, what must be documented.

mod contract;
mod locks;
mod modules;

use std::path::{Path, PathBuf};

/// The repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// What is made, not written.
const MADE: [&str; 6] = ["target", ".git", ".venv", "node_modules", "__pycache__", "plugins"];

/// Every file below a folder, with one of these endings, that somebody wrote.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if !MADE.contains(&name.as_str()) {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file from the repository on, and its text.
fn read(path: &Path) -> (String, String) {
    let name = path.strip_prefix(repository()).unwrap().to_string_lossy().into_owned();
    (name, std::fs::read_to_string(path).unwrap())
}

/// Code before the unit tests at the end of a file.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
}

/// Folders of a machine that no file may name.
fn folders_of_a_machine() -> Vec<String> {
    let mut folders = vec![repository().to_string_lossy().into_owned()];
    folders.extend(["home", "root", "Users"].map(|folder| format!("/{folder}/")));
    folders
}

/// Hosts that packages come from: the public ones, and those that this machine's cargo has been to.
fn registries() -> Vec<String> {
    let mut hosts: Vec<String> = [("crates", "io"), ("npmjs", "org"), ("pythonhosted", "org"), ("golang", "org")]
        .iter()
        .zip(["index", "registry", "files", "proxy"])
        .map(|((domain, end), host)| format!("{host}.{domain}.{end}"))
        .collect();
    let home = std::env::home_dir().map(|home| home.join(".cargo"));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or(home);
    let folders = home.and_then(|home| std::fs::read_dir(home.join("registry/src")).ok());
    for folder in folders.into_iter().flatten() {
        let name = folder.unwrap().file_name().to_string_lossy().into_owned();
        // A folder is named `HOST-HASH`.
        hosts.extend(name.rsplit_once('-').map(|(host, _)| host.to_owned()));
    }
    hosts
}

/// Looks into files for words that none of them may hold.
fn check_for(forbidden: &[String], files: &[PathBuf]) {
    for path in files {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        for word in forbidden {
            assert!(!text.contains(word.as_str()), "{} names {word}", path.display());
        }
    }
}

/// What is read by people, and what decides which packages come from where.
const TEXTS: [&str; 17] = [
    ".rs", ".md", ".toml", ".yaml", ".yml", ".sh", ".wit", ".py", ".js", ".mjs", ".json", ".c", ".go", ".txt", ".lock",
    "Makefile", "run",
];

#[test]
fn no_file_names_a_path_of_a_machine_or_a_registry() {
    let files = files(&repository(), &TEXTS);
    assert!(files.len() > 150, "{}", files.len());
    check_for(&[folders_of_a_machine(), registries()].concat(), &files);
}

/// A panic's message names a folder of the build, unless that was taken out.
#[test]
fn no_compiled_policy_names_a_path_of_a_machine_or_a_registry() {
    let kept = files(&repository().join("tests/contract"), &[".wasm"]);
    assert!(kept.len() >= 8, "{kept:?}");
    let forbidden = [folders_of_a_machine(), registries()].concat();
    check_for(&forbidden, &kept);
    for name in ["caller", "conformance", "hostile", "keeper", "stamp"] {
        let text = String::from_utf8_lossy(&harness::guest(name)).into_owned();
        assert!(text.contains("crates/"), "{name} names no crate at all: there is nothing to look into");
        for word in &forbidden {
            assert!(!text.contains(word.as_str()), "{name} names {word}");
        }
    }
}

#[test]
fn every_deed_of_the_hostile_guest_is_done_in_a_test() {
    let guest = repository().join("tests/guests/hostile/src");
    let tests: String = ["tests/hostile", "tests/engine"]
        .iter()
        .flat_map(|folder| files(&repository().join(folder), &[".rs"]))
        .chain([repository().join("tests/hostile.rs")])
        .map(|path| read(&path).1)
        .collect();
    let mut deeds = 0;
    for path in files(&guest, &[".rs"]) {
        for line in read(&path).1.lines() {
            let arm = line.trim_start().trim_start_matches("Some(").strip_prefix('"');
            let Some((deed, rest)) = arm.and_then(|arm| arm.split_once('"')) else { continue };
            if rest.trim_start_matches(')').starts_with(" =>") {
                deeds += 1;
                let told = ["\"{}\"", "/{}\"", "load: {} "].map(|form| form.replace("{}", deed));
                assert!(told.iter().any(|told| tests.contains(told)), "no test tells the guest to do {deed:?}");
            }
        }
    }
    assert!(deeds > 40, "{deeds}");
}

#[test]
fn shell_scripts_stop_at_the_first_failure() {
    let scripts = files(&repository(), &["build.sh"]);
    assert!(scripts.len() >= 2, "{scripts:?}");
    for path in scripts {
        let (name, text) = read(&path);
        assert!(text.contains("set -euo pipefail"), "{name}");
    }
}
