//! More than the usual stack: expressions are compiled, and messages are walked, by functions that call themselves.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rustc-link-arg-cdylib=-zstack-size=131072");
}
