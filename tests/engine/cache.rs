//! What was compiled once need not be compiled again, and nothing is loaded that this installation did not compile.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::{Origin, gatewright, guest};

use super::config;
use crate::hostile::folder_with;

/// No compiler can live on this, so what starts with it came from the cache.
const NO_COMPILER: &str = "plugins: { folder: plugins, compiler: { memory: 1MiB } }";

/// Checks a configuration with a cache. Whether it is good, and what was said.
fn check(folder: &Path, cache: &Path, plugins: &str) -> (bool, String) {
    let text = config(&Origin::ok(), "plugin: hostile, grants: { limits: true, crypto: true }");
    let file = folder.join("gateway.yaml");
    let text = text.replace("plugins: { folder: plugins }", plugins);
    std::fs::write(&file, format!("listeners: [{{ address: 127.0.0.1:0 }}]\n{text}")).unwrap();
    let mut command = gatewright();
    let output = command.args(["check", "--cache"]).arg(cache).arg("--config").arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), said)
}

fn entries(cache: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "entry")).collect()
}

#[test]
fn a_warm_start_compiles_nothing() {
    let folder = folder_with("hostile", &guest("hostile"));
    let cache = folder.path().join("cache");
    let (good, said) = check(folder.path(), &cache, NO_COMPILER);
    assert!(!good && said.contains("cannot be compiled within"), "{said}");
    let (good, said) = check(folder.path(), &cache, "plugins: { folder: plugins }");
    assert!(good, "{said}");
    let (good, said) = check(folder.path(), &cache, NO_COMPILER);
    assert!(good, "{said}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(&cache.join("key"))), (0o700, 0o600));
}

#[test]
fn what_was_changed_in_the_cache_is_not_loaded() {
    let folder = folder_with("hostile", &guest("hostile"));
    let cache = folder.path().join("cache");
    assert!(check(folder.path(), &cache, "plugins: { folder: plugins }").0);
    for entry in entries(&cache) {
        let mut bytes = std::fs::read(&entry).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&entry, bytes).unwrap();
    }
    let (good, said) = check(folder.path(), &cache, NO_COMPILER);
    assert!(!good && said.contains("cannot be compiled within"), "{said}");
    assert!(check(folder.path(), &cache, "plugins: { folder: plugins }").0);
    assert!(check(folder.path(), &cache, NO_COMPILER).0);
}

#[test]
fn what_another_installation_compiled_is_not_loaded() {
    let folder = folder_with("hostile", &guest("hostile"));
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    assert!(check(folder.path(), &theirs, "plugins: { folder: plugins }").0);
    std::fs::create_dir(&ours).unwrap();
    for entry in entries(&theirs) {
        std::fs::copy(&entry, ours.join(entry.file_name().unwrap())).unwrap();
    }
    let (good, said) = check(folder.path(), &ours, NO_COMPILER);
    assert!(!good && said.contains("cannot be compiled within"), "{said}");
}
