//! The plugins that misbehave, built once from `tests/guests`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The bytes of a guest's compiled file. Builds the guests if they are absent or older than their sources.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let file = FOLDER.get_or_init(built).join(format!("{name}.wasm"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// As `guest`, with `from` written over by as many bytes: another version of the same plugin without another build.
#[must_use]
pub fn guest_with(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "{from:?} and {to:?}");
    let mut bytes = guest(name);
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from.as_bytes())
        .map(|(place, _)| place)
        .collect();
    let [place] = places.as_slice() else { panic!("{from:?} is {} times in {name}", places.len()) };
    bytes.splice(*place..place + to.len(), to.bytes());
    bytes
}

/// A guest compiled for WASI 0.2; `None`, loudly, where the toolchain has no `wasm32-wasip2`.
#[must_use]
#[expect(clippy::print_stderr, reason = "what is left out is said where the test's result is read")]
pub fn guest_for_wasi(name: &str) -> Option<Vec<u8>> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap().stdout;
    let sysroot = PathBuf::from(String::from_utf8(sysroot).unwrap().trim());
    if !sysroot.join("lib/rustlib/wasm32-wasip2/lib").is_dir() {
        eprintln!("\n*** NOT TESTED: Rust for WASI 0.2: `rustup target add wasm32-wasip2`\n");
        return None;
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = build_folder().join("wasm");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--package", name]);
    command.current_dir(repository.join("tests/guests")).env("CARGO_TARGET_DIR", &target);
    run_for_wasm(command);
    Some(std::fs::read(target.join(format!("wasm32-wasip2/release/{name}.wasm"))).unwrap())
}

/// Runs a build whose flags are not those of this one.
fn run_for_wasm(mut command: Command) {
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "guests cannot be built:\n{}", String::from_utf8_lossy(&output.stderr));
}

fn built() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = build_folder();
    let folder = target.join("guests");
    let sources = ["tests/guests", "sdk/rust/src", "sdk/rust/toolchain.sh", "wit"];
    let newest = sources.iter().map(|source| newest(&repository.join(source))).max().unwrap();
    let is_fresh = |name: &str| {
        let modified = std::fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified >= newest)
    };
    if ["caller.wasm", "conformance.wasm", "hostile.wasm", "keeper.wasm", "service.wasm", "stamp.wasm"]
        .into_iter()
        .all(is_fresh)
    {
        return folder;
    }
    let script = repository.join("tests/guests/build.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg("--out").arg(&folder).env("CARGO_TARGET_DIR", target.join("wasm"));
    run_for_wasm(command);
    folder
}

/// The folder of this build: tests are two levels down in it, in `release/deps`, and benchmarks one.
#[must_use]
pub fn build_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let levels = if program.parent().is_some_and(|folder| folder.ends_with("deps")) { 3 } else { 2 };
    program.ancestors().nth(levels).unwrap().to_path_buf()
}

/// When a file, or the newest below a folder, was changed.
pub(crate) fn newest(path: &Path) -> SystemTime {
    if !path.is_dir() {
        return std::fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap();
    }
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let kept = entries.filter(|entry| entry.file_name() != "target").map(|entry| newest(&entry.path()));
    kept.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
