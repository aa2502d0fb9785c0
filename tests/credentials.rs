//! The gateway makes itself known to upstreams: what arrives there, and that nobody else ever sees it.

mod aws;
mod tokens;
mod ways;

use harness::{Gateway, Origin, Request, eventually, http_get, http_post};

/// A gateway in a folder with these files, whose every request goes to one upstream with this credential.
fn gateway(url: &str, credential: &str, files: &[(&str, &str)]) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Gateway::start_in(folder, &config(url, credential))
}

fn config(url: &str, credential: &str) -> String {
    format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}], credential: {{ {credential} }} }} }}\n\
         routes: [{{ name: all, upstream: origin, websocket: true, ambiguous_paths: true }}]\n"
    )
}

/// The requests that came since the last look.
fn came(origin: &Origin) -> Vec<Request> {
    origin.take().requests
}

/// Everything that the gateway said so far.
fn said(gateway: &Gateway) -> String {
    let logs = [gateway.process.stderr.all(), gateway.process.stdout.all()].concat().join("\n");
    let pages = ["/status", "/metrics"].map(|page| gateway.admin_get(page).text());
    logs + &pages.concat()
}

/// What clients write their own keys in.
const CLIENT: &str = "authorization: Bearer mine\r\nx-api-key: mine\r\napi-key: mine\r\nx-goog-api-key: mine\r\n\
                      x-amz-security-token: mine\r\n";

/// The values of headers that may be credentials, and the target.
fn credentials(request: &Request) -> (Vec<&str>, &str) {
    let names = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token", "x-key"];
    let values = names.iter().flat_map(|name| request.values(name)).collect();
    (values, request.line.split(' ').nth(1).unwrap())
}

#[test]
fn a_key_takes_the_place_of_the_clients_and_is_seen_by_nobody_else() {
    let cases = [
        ("bearer: \"${file:key}\"", "Bearer KEY", "/v1/x?a=1&key=mine"),
        ("header: { name: X-Api-Key, value: \"${file:key}\" }", "KEY", "/v1/x?a=1&key=mine"),
        ("header: { name: api-key, value: \"${file:key}\" }", "KEY", "/v1/x?a=1&key=mine"),
        ("header: { name: authorization, value: \"Token ${file:key}\" }", "Token KEY", "/v1/x?a=1&key=mine"),
        ("query: { name: key, value: \"${file:key}\" }", "", "/v1/x?a=1&key=KEY"),
    ];
    for (credential, header, target) in cases {
        let origin = Origin::ok();
        let gateway = gateway(&origin.url(), credential, &[("key", "first-secret\n")]);
        for body in ["", "a body"] {
            assert_eq!(http_post(gateway.address(), "/v1/x?a=1&key=mine", CLIENT, body).status, 200);
            let requests = came(&origin);
            let header = header.replace("KEY", "first-secret");
            let expected: Vec<_> = if header.is_empty() { vec![] } else { vec![header.as_str()] };
            assert_eq!(credentials(&requests[0]), (expected, &*target.replace("KEY", "first-secret")), "{credential}");
        }
        std::fs::write(gateway.folder().join("key"), "second-secret").unwrap();
        assert_eq!(gateway.admin_post("/reload").status, 200);
        assert_eq!(http_post(gateway.address(), "/v1/x?a=1", CLIENT, "").status, 200);
        let requests = came(&origin);
        let (values, target) = credentials(&requests[0]);
        let all = values.join(" ") + target;
        assert!(all.contains("second-secret") && !all.contains("first-secret"), "{credential}: {all}");
        origin.stop();
        assert_eq!(http_get(gateway.address(), "/v1/x").status, 502);
        let said = said(&gateway);
        assert!(!said.contains("first-secret") && !said.contains("second-secret"), "{credential}: {said}");
    }
}

#[test]
fn what_the_operator_sets_as_a_header_stays_beside_a_credential() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&format!(
        "upstreams:\n  origin:\n    endpoints: [{{ url: {:?} }}]\n    headers: {{ x-api-key: tenant }}\n    \
         credential: {{ bearer: sesame }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        origin.url()
    ));
    assert_eq!(http_post(gateway.address(), "/", CLIENT, "").status, 200);
    assert_eq!(credentials(&came(&origin)[0]).0, ["Bearer sesame", "tenant"]);
}

#[test]
fn health_checks_make_themselves_known_too() {
    let origin = Origin::ok();
    let config = config(&origin.url(), "bearer: sesame")
        .replace(", credential", ", health: { check: { http: { path: /healthz } }, interval: 100ms }, credential");
    let _gateway = Gateway::start(&config);
    let recording = origin.wait_until("checked", |recording| !recording.requests.is_empty());
    assert_eq!(credentials(&recording.requests[0]), (vec!["Bearer sesame"], "/healthz"));
}

#[test]
fn a_credential_that_cannot_be_is_a_fault() {
    let cases = [
        ("bearer: \"\"", "\"bearer\""),
        ("bearer: \" \"", "it is empty"),
        ("bearer: \"a\\nb\"", "it has a character that no header may have"),
        ("header: { name: \"a b\", value: x }", "\"a b\" is no header name"),
        ("header: { name: Host, value: x }", "\"Host\" is the gateway's own"),
        ("header: { name: x-twice, value: x }", "`headers` sets \"x-twice\" as well"),
        ("query: { name: \"\", value: x }", "a parameter needs a name"),
        ("berer: x", "credential"),
        ("bearer: \"${env:GATEWRIGHT_TEST_UNSET}\"", "no variable \"GATEWRIGHT_TEST_UNSET\""),
        ("aws_sigv4: { region: us/east, access_key_id: a, secret_access_key: b }", "a region is made of"),
        ("aws_sigv4: { region: us-east-1, access_key_id: a }", "field \"secret_access_key\" is missing"),
        (
            "aws_sigv4: { region: us-east-1, access_key_id: a, secret_access_key: b, unsigned_payload: true }",
            "only what TLS protects may go unsigned",
        ),
        ("aws_sigv4: { region: r, access_key_id: a, secret_access_key: b, body: 65MiB }", "at most 64MiB"),
        ("google_service_account: { key_file: absent.json }", "absent.json cannot be read"),
        ("google_service_account: { key_file: gateway.yaml }", "is no key file of a service account"),
        ("azure_entra: { tenant: a/b, client_id: c, client_secret: s }", "a tenant is an id or a domain"),
        (
            "azure_entra: { tenant: t, client_id: c, client_secret: s, authority: \"http://example.com\" }",
            "is not https",
        ),
    ];
    for (credential, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        let config =
            config("http://127.0.0.1:9", credential).replace(", credential", ", headers: { x-twice: a }, credential");
        std::fs::write(&file, format!("listeners: [{{ address: 127.0.0.1:0 }}]\n{config}")).unwrap();
        let output = harness::gatewright().args(["check", "--config"]).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{credential}: {text}");
        assert!(text.contains(message), "{credential}: {text}");
    }
}

#[test]
fn a_key_that_changes_its_file_is_taken_up_without_a_word_from_the_operator() {
    let origin = Origin::ok();
    let gateway = gateway(&origin.url(), "bearer: \"${file:key}\"", &[("key", "one")]);
    assert_eq!(http_get(gateway.address(), "/").status, 200);
    std::fs::write(gateway.folder().join("key"), "two").unwrap();
    eventually("the new key", || {
        assert_eq!(http_get(gateway.address(), "/").status, 200);
        let requests = came(&origin);
        (requests.last()?.values("authorization") == ["Bearer two"]).then_some(())
    });
}
