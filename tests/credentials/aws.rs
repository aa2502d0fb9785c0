//! AWS Signature Version 4: what arrives is what botocore would have signed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::{Authority, Gateway, Origin, Request, Wire, fixture, http_post, python};
use serde_json::json;

use super::{CLIENT, came, config, gateway, said};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn credential(service: &str, more: &str) -> String {
    format!(
        "aws_sigv4: {{ region: eu-west-1, service: {service}, access_key_id: AKIDEXAMPLE, \
         secret_access_key: \"${{file:secret}}\"{more} }}"
    )
}

/// The `authorization` that botocore gives each request.
fn botocore(requests: &[Request], service: &str, token: Option<&str>) -> Vec<String> {
    let mut command = Command::new(python());
    let command = command.arg(fixture("sigv4.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = String::new();
    for request in requests {
        let mut line = request.line.split(' ');
        let case = json!({
            "method": line.next(), "target": line.next(), "headers": request.headers,
            "body": STANDARD.encode(&request.body), "service": service, "region": "eu-west-1",
            "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET, "session_token": token,
        });
        lines += &format!("{case}\n");
    }
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn check(requests: &[Request], service: &str, token: Option<&str>) {
    let expected = botocore(requests, service, token);
    assert_eq!(expected.len(), requests.len());
    for (request, expected) in requests.iter().zip(expected) {
        assert_eq!(request.values("authorization"), [expected], "{request:?}");
        assert_eq!(request.values("x-amz-security-token"), token.into_iter().collect::<Vec<_>>());
        assert_eq!(request.values("x-amz-date").len(), 1);
    }
}

const MODEL: &str = "/model/anthropic.claude-3-5-sonnet-20240620-v1";
const ARN: &str = "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.anthropic.claude";

#[test]
fn signatures_are_those_of_botocore() {
    for (service, more, token) in [
        ("bedrock", "", None),
        ("bedrock", ", session_token: \"AQoDYXdzEPT//wEXAMPLE==\"", Some("AQoDYXdzEPT//wEXAMPLE==")),
        ("s3", "", None),
    ] {
        let origin = Origin::ok();
        let gateway = gateway(&origin.url(), &credential(service, more), &[("secret", SECRET)]);
        let headers = format!(
            "{CLIENT}x-amz-date: 20000101T000000Z\r\nx-amz-content-sha256: 00\r\nx-amzn-bedrock-trace: ENABLED\r\n\
             content-type: application/json\r\n"
        );
        let paths = [
            format!("{MODEL}:0/converse"),
            format!("{MODEL}%3A0/converse-stream"),
            format!("/model/{ARN}/converse"),
            "/model/a@b!c$d(e)f*g,h;i=j/x?b=2&a=1&c=%20d+e&f".to_owned(),
        ];
        for path in &paths {
            let reply = http_post(gateway.address(), path, &headers, "{\"messages\":[]}");
            assert_eq!(reply.status, 200, "{path}: {:?}", reply.reason());
        }
        let requests = came(&origin);
        check(&requests, service, token);
        assert!(requests[0].line.contains("-v1%3A0/converse "), "{}", requests[0].line);
        assert!(requests[2].line.contains("inference-profile%2Feu.anthropic"), "{}", requests[2].line);
        let said = said(&gateway);
        assert!(!said.contains(SECRET) && !said.contains("AQoDYX"), "{said}");
    }
}

#[test]
fn a_body_that_streams_is_gathered_to_be_signed_up_to_a_bound() {
    let origin = Origin::ok();
    let gateway = gateway(&origin.url(), &credential("bedrock", ", body: 64"), &[("secret", SECRET)]);
    let mut wire = Wire::connect(gateway.address());
    let chunked = |body: &str| {
        format!(
            "POST /x HTTP/1.1\r\nHost: a.test\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             {:x}\r\n{body}\r\n0\r\nx-sum: 1\r\n\r\n",
            body.len()
        )
    };
    wire.send(chunked(&"a".repeat(64)));
    assert_eq!(wire.reply().status, 200);
    let requests = came(&origin);
    assert_eq!((requests[0].body.len(), requests[0].values("content-length")), (64, vec!["64"]));
    check(&requests, "bedrock", None);
    wire.send(chunked(&"a".repeat(65)));
    let reply = wire.reply();
    assert_eq!((reply.status, reply.reason()), (413, Some("body-too-large")));
    assert!(came(&origin).is_empty());
}

#[test]
fn a_body_goes_unsigned_over_tls_alone_where_that_is_configured() {
    let authority = Authority::new("ours");
    let origin = Origin::talking_tls(authority.sign(&["127.0.0.1"]).server(&["http/1.1"]), |conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let url = origin.url().replace("http:", "https:");
    let config = config(&url, &credential("execute-api", ", unsigned_payload: true"))
        .replace(", credential", ", tls: { ca: ca.pem }, credential");
    let gateway = Gateway::start_in(folder, &config);
    assert_eq!(http_post(gateway.address(), "/x", "", "streamed").status, 200);
    let requests = came(&origin);
    assert_eq!(requests[0].values("x-amz-content-sha256"), ["UNSIGNED-PAYLOAD"]);
    assert_eq!(requests[0].body, b"streamed");
}

#[test]
fn each_try_is_signed_with_its_own_time() {
    let origin = Origin::talking(|conversation| {
        while conversation.request().is_some() {
            conversation.send("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nretry-after: 2\r\n\r\n");
        }
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let config = config(&origin.url(), &credential("bedrock", "")).replace(
        ", credential",
        ", retries: { count: 1, statuses: [503], methods: [POST], budget_percent: 100, wait_max: 5s }, credential",
    );
    let gateway = Gateway::start_in(folder, &config);
    assert_eq!(http_post(gateway.address(), "/x", "", "again").status, 503);
    let requests = came(&origin);
    assert_eq!(requests.len(), 2);
    check(&requests, "bedrock", None);
    assert_ne!(requests[0].values("x-amz-date"), requests[1].values("x-amz-date"));
    assert_ne!(requests[0].values("authorization"), requests[1].values("authorization"));
}
