//! What is no provider: `/echo`, `/bytes/N`, `/sse`, `/status/NNN`.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response};
use serde_json::{Value, json};

use super::body::Script;
use super::received::Received;
use super::settings::Settings;

/// Answers by the first part of the path.
pub(super) fn answer(path: &str, received: &Received, settings: &Settings) -> Response<Script> {
    if let Some(status) = settings.status {
        return status_answer(status);
    }
    let mut parts = path.splitn(3, '/').skip(1);
    match (parts.next(), parts.next().map(str::parse::<u64>)) {
        (Some("echo"), _) => Script::json(200, &echo(received)),
        (Some("bytes"), Some(Ok(count))) => bytes(count),
        (Some("sse"), _) => sse(received.uri.query().unwrap_or_default()),
        (Some("status"), Some(Ok(status @ 200..=599))) => status_answer(u16::try_from(status).unwrap_or(500)),
        _ => Script::json(404, &json!({ "error": "not found: try /echo, /bytes/N, /sse or /status/NNN" })),
    }
}

fn status_answer(status: u16) -> Response<Script> {
    Script::json(status, &json!({ "status": status }))
}

/// The request as JSON. Names are in lower case and the fields of one name stand together, otherwise in their order.
fn echo(received: &Received) -> Value {
    json!({
        "method": received.method.as_str(),
        "path": received.uri.path(),
        "query": received.uri.query(),
        "version": format!("{:?}", received.version),
        "authority": received.uri.authority().map(http::uri::Authority::as_str),
        "headers": pairs(&received.headers),
        "trailers": received.trailers.as_ref().map(pairs),
        "body": String::from_utf8_lossy(&received.body),
        "body_bytes": received.body_bytes,
    })
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

fn bytes(count: u64) -> Response<Script> {
    let pieces = (0..count).step_by(PIECE.len()).map(move |at| {
        let length = usize::try_from(count - at).unwrap_or(usize::MAX).min(PIECE.len());
        Bytes::from_static(PIECE).slice(..length)
    });
    let mut response = Response::new(Script::pieces(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(count));
    response
}

fn sse(query: &str) -> Response<Script> {
    let count = form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| if name == "count" { value.parse::<u64>().ok() } else { None })
        .unwrap_or(3);
    Script::events((0..count).map(|number| format!("id: {number}\ndata: {{\"number\":{number}}}\n\n")))
}

static PIECE: &[u8] = &[b'x'; 64 << 10];
