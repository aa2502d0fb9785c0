//! Assembles the adapter that gives WASI preview 1 to the modules that import it.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a build says by a panic that it failed, and learns where to write from the environment"
)]

use std::path::Path;

fn main() {
    let source = "src/plugin/preview1.wat";
    println!("cargo::rerun-if-changed={source}");
    let module = wat::parse_file(source).unwrap();
    std::fs::write(Path::new(&std::env::var("OUT_DIR").unwrap()).join("preview1.wasm"), module).unwrap();
}
