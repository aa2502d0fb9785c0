//! The versions that are locked: none below its floor, and one engine.

use super::{files, read, repository};

/// The parts of a version that order it.
type Version = (u64, u64, u64);

fn version(text: &str) -> Version {
    let plain = text.split(['+', '-']).next().unwrap_or_default();
    let mut parts = plain.split('.').map(|part| part.parse().unwrap_or_else(|_| panic!("{text:?} is no version")));
    let mut next = || parts.next().unwrap_or_default();
    (next(), next(), next())
}

/// Name and version of each package in a lock.
fn packages(lock: &str) -> Vec<(String, Version)> {
    let value = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{name} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]").skip(1);
    blocks.map(|block| (value(block, "name").unwrap(), version(&value(block, "version").unwrap()))).collect()
}

/// The floors of `.deny.toml`.
fn floors() -> Vec<(String, Version)> {
    let (_, text) = read(&repository().join(".deny.toml"));
    let rules = text.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split('"').next());
    let floors: Vec<_> =
        rules.filter_map(|rule| rule.split_once("@<")).map(|(name, floor)| (name.to_owned(), version(floor))).collect();
    assert!(floors.len() > 8, "{floors:?}");
    floors
}

#[test]
fn no_locked_version_is_below_its_floor() {
    let locks = files(&repository(), &["Cargo.lock"]);
    assert!(locks.len() >= 3, "{locks:?}");
    let (floors, mut held) = (floors(), 0);
    for path in locks {
        let (lock, text) = read(&path);
        for (name, locked) in packages(&text) {
            for (_, floor) in floors.iter().filter(|(other, _)| *other == name) {
                held += 1;
                assert!(locked >= *floor, "{lock}: {name} {locked:?} is below {floor:?}");
            }
        }
    }
    assert!(held >= 8, "{held}");
}

#[test]
fn there_is_one_engine() {
    let (_, text) = read(&repository().join("Cargo.lock"));
    let packages = packages(&text);
    assert!(packages.len() > 200, "{}", packages.len());
    for name in ["wasmtime", "hyper", "h2", "rustls", "tokio", "aws-lc-rs"] {
        let count = packages.iter().filter(|(other, _)| other == name).count();
        assert_eq!(count, 1, "{name}");
    }
}
