//! The policies in other languages, built once from `policies/examples`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::guests::{build_folder, newest};

/// The bytes of a language's compiled policy. Builds it if it is absent or older than its sources; `None`, loudly, where
/// the language's own tools are missing, which fails under `CI`.
#[must_use]
pub fn example(language: &str) -> Option<Vec<u8>> {
    static BUILT: Mutex<BTreeMap<String, Option<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap();
    let file = built.entry(language.to_owned()).or_insert_with(|| build(language));
    file.as_ref().map(|file| std::fs::read(file).unwrap())
}

#[expect(clippy::print_stderr, reason = "what is left out is said where the test's result is read")]
fn build(language: &str) -> Option<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = build_folder().join("examples");
    let file = folder.join(format!("{language}.wasm"));
    let examples = repository.join("policies/examples");
    // `javascript-wasi` is another build of what is in `javascript`.
    let source = examples.join(language.split('-').next().unwrap());
    let sources = [source, examples.join("wit"), examples.join("build.sh"), repository.join("wit")];
    let newest = sources.iter().map(|source| newest(source)).max().unwrap();
    if std::fs::metadata(&file).and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified >= newest) {
        return Some(file);
    }
    let output =
        Command::new("bash").arg(examples.join("build.sh")).arg("--out").arg(&folder).arg(language).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && std::env::var_os("CI").is_none() {
        eprintln!("\n*** NOT TESTED: the policy in {language} cannot be built here: {}\n", text.trim_end());
        return None;
    }
    assert!(output.status.success(), "the policy in {language} cannot be built:\n{text}");
    Some(file)
}
