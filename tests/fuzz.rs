//! Files that nobody wrote, offered to the loader: generated and mutated modules and components.
//!
//! `GATEWRIGHT_FUZZ` is how many (`make fuzz` sets it), `GATEWRIGHT_FUZZ_SEED` where to begin: file `n` of a run is made
//! of the number `seed + n` alone, which a failure names.

mod input;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::gatewright;
use input::Corpus;

/// In `make test`.
const FILES: u64 = 300;
/// Far above what any of these small files takes, far below what the loader allows.
const LONGEST: Duration = Duration::from_secs(60);

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var_os(name);
    told.map_or(otherwise, |text| {
        text.to_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{name} is no number"))
    })
}

#[test]
fn no_file_harms_the_loader() {
    let files = from_environment("GATEWRIGHT_FUZZ", FILES);
    let seed = from_environment("GATEWRIGHT_FUZZ_SEED", 0);
    let corpus = Corpus::new();
    let next = AtomicU64::new(0);
    let tally = Mutex::new(BTreeMap::<String, u64>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("file.wasm");
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= files {
                        return;
                    }
                    let (kind, bytes) = corpus.file(seed + number);
                    std::fs::write(&file, &bytes).unwrap();
                    let outcome = offer(&file, seed + number);
                    *tally.lock().unwrap().entry(format!("{kind}: {outcome}")).or_default() += 1;
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!("{files} files from {seed}: {tally:#?}");
    // What is offered reaches past the first check: some is run. Not so of the few files of a failure that is looked into.
    if files < FILES {
        return;
    }
    assert!(tally.keys().any(|what| what.ends_with("accepted")), "{tally:#?}");
    assert!(tally.keys().any(|what| what.contains("describe")), "{tally:#?}");
}

/// Has the loader look at a file; a word of what it says of it.
fn offer(file: &std::path::Path, number: u64) -> String {
    let started = Instant::now();
    let output = gatewright().arg("inspect").arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let context = || format!("GATEWRIGHT_FUZZ_SEED={number} GATEWRIGHT_FUZZ=1: {:?}: {said}", output.status);
    assert_eq!(output.status.signal(), None, "{}", context());
    assert!(matches!(output.status.code(), Some(0 | 1)), "{}", context());
    assert!(!said.contains("panicked"), "{}", context());
    // What the loader says where its child is gone without an answer.
    assert!(!said.contains("cannot be compiled within") && !said.contains("took longer"), "{}", context());
    assert!(started.elapsed() < LONGEST, "{:?}: {}", started.elapsed(), context());
    if output.status.success() {
        return "accepted".to_owned();
    }
    let reason =
        said.lines().find_map(|line| line.split("file.wasm: ").nth(1)).unwrap_or_else(|| panic!("{}", context()));
    let words =
        ["describe", "link", "compile", "validate", "make a component", "read the core module", "imports", "exports"];
    (*words.iter().find(|word| reason.contains(*word)).unwrap_or(&"refused")).to_owned()
}
