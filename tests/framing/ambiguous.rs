//! Messages that two parsers may read differently: none of them may reach an upstream.

/// A message by the name of what is wrong with it.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The statuses that are a good answer.
    pub(crate) statuses: &'static [u16],
}

/// Every message whose head is enough to refuse it.
pub(crate) fn heads() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(lengths_and_codings());
    cases.extend(hosts());
    cases.extend(lines());
    cases.extend(request_lines());
    cases.extend(connections());
    cases
}

/// Bodies whose chunked framing breaks: an upstream may have seen a beginning, never a whole request.
pub(crate) fn chunks() -> Vec<Case> {
    let bodies: [(&str, &[u8]); 17] = [
        ("bare LF after a chunk size", b"5\nhello\r\n0\r\n\r\n"),
        ("bare LF after chunk data", b"5\r\nhello\n0\r\n\r\n"),
        ("bare LF in a chunk extension", b"5;\nx\r\nhello\r\n0\r\n\r\n"),
        ("bare CR in a chunk extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
        ("chunk size 0x5", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("chunk size +5", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("chunk size -5", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("chunk size 0_5", b"0_5\r\nhello\r\n0\r\n\r\n"),
        ("chunk size g", b"g\r\nhello\r\n0\r\n\r\n"),
        ("chunk size missing", b"\r\nhello\r\n0\r\n\r\n"),
        ("chunk size with a space before it", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("chunk size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("chunk data longer than its size", b"5\r\nhello!\r\n0\r\n\r\n"),
        ("chunk data shorter than its size", b"5\r\nhell\r\n0\r\n\r\n"),
        ("CR of a chunk size without LF", b"5\rhello\r\n0\r\n\r\n"),
        ("trailer without a colon", b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n"),
        ("trailer with a space before its colon", b"5\r\nhello\r\n0\r\nx : y\r\n\r\n"),
    ];
    let head = b"POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let case =
        |(name, body): (&str, &[u8])| Case { name: name.to_owned(), bytes: [head, body].concat(), statuses: &[400] };
    bodies.into_iter().map(case).collect()
}

fn case(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name: name.into(), bytes: bytes.into(), statuses: &[400] }
}

/// A POST with these fields after `Host`, and a body that is a whole request to whoever reads the framing wrongly.
fn post(fields: &str) -> Case {
    let name = fields.replace("\r\n", " + ");
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    case(name, format!("POST /p HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n{smuggled}"))
}

fn lengths_and_codings() -> Vec<Case> {
    let bad = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: 6\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chun ked",
        "Transfer-Encoding:",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 1e1",
        "Content-Length: 5 5",
        "Content-Length: 5;",
        "Content-Length: \x0b5",
        "Content-Length:",
        "Content-Length: 18446744073709551621",
        "Content-Length : 5",
    ];
    let mut cases: Vec<Case> = bad.into_iter().map(post).collect();
    let unsupported = ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: identity"];
    cases.extend(unsupported.into_iter().map(|fields| Case { statuses: &[400, 501], ..post(fields) }));
    let old =
        "POST /p HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n";
    cases.push(case("HTTP/1.0 + chunked", format!("{old}GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n")));
    cases
}

fn hosts() -> Vec<Case> {
    let mut cases = vec![
        case("no Host", "GET /x HTTP/1.1\r\n\r\n"),
        case("two Hosts", "GET /x HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n"),
        case("the same Host twice", "GET /x HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n"),
        case("target of another host", "GET http://evil.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        case("target of another port", "GET http://a.test:81/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        case("userinfo in the target", "GET http://u@a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ];
    let hosts =
        ["a, b", "a@b", "a/x", "a b", "a?b", "a#b", "a\\b", "a%2eb", "a:port", "a:99999", "a:80:80", "[::1", ""];
    cases.extend(hosts.map(|host| case(format!("Host: {host}"), format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"))));
    cases
}

fn lines() -> Vec<Case> {
    let fields: [(&str, &[u8]); 15] = [
        ("bare LF after a field", b"Host: a.test\r\nA: b\nC: d\r\n\r\n"),
        ("bare LF after every field", b"Host: a.test\nA: b\n\n"),
        ("bare CR in a value", b"Host: a.test\r\nA: b\rC: d\r\n\r\n"),
        ("folded value", b"Host: a.test\r\nA: b\r\n c\r\n\r\n"),
        ("folded value with a tab", b"Host: a.test\r\nA: b\r\n\tc\r\n\r\n"),
        ("NUL in a value", b"Host: a.test\r\nA: b\0c\r\n\r\n"),
        ("NUL in a name", b"Host: a.test\r\nA\0: b\r\n\r\n"),
        ("control byte in a value", b"Host: a.test\r\nA: b\x01c\r\n\r\n"),
        ("DEL in a value", b"Host: a.test\r\nA: b\x7fc\r\n\r\n"),
        ("no name", b"Host: a.test\r\n: b\r\n\r\n"),
        ("no colon", b"Host: a.test\r\nA b\r\n\r\n"),
        ("space before the first name", b" A: b\r\nHost: a.test\r\n\r\n"),
        ("space in a name", b"Host: a.test\r\nA B: c\r\n\r\n"),
        ("space before a colon", b"Host: a.test\r\nA : b\r\n\r\n"),
        ("separator in a name", b"Host: a.test\r\nA(b): c\r\n\r\n"),
    ];
    fields.into_iter().map(|(name, fields)| case(name, [b"GET /x HTTP/1.1\r\n", fields].concat())).collect()
}

fn request_lines() -> Vec<Case> {
    let lines: [(&[u8], &[u16]); 19] = [
        (b"GET  /x HTTP/1.1", &[400]),
        (b"GET\t/x\tHTTP/1.1", &[400]),
        (b"GET /x  HTTP/1.1", &[400]),
        (b"GET /x HTTP/1.1 ", &[400]),
        (b" GET /x HTTP/1.1", &[400]),
        (b"GET /x http/1.1", &[400]),
        (b"GET /x HTTP/1.2", &[400, 505]),
        (b"GET /x HTTP/2.0", &[400, 505]),
        (b"GET /x HTTP/11", &[400, 505]),
        (b"GET /x", &[400]),
        (b"GE(T /x HTTP/1.1", &[400]),
        (b"G\0T /x HTTP/1.1", &[400]),
        (b"GET /x y HTTP/1.1", &[400]),
        (b"GET x HTTP/1.1", &[400]),
        (b"GET a.test:80 HTTP/1.1", &[400]),
        (b"GET * HTTP/1.1", &[400]),
        (b"GET /x\x01 HTTP/1.1", &[400]),
        (b"GET /x#/../admin HTTP/1.1", &[400]),
        (b"GET ftp://a.test/x HTTP/1.1", &[400]),
    ];
    let case = |(line, statuses): (&[u8], &'static [u16])| {
        let name = String::from_utf8_lossy(line).into_owned();
        Case { name, bytes: [line, b"\r\nHost: a.test\r\n\r\n"].concat(), statuses }
    };
    lines.into_iter().map(case).collect()
}

fn connections() -> Vec<Case> {
    let named = ["authorization", "X-Forwarded-For", "content-length", "host", "x-gatewright-tenant"];
    let mut cases: Vec<Case> = named
        .into_iter()
        .map(|name| {
            let fields = format!("Host: a.test\r\nAuthorization: Bearer x\r\nConnection: close, {name}\r\n\r\n");
            case(format!("Connection: close, {name}"), format!("GET /x HTTP/1.1\r\n{fields}"))
        })
        .collect();
    let connect =
        "CONNECT 127.0.0.1:6379 HTTP/1.1\r\nHost: 127.0.0.1:6379\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    cases.push(Case { statuses: &[400, 405], ..case("CONNECT", connect) });
    let expect = "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nExpect: 100-continue, x\r\n\r\nhello";
    cases.push(Case { statuses: &[417], ..case("Expect: 100-continue, x", expect) });
    cases
}
