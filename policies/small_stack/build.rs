//! Half of the usual stack, for policies in which nothing is nested: with it, their memory is one page.

fn main() {
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rustc-link-arg-cdylib=-zstack-size=16384");
}
