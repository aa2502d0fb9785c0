//! A Python with other people's clients in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::build_folder;

/// A Python with what `requirements.txt` lists, made once under the build's folder.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = build_folder().join("python-sdks");
        let python = folder.join("bin/python");
        let requirements = fixture("requirements.txt");
        let wanted = std::fs::read_to_string(&requirements).unwrap();
        let installed = folder.join("requirements.txt");
        if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            return python;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements));
        // Written last: a folder without it is made anew.
        std::fs::write(installed, wanted).unwrap();
        python
    })
}

/// A file that tests are made with.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Runs a command to its end; what it wrote is shown if it fails.
pub fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install python3 with venv and pip"));
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&text));
}
