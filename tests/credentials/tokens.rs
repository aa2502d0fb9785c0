//! Access tokens: asked for as RFC 7523 and RFC 6749 say, once for many requests, and anew before they end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use harness::{Authority, Gateway, Origin, Request, eventually, http_get};
use serde_json::{Value, json};

use super::{came, config, gateway, said};

/// A token endpoint that counts its tokens, and behaves as a test says.
struct Tokens {
    origin: Origin,
    status: Arc<AtomicU16>,
    given: Arc<AtomicUsize>,
}

/// Gives `TOKEN-1`, `TOKEN-2` and so on, each good for so many seconds.
fn tokens(lifetime: u64) -> Tokens {
    let (status, given, lifetime) =
        (Arc::new(AtomicU16::new(200)), Arc::<AtomicUsize>::default(), AtomicU64::new(lifetime));
    let (answered, counted) = (status.clone(), given.clone());
    let origin = Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            let status = answered.load(Ordering::SeqCst);
            let body = if status == 200 {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let expires_in = lifetime.load(Ordering::SeqCst);
                json!({ "access_token": format!("TOKEN-{number}"), "token_type": "Bearer", "expires_in": expires_in })
            } else {
                json!({ "error": "invalid_grant", "error_description": "the assertion TOKEN-PRIVATE is bad" })
            };
            let body = body.to_string();
            let head =
                format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
            conversation.send(format!("{head}\r\n\r\n{body}"));
        }
    });
    Tokens { origin, status, given }
}

/// A service account's key file with a key of its own, and the public key.
fn account(token_uri: &str) -> (String, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'static> = pair.as_der().unwrap();
    let lines = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n");
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": pem,
        "client_email": "robot@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
    });
    (file.to_string(), pair.public_key().as_ref().to_vec())
}

fn form(request: &Request) -> BTreeMap<String, String> {
    let text = String::from_utf8(request.body.clone()).unwrap();
    let decode = |text: &str| text.replace("%3A", ":").replace("%2F", "/").replace('+', " ");
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// What the operator is told of the upstream's token.
fn token_status(gateway: &Gateway) -> Value {
    gateway.admin_get("/status").json()["upstreams"][0]["token"].clone()
}

const GOOGLE: &str = "google_service_account: { key_file: key.json }";

#[test]
fn a_service_account_signs_its_assertion_and_one_token_serves_many_requests() {
    let (origin, tokens) = (Origin::ok(), tokens(3600));
    let uri = format!("{}/token", tokens.origin.url());
    let (file, public) = account(&uri);
    let gateway = gateway(&origin.url(), GOOGLE, &[("key.json", &file)]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(http_get(gateway.address(), "/x").status, 200)));
        }
    });
    assert_eq!(token_status(&gateway), "valid");
    let requests = came(&origin);
    assert_eq!(requests.len(), 40);
    assert!(requests.iter().all(|request| request.values("authorization") == ["Bearer TOKEN-1"]));
    let asked = came(&tokens.origin);
    assert_eq!((asked.len(), asked[0].line.as_str()), (1, "POST /token HTTP/1.1"));
    let form = form(&asked[0]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(signed.as_bytes(), &signature).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    assert_eq!(decoded(header), json!({ "typ": "JWT", "alg": "RS256", "kid": "key-1" }));
    let claims = decoded(claims);
    assert_eq!(claims["iss"], "robot@p.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], uri);
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    let said = said(&gateway);
    assert!(!said.contains("TOKEN-1") && !said.contains(&form["assertion"]), "{said}");
}

#[test]
fn a_token_is_fetched_anew_before_its_end_and_no_request_waits() {
    let (origin, tokens) = (Origin::ok(), tokens(2));
    let (file, _) = account(&tokens.origin.url());
    let gateway = gateway(&origin.url(), GOOGLE, &[("key.json", &file)]);
    eventually("the third token", || {
        assert_eq!(http_get(gateway.address(), "/x").status, 200);
        let requests = came(&origin);
        (requests[0].values("authorization") == ["Bearer TOKEN-3"]).then_some(())
    });
    assert!(tokens.given.load(Ordering::SeqCst) <= 4, "one at a time");
}

#[test]
fn without_a_token_requests_fail_with_a_reason_until_there_is_one() {
    let (origin, tokens) = (Origin::ok(), tokens(3600));
    tokens.status.store(401, Ordering::SeqCst);
    let (file, _) = account(&tokens.origin.url());
    let gateway = gateway(&origin.url(), GOOGLE, &[("key.json", &file)]);
    let reply = http_get(gateway.address(), "/x");
    assert_eq!((reply.status, reply.reason()), (502, Some("credential-unavailable")));
    assert!(!reply.text().contains("invalid_grant"), "{}", reply.text());
    let line = gateway
        .process
        .stderr
        .wait_for("the warning", |line| line.contains("access token cannot be fetched").then(|| line.to_owned()));
    assert!(line.contains("the token endpoint answered 401: invalid_grant"), "{line}");
    assert!(!said(&gateway).contains("TOKEN-PRIVATE"));
    assert!(came(&origin).is_empty());
    assert_eq!(token_status(&gateway), "unavailable");
    assert!(came(&tokens.origin).len() < 10, "it waits between its tries");
    tokens.status.store(200, Ordering::SeqCst);
    eventually("a token", || (http_get(gateway.address(), "/x").status == 200).then_some(()));
    assert_eq!(token_status(&gateway), "valid");
}

#[test]
fn a_service_account_that_changes_its_file_gets_a_token_of_its_own() {
    let authority = Authority::new("ours");
    let (origin, first, second) = (Origin::ok(), tokens(3600), tokens(3600));
    let (file, _) = account(&first.origin.url());
    let gateway = gateway(&origin.url(), GOOGLE, &[("key.json", &file), ("ca.pem", &authority.pem())]);
    assert_eq!(http_get(gateway.address(), "/x").status, 200);
    // Whatever else changes about the upstream, its token stays.
    let same = config(&origin.url(), GOOGLE).replace(", credential", ", pass_host: true, credential");
    let file = gateway.folder().join("gateway.yaml");
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, before.replace(&config(&origin.url(), GOOGLE), &same)).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!(http_get(gateway.address(), "/x").status, 200);
    assert_eq!(first.given.load(Ordering::SeqCst), 1);
    std::fs::write(gateway.folder().join("key.json"), account(&second.origin.url()).0).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!(http_get(gateway.address(), "/x").status, 200);
    assert_eq!((first.given.load(Ordering::SeqCst), second.given.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn an_application_shows_its_secret_under_tls() {
    let authority = Authority::new("ours");
    let origin = Origin::ok();
    let server = authority.sign(&["127.0.0.1"]).server(&["http/1.1"]);
    let asked = Origin::talking_tls(server, |conversation| {
        while conversation.request().is_some() {
            let body = "{\"access_token\":\"TOKEN-A\",\"token_type\":\"Bearer\",\"expires_in\":\"soon\"}";
            let body = if conversation.number > 1 { body.replace("\"soon\"", "3599") } else { body.to_owned() };
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    let credential = format!(
        "azure_entra: {{ tenant: contoso.example, client_id: app, client_secret: s3cret, authority: \"https://{}\", \
         tls: {{ ca: ca.pem }} }}",
        asked.address
    );
    let gateway = Gateway::start_in(folder, &config(&origin.url(), &credential));
    eventually("a token", || (http_get(gateway.address(), "/x").status == 200).then_some(()));
    assert_eq!(came(&origin)[0].values("authorization"), ["Bearer TOKEN-A"]);
    let requests = came(&asked);
    assert_eq!(requests[0].line, "POST /contoso.example/oauth2/v2.0/token HTTP/1.1");
    let form = form(&requests[0]);
    let expected = [
        ("client_id", "app"),
        ("client_secret", "s3cret"),
        ("grant_type", "client_credentials"),
        ("scope", "https://cognitiveservices.azure.com/.default"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert!(!said(&gateway).contains("s3cret"));
}
