//! Paths and identities that two readers may see differently: what is protected stays so.

use harness::{Gateway, Origin, Wire};

/// A guarded prefix beside an open route; keys let through at the first, nobody is asked at the second.
fn guarded(open: &Origin, guarded: &Origin) -> Gateway {
    Gateway::start(&format!(
        r#"
policies:
  keys:
    plugin: key-auth
    grants: {{ metadata: [auth] }}
    config:
      header: authorization
      scheme: Bearer
      keys: [{{ principal: alice, sha256: [{ALICE_SHA256}] }}]
upstreams:
  open: {{ endpoints: [{{ url: "{}" }}] }}
  guarded: {{ endpoints: [{{ url: "{}" }}] }}
routes:
  - {{ name: open, upstream: open }}
  - {{ name: guarded, match: {{ path: {{ prefix: /admin }} }}, policies: [keys], upstream: guarded }}
"#,
        open.url(),
        guarded.url()
    ))
}

/// SHA-256 of `alice-key`.
const ALICE_SHA256: &str = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";

/// Ways to write `/admin` that somebody, somewhere, reads as it.
fn spellings() -> Vec<String> {
    let before = [
        "/",
        "//",
        "///",
        "/./",
        "/%2e/",
        "/;x/",
        "/x;/../",
        "/x/../",
        "/x/%2e%2e/",
        "/x/.%2e/",
        "/x/%2E./",
        "/x/..;/",
        "/x/..%2f",
        "/x/..%5c",
        "/x/..\\",
        "/x%2f..%2f",
        "/%2e%2e/",
        "/..%00/",
        "/../",
        "\\",
        "/\\",
        "%2f",
        "/%2f",
        "/%5c",
        "/%252f",
        "/x/%252e%252e/",
        "/x/..//",
        "/x//../",
        "/%c0%af",
        "/\u{ff0f}",
    ];
    let names = [
        "admin",
        "%61dmin",
        "adm%69n",
        "%2561dmin",
        "admin;x=1",
        "admin%3bx",
        "admin%00",
        "admin%20",
        "admin%09",
        "admin/",
        "admin//",
        "admin/.",
        "admin/x/..",
        "admin%2fx",
        "admin%5cx",
        "admin\\x",
        "admin%23",
        "admin%3f",
    ];
    let mut paths: Vec<String> = before.iter().flat_map(|before| names.map(|name| format!("{before}{name}"))).collect();
    paths.extend(
        ["/x#/../admin", "/%zz/../admin", "/admin#x", "/x?/../../admin", "/\u{ff41}dmin/../admin"].map(str::to_owned),
    );
    paths
}

/// Reads a path as the most obliging upstream would: decodes until nothing changes, takes `\` for `/`, drops matrix
/// parameters and empty segments, ends at NUL, `?` and `#`, and resolves dots.
fn obliging(target: &str) -> String {
    let mut path = target.replace("%c0%af", "/").replace('\u{ff0f}', "/");
    loop {
        let decoded = decode(&path);
        if decoded == path {
            break;
        }
        path = decoded;
    }
    let path = path.replace('\\', "/");
    let path = path.split(['\0', '?', '#']).next().unwrap_or_default();
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/"))
}

fn decode(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[test]
fn no_spelling_of_a_guarded_path_gets_past_its_guard() {
    let (open, inside) = (Origin::ok(), Origin::ok());
    let gateway = guarded(&open, &inside);
    let paths = spellings();
    assert!(paths.len() >= 300, "{}", paths.len());
    let mut leaks = Vec::new();
    for path in &paths {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        let status = wire.reply().status;
        for request in open.take().requests {
            let target = request.line.split(' ').nth(1).unwrap().to_owned();
            let path = obliging(&target);
            if path == "/admin" || path.starts_with("/admin/") {
                leaks.push(format!("{path} reached the open upstream as {target}"));
            }
        }
        if status == 200 && !inside.take().bytes.is_empty() {
            leaks.push(format!("{path} reached the guarded upstream"));
        }
    }
    assert!(leaks.is_empty(), "{} of {}:\n{}", leaks.len(), paths.len(), leaks.join("\n"));
    assert!(inside.take().bytes.is_empty());
}

#[test]
fn an_ambiguous_path_is_refused_unless_its_route_lets_it_in() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&format!(
        "upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\n\
         routes: [{{ name: strict, upstream: origin }}, \
                  {{ name: loose, match: {{ path: {{ prefix: /loose }} }}, ambiguous_paths: true, upstream: origin }}]\n",
        origin.url()
    ));
    for rest in ["a%2Fb", "a%5Cb", "a;b", "a//b"] {
        for (prefix, status) in [("/strict", 400), ("/loose", 200)] {
            let mut wire = Wire::connect(gateway.address());
            wire.send(format!("GET {prefix}/{rest} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            let reply = wire.reply();
            assert_eq!(reply.status, status, "{prefix}/{rest}");
            let seen = origin.take();
            if status == 200 {
                assert_eq!(seen.requests.first().unwrap().line, format!("GET {prefix}/{rest} HTTP/1.1"));
            } else {
                assert_eq!((reply.reason(), seen.bytes.len()), (Some("ambiguous-path"), 0), "{prefix}/{rest}");
            }
        }
    }
    // Never in any route: a NUL, a fragment, a broken escape, dots hidden by an escape.
    for rest in ["a%00b", "a#b", "a%zzb", "a%", "%2e%2e/b"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET /loose/{rest} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(wire.reply().status, 400, "{rest}");
        assert!(origin.take().bytes.is_empty(), "{rest}");
    }
}

/// Fields by which a client might say who it is, each in several ways to write the name.
fn identity_fields() -> Vec<String> {
    let names = [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Server",
        "X-Forwarded-User",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-Tls-Client-Cert",
        "Forwarded",
        "X-Real-IP",
        "X-Gatewright-Tenant",
        "X-Gatewright-Principal",
        "X-Gatewright-Reason",
    ];
    let forms = |name: &str| {
        [name.to_owned(), name.to_lowercase(), name.to_uppercase(), name.replace('-', "_"), name.replacen('-', "_", 1)]
    };
    names.iter().flat_map(|name| forms(name)).collect()
}

#[test]
fn identity_fields_of_a_stranger_never_arrive() {
    let origin = Origin::ok();
    let gateway = guarded(&origin, &origin);
    let fields = identity_fields();
    assert!(fields.len() >= 60, "{}", fields.len());
    let mut arrived = Vec::new();
    for field in &fields {
        for twice in ["", "x: y\r\n"] {
            let mut wire = Wire::connect(gateway.address());
            let line = format!("{field}: 6.6.6.6 spoofed\r\n");
            let again = if twice.is_empty() { "" } else { line.as_str() };
            wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n{line}{twice}{again}\r\n"));
            assert!(matches!(wire.reply().status, 200 | 400), "{field}");
            if String::from_utf8_lossy(&origin.take().bytes).contains("spoofed") {
                arrived.push(field);
            }
        }
    }
    assert!(arrived.is_empty(), "{arrived:?}");
}

#[test]
fn forwarding_fields_say_what_the_gateway_saw() {
    let origin = Origin::ok();
    let config = |trusted: &str| {
        format!(
            "trusted_proxies: [{trusted}]\nupstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\n\
             routes: [{{ name: all, upstream: origin }}]\n",
            origin.url()
        )
    };
    for (trusted, expected) in [("", "127.0.0.1"), ("\"127.0.0.0/8\"", "1.2.3.4, 127.0.0.1")] {
        let gateway = Gateway::start(&config(trusted));
        let mut wire = Wire::connect(gateway.address());
        wire.send("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 1.2.3.4\r\nX-Request-Id: mine\r\n\r\n");
        let reply = wire.reply();
        assert_eq!(reply.status, 200);
        let seen = origin.take();
        let request = seen.requests.first().unwrap();
        let forwarded_for = request.values("x-forwarded-for").join(", ");
        assert_eq!(forwarded_for, expected, "{trusted}");
        assert_eq!(request.values("x-forwarded-host"), ["a.test"]);
        assert_eq!(request.values("x-request-id").len(), 1);
        assert!(request.values("via").is_empty());
    }
}

#[test]
fn an_odd_credential_is_refused_before_anything_is_sent_on() {
    let origin = Origin::ok();
    let gateway = guarded(&origin, &origin);
    let credentials = [
        ("none", String::new(), vec![401]),
        ("two", "Authorization: Bearer alice-key\r\nAuthorization: Bearer alice-key\r\n".to_owned(), vec![401, 400]),
        ("a tab", "Authorization: Bearer\talice-key\r\n".to_owned(), vec![401, 400, 200]),
        ("an empty one", "Authorization: Bearer \r\n".to_owned(), vec![401]),
        ("the scheme alone", "Authorization: Bearer\r\n".to_owned(), vec![401]),
        ("an unknown one", "Authorization: Bearer bob-key\r\n".to_owned(), vec![401]),
        ("a long one", format!("Authorization: Bearer {}\r\n", "x".repeat(64 << 10)), vec![401, 431]),
        ("a good one", "Authorization: Bearer alice-key\r\n".to_owned(), vec![200]),
    ];
    for (name, field, statuses) in credentials {
        let mut wire = Wire::connect(gateway.address());
        wire.send(format!("GET /admin HTTP/1.1\r\nHost: a.test\r\n{field}\r\n"));
        let reply = wire.reply();
        assert!(statuses.contains(&reply.status), "{name}: {}", reply.status);
        assert_eq!(origin.take().requests.len(), usize::from(reply.status == 200), "{name}");
    }
}
