//! Files that are no plugin, and plugins that are not granted what they use.

use std::process::Output;

use harness::{Gateway, Origin, gatewright, guest};

use super::{folder_with, gateway_to};

/// A configuration with the hostile guest, given how it is used.
fn config_of(policy: &str) -> String {
    format!(
        r#"listeners: [{{ address: "127.0.0.1:0" }}]
plugins: {{ folder: plugins, quarantine: {{ faults: 0 }} }}
policies:
  hostile: {{ plugin: hostile, {policy} }}
upstreams: {{ origin: {{ endpoints: [{{ url: "http://127.0.0.1:1" }}] }} }}
routes: [{{ name: all, policies: [hostile], upstream: origin }}]
"#
    )
}

/// Runs `gatewright check` on the hostile guest, or what stands in its place.
pub(super) fn check(bytes: &[u8], policy: &str) -> (Output, String) {
    let folder = folder_with("hostile", bytes);
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, config_of(policy)).unwrap();
    let output = gatewright().arg("check").arg("--config").arg(&file).output().unwrap();
    let text = String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap();
    (output, text)
}

pub(super) const GRANTED: &str = "grants: { limits: true, crypto: true }";

/// What is no plugin, with a word of the reason.
pub(crate) fn no_plugins() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = guest("hostile");
    let half = whole.get(..whole.len() / 2).unwrap().to_vec();
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let compiled = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 64]].concat();
    let unknown_import = r#"(component (import "elsewhere:thing/power@1.0.0" (instance)))"#;
    let unknown_service = r#"(component (import "gatewright:policy/teleport@0.1.0" (instance)))"#;
    let spinning_start =
        "(component (core module $m (func $s (loop (br 0))) (start $s)) (core instance (instantiate $m)))";
    vec![
        ("a text", b"this is no plugin\n".to_vec(), "not WebAssembly"),
        ("nothing", Vec::new(), "empty"),
        ("half a plugin", half, ""),
        ("a few bytes", b"\0asm\x01\0\0\0\xff\xff\xff\xff".to_vec(), ""),
        ("a version from the future", b"\0asm\x02\0\0\0".to_vec(), "version"),
        ("a core module of something else", wat("(module (func (export \"run\")))"), "exports no phase"),
        ("a core module that wants something else", wat(r#"(module (import "env" "f" (func)))"#), ""),
        ("a component that does nothing", wat("(component)"), "lifecycle"),
        ("a component with an unknown import", wat(unknown_import), "elsewhere:thing/power"),
        ("a component with an unknown service", wat(unknown_service), "teleport"),
        ("a component that spins as it starts", wat(spinning_start), "lifecycle"),
        ("native code", compiled, "not WebAssembly"),
        ("a compiled component", precompiled(), "compiled already"),
    ]
}

/// The head of what wasmtime leaves when it compiles ahead of time.
fn precompiled() -> Vec<u8> {
    // An ELF file for "no" operating system with wasmtime's ABI version and flags for a component.
    let mut head = b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0".to_vec();
    head.extend(1u16.to_le_bytes());
    head.extend(62u16.to_le_bytes());
    head.extend(1u32.to_le_bytes());
    head.extend([0; 24]);
    head.extend(2u32.to_le_bytes());
    head.extend([64, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0]);
    head
}

#[test]
fn a_file_that_is_no_plugin_is_refused_with_its_reason() {
    let cases = no_plugins();
    assert_eq!(cases.len(), 13);
    for (name, bytes, reason) in cases {
        let (output, text) = check(&bytes, GRANTED);
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.contains("hostile") && text.contains(reason), "{name}: {text}");
        assert!(text.contains("gateway.yaml:4:"), "{name}: {text}");
        assert!(!text.contains("panicked"), "{name}: {text}");
    }
}

#[test]
fn a_plugin_as_compiled_ahead_of_time_is_refused_by_inspect_as_well() {
    let folder = folder_with("hostile", &precompiled());
    let output = gatewright().arg("inspect").arg(folder.path().join("plugins/hostile.wasm")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("compiled already"), "{text}");
}

#[test]
fn a_missing_grant_is_refused_and_named() {
    let bytes = guest("hostile");
    for (grants, missing) in [("{}", "limits"), ("{ limits: true }", "crypto"), ("{ crypto: true }", "limits")] {
        let (output, text) = check(&bytes, &format!("grants: {grants}"));
        assert_eq!(output.status.code(), Some(2), "{grants}: {text}");
        assert!(text.contains(&format!("uses {missing}, which is not granted")), "{grants}: {text}");
        assert!(text.contains("gateway.yaml:4:"), "{text}");
    }
    let (output, text) = check(&bytes, GRANTED);
    assert!(output.status.success(), "{text}");
}

#[test]
fn a_bad_file_beside_a_good_one_harms_nobody() {
    let origin = Origin::ok();
    let gateway = gateway_to(&origin, "");
    std::fs::write(gateway.folder().join("plugins/unused.wasm"), "no plugin").unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!(serves(&gateway), 200);
    let status = gateway.admin_get("/status").json();
    let plugins = status["plugins"].as_array().unwrap();
    let unused = plugins.iter().find(|plugin| plugin["name"] == "unused").unwrap();
    assert!(unused["last_error"].as_str().unwrap().contains("not WebAssembly"), "{status}");
}

fn serves(gateway: &Gateway) -> u16 {
    harness::http_get(gateway.address(), "/").status
}
