//! A folder of Node.js packages with other people's clients in it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::build_folder;
use crate::python::{fixture, run};

/// A command that runs a script of `tests/fixtures` with what `package.json` there lists, which is installed once under
/// the build's folder. None, and a loud word, where there is no npm; in CI that fails.
///
/// # Panics
/// Where the packages cannot be installed.
#[expect(clippy::print_stderr, reason = "what is left out is said where the test's result is read")]
pub fn node(script: &str) -> Option<Command> {
    static MODULES: OnceLock<Option<PathBuf>> = OnceLock::new();
    let modules = MODULES.get_or_init(modules);
    if modules.is_none() {
        assert!(std::env::var_os("CI").is_none(), "npm is not there: install nodejs and npm");
        eprintln!("\n*** NOT TESTED: {script} needs nodejs and npm\n");
    }
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules.as_ref()?).arg(fixture(script));
    Some(command)
}

fn modules() -> Option<PathBuf> {
    Command::new("npm").arg("--version").output().ok()?;
    let folder = build_folder().join("node-sdks");
    let modules = folder.join("node_modules");
    let wanted = std::fs::read_to_string(fixture("package.json")).unwrap();
    let installed = folder.join("installed.json");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Some(modules);
    }
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("package.json"), &wanted).unwrap();
    let quiet = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
    run(Command::new("npm").arg("install").arg("--prefix").arg(&folder).args(quiet));
    // Written last: a folder without it is made anew.
    std::fs::write(installed, wanted).unwrap();
    Some(modules)
}
