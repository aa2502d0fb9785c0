//! The providers' own clients complete chats, tool calls and streams through the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::{Gateway, Mock};

/// A Python with the clients in it, made once under the build's folder.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let folder = harness::build_folder().join("python-sdks");
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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Runs a command to its end; what it wrote is shown if it fails.
fn run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install python3 with venv and pip"));
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&text));
}

fn run_script(name: &str, gateway: &Gateway) {
    run(Command::new(python()).arg(fixture(name)).arg(format!("http://{}", gateway.address())));
}

/// A gateway whose upstream holds the key that the mock asks for, and has a chain.
fn gateway_to(mock: &Mock, header: &str, policies: &str, api: &str) -> Gateway {
    Gateway::start(&format!(
        r#"
policies:{policies}
upstreams:
  provider:
    endpoints: [{{ url: "http://{}" }}]
    headers: {{ {header} }}
    policies: [{}]
routes:
  - {{ name: models, upstream: provider, api: {api} }}
"#,
        mock.address,
        if policies.contains("normalize") { "normalize" } else { "" }
    ))
}

const OPENAI: &str =
    "\n  normalize: { plugin: llm-normalize, grants: { metadata: [llm] }, config: { dialect: openai } }";
const ANTHROPIC: &str =
    "\n  normalize: { plugin: llm-normalize, grants: { metadata: [llm] }, config: { dialect: anthropic } }";

#[test]
fn openais_client_works_with_openai() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "authorization: Bearer upstream-key", " {}", "openai"));
}

#[test]
fn openais_client_works_with_openai_through_the_normaliser() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "authorization: Bearer upstream-key", OPENAI, "openai"));
}

#[test]
fn openais_client_works_with_anthropic() {
    let mock = Mock::start(&[]);
    run_script("openai_sdk.py", &gateway_to(&mock, "x-api-key: upstream-key", ANTHROPIC, "openai"));
}

#[test]
fn anthropics_client_works_with_anthropic() {
    let mock = Mock::start(&[]);
    run_script("anthropic_sdk.py", &gateway_to(&mock, "x-api-key: upstream-key", " {}", "anthropic"));
}
