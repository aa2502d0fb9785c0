//! The services that a policy is granted, driven by guests that do as they are told.

mod body;
mod http;
mod kv;
mod schedule;

use harness::guest;
use tempfile::TempDir;

/// A folder whose drop folder holds guests.
fn folder_with(guests: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    for name in guests {
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), guest(name)).unwrap();
    }
    folder
}
