//! The contract keeps its word: policies that were compiled against a released version go on working, and nothing that
//! it says is taken back. `wit/README.md` has the rule; `tests/contract/VERSION` what was released.

mod text;

use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::{Client, Gateway, Origin, Protocol};
use text::Contract;

use crate::languages::check_policy;

fn released() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/0.1.0")
}

/// A policy as it was compiled then.
fn compiled(name: &str) -> Vec<u8> {
    std::fs::read(released().join(format!("{name}.wasm"))).unwrap()
}

#[test]
fn policies_of_0_1_0_do_all_that_they_did() {
    for language in ["rust", "c"] {
        check_policy(language, &compiled(language));
    }
}

#[test]
fn policies_of_0_1_0_still_have_their_powers() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    for name in ["caller", "key-auth"] {
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), compiled(name)).unwrap();
    }
    let limits = "limits: { deadline: 2s }";
    // SHA-256 of `alice-key`.
    let alice = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";
    let config = format!(
        r#"plugins: {{ folder: plugins }}
kv: {{ news: {{}} }}
secrets: {{ token: {{ value: s3cret }} }}
policies:
  caller:
    {{ plugin: caller, grants: {{ http: [origin], secrets: [token], kv: [news], limits: true }}, {limits} }}
  keys:
    plugin: key-auth
    grants: {{ metadata: [auth] }}
    {limits}
    config: {{ from: [{{ header: x-api-key }}], keys: [{{ principal: alice, sha256: [{alice}] }}] }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes:
  - {{ name: calls, match: {{ path: {{ exact: /calls }} }}, policies: [caller], upstream: origin }}
  - {{ name: keys, match: {{ path: {{ exact: /keys }} }}, policies: [keys], upstream: origin }}
"#,
        origin.url()
    );
    let gateway = Gateway::start_in(folder, &config);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let call = "send origin GET /asked secret=authorization:token";
    assert_eq!(client.get("/calls", &[("x-do", call)]).text(), "200 ok");
    assert_eq!(client.get("/keys", &[("x-api-key", "alice-key")]).status, 200);
    assert_eq!(client.get("/keys", &[("x-api-key", "another")]).status, 401);
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A token of these claims that the secret signs (RFC 7515, RFC 7518 §3.2).
fn token(claims: &str) -> String {
    let signed = [r#"{"alg":"HS256","typ":"JWT"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[test]
fn policies_of_0_1_0_still_make_a_chain() {
    let (other, origin) = (Origin::ok(), Origin::ok());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    for name in ["jwt-auth", "keeper", "rate-limit", "tenant-router"] {
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), compiled(name)).unwrap();
    }
    let config = format!(
        r#"plugins: {{ folder: plugins }}
kv: {{ store: {{}} }}
secrets: {{ shared: {{ value: {SECRET} }} }}
verifiers: {{ main: {{ algorithms: [HS256], keys: {{ secret: shared }} }} }}
policies:
  tokens:
    plugin: jwt-auth
    grants: {{ crypto: true, metadata: [auth] }}
    limits: {{ deadline: 2s }}
    config: {{ verifier: main, tenant: org }}
  limit:
    plugin: rate-limit
    grants: {{ limits: true }}
    limits: {{ deadline: 2s }}
    config: {{ by: principal, limits: [{{ requests: 1, per: 1h }}] }}
  tenants:
    plugin: tenant-router
    grants: {{ metadata: [tenant] }}
    limits: {{ deadline: 2s }}
    config: {{ by: tenant, upstreams: {{ acme: origin }} }}
  keeper:
    plugin: keeper
    grants: {{ kv: [store] }}
    limits: {{ deadline: 2s, body_deadline: 2s }}
    config: {{ patch: '[{{"op":"replace","path":"/model","value":"large"}}]' }}
upstreams:
  other: {{ endpoints: [{{ url: {:?} }}] }}
  origin: {{ endpoints: [{{ url: {:?} }}] }}
routes:
  - name: all
    policies: [tokens, limit, tenants, keeper]
    upstream: {{ default: other, choices: [origin] }}
"#,
        other.url(),
        origin.url()
    );
    let gateway = Gateway::start_in(folder, &config);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let mut ask = |token: &str| {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("x-pointer", "/n")];
        client.post("/", &headers, br#"{"n":1.0,"model":"small"}"#)
    };
    let alice = token(r#"{"sub":"alice","org":"acme","exp":4102444800}"#);
    assert_eq!(ask(&format!("{alice}x")).status, 401);
    assert_eq!(ask(&alice).status, 200);
    let recording = origin.take();
    let [request] = recording.requests.as_slice() else { panic!("{recording:?}") };
    assert_eq!(request.values("x-found"), ["1.0"]);
    assert_eq!(String::from_utf8_lossy(&request.body), r#"{"n":1.0,"model":"large"}"#);
    assert_eq!(ask(&alice).status, 429);
    assert_eq!(ask(&token(r#"{"sub":"bob","org":"initech","exp":4102444800}"#)).status, 403);
    assert!(other.take().bytes.is_empty() && origin.take().bytes.is_empty());
}

#[test]
fn nothing_that_0_1_0_says_is_changed_or_taken_back() {
    let now = Contract::read(&released().parent().unwrap().parent().unwrap().parent().unwrap().join("wit"));
    let then = Contract::read(&released().join("wit"));
    assert!(then.said() > 130, "{}", then.said());
    let broken = now.breaks(&then);
    assert!(broken.is_empty(), "policies of 0.1.0 would break (wit/README.md):\n{}", broken.join("\n"));
}

#[test]
fn a_broken_word_is_noticed_and_an_added_one_is_not() {
    let files: Vec<(String, String)> = std::fs::read_dir(released().join("wit"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect();
    let changed = |from: &str, to: &str| {
        let changed: Vec<_> = files.iter().map(|(name, text)| (name.clone(), text.replacen(from, to, 1))).collect();
        assert_ne!(changed, files, "{from:?} is not there");
        Contract::of(&changed).breaks(&Contract::of(&files))
    };
    for (from, to, broken) in [
        ("burst: u32,", "burst: f64,", "limits.rate"),
        ("burst: u32,", "burst: u32, extra: u32,", "limits.rate"),
        ("  now: func() -> f64;\n", "", "clock.now"),
        ("now: func() -> f64;", "now: func() -> u32;", "clock.now"),
        ("  enum level { trace, debug,", "  enum level { debug, trace,", "log.level"),
        ("unknown-bucket,", "unknown-bucket, another,", "limits.limit-error"),
        ("describe: func() -> descriptor;", "describe: func() -> descriptor; more: func();", "lifecycle"),
        ("id: func() -> string;", "id: func(short: bool) -> string;", "types.[method]exchange.id"),
        ("  import clock;\n", "", "world services"),
        ("  export on-log;\n", "", "world metering-policy"),
    ] {
        let found = changed(from, to);
        assert!(found.iter().any(|line| line.contains(broken)), "{from:?} to {to:?}: {found:?}");
    }
    for (from, to) in [
        ("now: func() -> f64;", "now: func() -> f64; zone: func() -> string;"),
        ("id: func() -> string;", "id: func() -> string; age: func() -> f64;"),
        ("world services {", "interface extra { more: func(); } world services { import extra;"),
    ] {
        let found = changed(from, to);
        assert!(found.is_empty(), "{from:?} to {to:?}: {found:?}");
    }
}
