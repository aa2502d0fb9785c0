//! Tokens: every algorithm, every way to be wrong, and keys that change.

use harness::{Client, Gateway, Origin, Protocol, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tokens::{Signer, at, encode};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn claims() -> Value {
    json!({
        "sub": "alice", "iss": "https://issuer.test", "aud": ["other", "api"], "exp": at(600), "nbf": at(-600),
        "org": "acme", "scope": "chat read", "roles": ["user"]
    })
}

/// The configuration; `verifier` says where the keys come from and which algorithms are allowed.
fn config(origin: &Origin, verifier: &str) -> String {
    format!(
        r#"verifiers:
  main: {{ {verifier}, issuer: "https://issuer.test", audiences: [api], leeway: 5s }}
secrets: {{ shared: {{ value: {SECRET} }} }}
policies:
  tokens:
    plugin: jwt-auth
    grants: {{ crypto: true, metadata: [auth] }}
    limits: {{ deadline: 2s }}
    config: {{ verifier: main, tenant: org, scopes: [chat], headers: {{ x-user: sub }} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [tokens], upstream: origin }}]
"#,
        origin.url()
    )
}

fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn folder_with(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn ask(client: &mut Client, token: &str) -> (u16, Option<String>) {
    let reply = client.get("/v1", &[("authorization", &format!("Bearer {token}"))]);
    let challenge = reply.header("www-authenticate").unwrap_or_default();
    assert!(reply.status != 401 || challenge.starts_with("Bearer"), "{reply:?}");
    (reply.status, reply.reason().map(str::to_owned))
}

fn invalid() -> (u16, Option<String>) {
    (401, Some("invalid-token".to_owned()))
}

#[test]
fn a_token_of_each_algorithm_passes_and_goes_no_further() {
    let origin = Origin::ok();
    let (rsa, ec, ed) = (Signer::rsa(), Signer::ec(), Signer::ed());
    let keys = key_set(&[rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")]);
    let verifier = "algorithms: [RS256, PS256, ES256, EdDSA], keys: { jwks_file: keys.json }";
    let gateway = Gateway::start_in(folder_with("keys.json", &keys), &config(&origin, verifier));
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (signer, algorithm, key) in
            [(&rsa, "RS256", "r"), (&rsa, "PS256", "r"), (&ec, "ES256", "e"), (&ed, "EdDSA", "d")]
        {
            let token = signer.token(algorithm, key, &claims());
            assert_eq!(ask(&mut client, &token), (200, None), "{algorithm}");
            let recording = origin.take();
            let [request] = recording.requests.as_slice() else { panic!("{algorithm}: {recording:?}") };
            assert_eq!(request.values("x-user"), ["alice"]);
            assert!(!String::from_utf8_lossy(&recording.bytes).contains(&token), "{algorithm}");
        }
    }
    let line = gateway.access_line("the principal", |line| line["principal"] == "alice");
    assert_eq!(line["tenant"], "acme");
}

#[test]
fn a_shared_secret_verifies_its_own_tokens() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&config(&origin, "algorithms: [HS256], keys: { secret: shared }"));
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let signer = Signer::Secret(SECRET.into());
    assert_eq!(ask(&mut client, &signer.token("HS256", "", &claims())).0, 200);
    let other = Signer::Secret(b"another secret of thirty-two bytes".to_vec());
    assert_eq!(ask(&mut client, &other.token("HS256", "", &claims())), invalid());
}

/// Tokens that must not pass, each with what is wrong with it.
fn forged(rsa: &Signer, stranger: &Signer) -> Vec<(&'static str, String)> {
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let good = rsa.token("RS256", "r", &claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = head.split_once('.').unwrap();
    let pem = Signer::Secret(rsa.pem().into_bytes());
    let unsigned = |alg: &str| format!("{}.{body}.", encode(json!({ "alg": alg, "kid": "r" }).to_string()));
    let other_body = encode(with("sub", json!("root")).to_string());
    vec![
        ("another's signature", stranger.token("RS256", "r", &claims())),
        ("no signature", unsigned("none")),
        ("no signature, in capitals", unsigned("NONE")),
        ("an empty signature", format!("{head}.")),
        ("the public key as a secret", pem.token("HS256", "r", &claims())),
        ("an algorithm that is not allowed", rsa.token("PS256", "r", &claims())),
        ("an unknown key", rsa.token("RS256", "nobody", &claims())),
        ("an algorithm of another kind of key", Signer::ec().token("ES256", "r", &claims())),
        ("other claims under the same signature", format!("{header}.{other_body}.{signature}")),
        ("a token that expired", rsa.token("RS256", "r", &with("exp", json!(at(-60))))),
        ("a token without an end", rsa.token("RS256", "r", &without("exp"))),
        ("an end that is no number", rsa.token("RS256", "r", &with("exp", json!("tomorrow")))),
        ("a token from the future", rsa.token("RS256", "r", &with("nbf", json!(at(60))))),
        ("another issuer", rsa.token("RS256", "r", &with("iss", json!("https://issuer.test/")))),
        ("no issuer", rsa.token("RS256", "r", &without("iss"))),
        ("another audience", rsa.token("RS256", "r", &with("aud", json!(["apis"])))),
        ("no audience", rsa.token("RS256", "r", &without("aud"))),
        ("a subject that is no text", rsa.token("RS256", "r", &with("sub", json!(7)))),
        ("no subject", rsa.token("RS256", "r", &without("sub"))),
        ("an unknown extension", rsa.token_with(&json!({ "alg": "RS256", "kid": "r", "crit": ["x"] }), &claims())),
        (
            "a key of its own",
            rsa.token_with(&json!({ "alg": "RS256", "kid": "s", "jwk": stranger.jwk("s") }), &claims()),
        ),
        ("too long a token", rsa.token("RS256", "r", &with("filler", json!("x".repeat(17 << 10))))),
        ("no token at all", "nonsense".to_owned()),
        ("two dots", "..".to_owned()),
        ("an encrypted token", format!("{head}.{signature}.a.b")),
    ]
}

#[test]
fn a_forged_or_outdated_token_never_reaches_the_upstream() {
    let origin = Origin::ok();
    let (rsa, stranger) = (Signer::rsa(), Signer::rsa());
    let folder = folder_with("keys.json", &key_set(&[rsa.jwk("r")]));
    std::fs::write(folder.path().join("key.pem"), rsa.pem()).unwrap();
    let verifier = "algorithms: [RS256], keys: { jwks_file: keys.json }";
    let gateway = Gateway::start_in(folder, &config(&origin, verifier));
    let cases = forged(&rsa, &stranger);
    assert!(cases.len() >= 25);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (name, token) in &cases {
            assert_eq!(ask(&mut client, token), invalid(), "{name} over {protocol:?}");
            assert!(origin.take().bytes.is_empty(), "{name}");
        }
        let mut narrow = claims();
        narrow["scope"] = json!("read");
        let (status, reason) = ask(&mut client, &rsa.token("RS256", "r", &narrow));
        assert_eq!((status, reason.as_deref()), (403, Some("insufficient-scope")));
        assert_eq!(client.get("/v1", &[]).reason(), Some("missing-credentials"));
        assert_eq!(ask(&mut client, &rsa.token("RS256", "r", &claims())).0, 200);
        drop(origin.take());
    }
}

/// RFC 8725 §3.1: also where both algorithms are allowed, a public key never serves as a secret.
#[test]
fn a_public_key_is_no_secret_even_where_both_algorithms_are_allowed() {
    let origin = Origin::ok();
    let rsa = Signer::rsa();
    let folder = folder_with("keys.json", &key_set(&[rsa.jwk("r")]));
    let verifier = "algorithms: [RS256, HS256], keys: { jwks_file: keys.json }";
    let gateway = Gateway::start_in(folder, &config(&origin, verifier));
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let jwk = rsa.jwk("r");
    for secret in [rsa.pem().into_bytes(), jwk["n"].as_str().unwrap().into(), jwk.to_string().into_bytes(), Vec::new()]
    {
        let token = Signer::Secret(secret).token("HS256", "r", &claims());
        assert_eq!(ask(&mut client, &token), invalid());
    }
    assert!(origin.take().bytes.is_empty());
}

#[test]
fn a_key_file_that_changes_is_followed() {
    let origin = Origin::ok();
    let (old, new) = (Signer::ec(), Signer::ec());
    let verifier = "algorithms: [ES256], keys: { jwks_file: keys.json }";
    let gateway = Gateway::start_in(folder_with("keys.json", &key_set(&[old.jwk("1")])), &config(&origin, verifier));
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let (first, second) = (old.token("ES256", "1", &claims()), new.token("ES256", "2", &claims()));
    assert_eq!((ask(&mut client, &first).0, ask(&mut client, &second)), (200, invalid()));
    std::fs::write(gateway.folder().join("keys.json"), key_set(&[new.jwk("2")])).unwrap();
    eventually("the new key", || (ask(&mut client, &second).0 == 200).then_some(()));
    assert_eq!(ask(&mut client, &first), invalid());
    std::fs::write(gateway.folder().join("keys.json"), "half a key s").unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 422);
    assert_eq!(ask(&mut client, &second).0, 200, "the last good keys serve on");
}

#[test]
fn keys_of_an_upstream_are_read_and_rotated() {
    let origin = Origin::ok();
    let (old, new) = (Signer::ed(), Signer::ed());
    let served = std::sync::Arc::new(std::sync::Mutex::new(None::<String>));
    let serving = served.clone();
    let issuer = Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let keys = serving.lock().unwrap().clone();
            conversation.send(match keys {
                Some(keys) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len()),
                None => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
            });
        }
    });
    let verifier = "algorithms: [EdDSA], keys: { jwks_upstream: { upstream: issuer, path: /keys, refresh: 300ms } }";
    let text = config(&origin, verifier);
    let upstream = format!("upstreams:\n  issuer: {{ endpoints: [{{ url: {:?} }}] }}\n  origin: {{", issuer.url());
    let gateway =
        Gateway::start(&text.replace("upstreams: { origin: {", &upstream).replace("}] } }\nroutes", "}] }\nroutes"));
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let (first, second) = (old.token("EdDSA", "1", &claims()), new.token("EdDSA", "2", &claims()));
    assert_eq!(
        ask(&mut client, &first),
        (500, Some("policy-failed".to_owned())),
        "closed as long as there are no keys"
    );
    assert!(origin.take().bytes.is_empty());
    *served.lock().unwrap() = Some(key_set(&[old.jwk("1")]));
    eventually("the first keys", || (ask(&mut client, &first).0 == 200).then_some(()));
    *served.lock().unwrap() = Some(key_set(&[old.jwk("1"), new.jwk("2")]));
    eventually("both keys", || (ask(&mut client, &second).0 == 200).then_some(()));
    assert_eq!(ask(&mut client, &first).0, 200);
    *served.lock().unwrap() = Some(key_set(&[new.jwk("2")]));
    eventually("the old key is gone", || (ask(&mut client, &first) == invalid()).then_some(()));
    *served.lock().unwrap() = None;
    drop(issuer.take());
    issuer.wait_until("asked in vain", |recording| !recording.requests.is_empty());
    assert_eq!(ask(&mut client, &second).0, 200, "the last good keys serve on");
    // The status is as of the last look at the files.
    eventually("the number of keys", || {
        (gateway.admin_get("/status").json()["verifiers"][0]["keys"] == 1).then_some(())
    });
}
