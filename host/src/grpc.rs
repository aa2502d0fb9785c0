//! gRPC over HTTP/2, as far as a proxy has to know it: which requests it is, their deadlines, and how a failure is told.
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::error::{Error, Reason};

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const TYPE: HeaderValue = HeaderValue::from_static("application/grpc");

/// A call of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grpc {
    /// How long the client waits for the whole of it.
    pub timeout: Option<Duration>,
}

impl Grpc {
    /// The call that a request is, if it is one.
    ///
    /// # Errors
    /// `malformed-request` for a `grpc-timeout` that is none.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Error> {
        let Some(rest) = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(TYPE.as_bytes()))
        else {
            return Ok(None);
        };
        // `application/grpc-web` is something else.
        if !matches!(rest.first(), None | Some(b'+' | b';')) {
            return Ok(None);
        }
        let Some(text) = headers.get(TIMEOUT) else { return Ok(Some(Self { timeout: None })) };
        let timeout = text.to_str().ok().and_then(timeout);
        let timeout = timeout.ok_or_else(|| Error::new(Reason::MalformedRequest, "grpc-timeout is no time"))?;
        Ok(Some(Self { timeout: Some(timeout) }))
    }
}

/// At most eight digits, and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Tells the next server how long the client still waits.
pub fn set_timeout(headers: &mut HeaderMap, left: Duration) {
    const DIGITS_MAX: u128 = 99_999_999;
    let text = match left.as_millis() {
        millis @ ..=DIGITS_MAX => format!("{millis}m"),
        millis => format!("{}S", (millis / 1000).min(DIGITS_MAX)),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(TIMEOUT, value);
    }
}

/// The status of gRPC that tells of an HTTP status made here.
const fn status(status: StatusCode) -> u8 {
    match status.as_u16() {
        401 => 16,
        403 => 7,
        404 | 405 => 12,
        408 | 504 => 4,
        413 | 429 => 8,
        499 => 1,
        400 | 414 | 417 | 431 | 500 => 13,
        502 | 503 => 14,
        _ => 2,
    }
}

/// The HTTP status that a response without messages stands for, so that it counts among failures as other protocols' do.
#[must_use]
pub fn http_status(status: StatusCode, headers: &HeaderMap) -> StatusCode {
    if status != StatusCode::OK {
        return status;
    }
    match headers.get(STATUS).map(HeaderValue::as_bytes) {
        Some(b"4") => StatusCode::GATEWAY_TIMEOUT,
        Some(b"8") => StatusCode::TOO_MANY_REQUESTS,
        Some(b"13") => StatusCode::INTERNAL_SERVER_ERROR,
        Some(b"14") => StatusCode::SERVICE_UNAVAILABLE,
        _ => status,
    }
}

/// A failure as a response without messages.
pub fn fail(headers: &mut HeaderMap, http_status: StatusCode, message: &str) {
    headers.insert(CONTENT_TYPE, TYPE);
    headers.extend(trailers(http_status, message));
}

/// A failure after the first message, as the trailers.
#[must_use]
pub fn trailers(http_status: StatusCode, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(u16::from(status(http_status))));
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        trailers.insert(MESSAGE, value);
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::{Grpc, http_status, set_timeout, trailers};

    fn headers(content_type: &'static str, timeout: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if !timeout.is_empty() {
            headers.insert("grpc-timeout", HeaderValue::from_str(timeout).unwrap());
        }
        headers
    }

    #[test]
    fn a_call_is_known_by_its_type_and_has_a_deadline() {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc;v=1"] {
            assert_eq!(Grpc::of(&headers(content_type, "")).unwrap(), Some(Grpc { timeout: None }));
        }
        for content_type in ["application/grpc-web", "application/grpcx", "application/json"] {
            assert_eq!(Grpc::of(&headers(content_type, "")).unwrap(), None);
        }
        for (text, millis) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3_000), ("4m", 4), ("5000u", 5), ("99999999m", 99_999_999)]
        {
            let grpc = Grpc::of(&headers("application/grpc", text)).unwrap().unwrap();
            assert_eq!(grpc.timeout, Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["1", "S", "1s", "123456789m", "-1m", "1.5S", " 1S"] {
            assert!(Grpc::of(&headers("application/grpc", text)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_goes_on_in_eight_digits() {
        for (left, text) in [(Duration::from_millis(1500), "1500m"), (Duration::from_hours(48), "172800S")] {
            let mut headers = HeaderMap::new();
            set_timeout(&mut headers, left);
            assert_eq!(headers["grpc-timeout"], text);
        }
    }

    #[test]
    fn a_failure_is_told_in_grpcs_own_words() {
        let failure = trailers(StatusCode::SERVICE_UNAVAILABLE, "100% caf\u{e9}");
        assert_eq!(
            (&failure["grpc-status"], &failure["grpc-message"]),
            (&"14".parse().unwrap(), &"100%25 caf%C3%A9".parse().unwrap())
        );
        assert_eq!(http_status(StatusCode::OK, &failure), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(http_status(StatusCode::OK, &HeaderMap::new()), StatusCode::OK);
    }
}
