//! Header sections as policies may read and write them.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue, TRAILER};

/// Which header section of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// Why a header could not be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldsError {
    /// The field is there more than once.
    Repeated,
    /// The value is not UTF-8.
    NotText,
    /// Bad syntax, or a field that the gateway owns, or too late.
    Refused,
    /// At the bound on fields or bytes.
    TooMany,
}

/// Fields a policy may write into one section, and the bytes of one value.
const FIELDS_MAX: usize = 256;
const VALUE_MAX: usize = 16 << 10;

/// Fields that say how a message is framed or where a connection goes: the gateway's own.
#[must_use]
pub fn is_owned(name: &str) -> bool {
    let is_ours = name.starts_with("x-gatewright-") && name != "x-gatewright-warning";
    is_hop_by_hop(name) || is_ours || matches!(name, "host" | "content-length" | "expect")
}

/// RFC 9110 §7.6.1.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Fields that only a trusted peer or the gateway itself may set, in any spelling that a server might fold.
#[must_use]
pub(super) fn is_untrusted(name: &str) -> bool {
    let plain;
    let name = if name.contains('_') {
        plain = name.replace('_', "-");
        &plain
    } else {
        name
    };
    // Most names start otherwise, and are not looked at any further.
    if !name.starts_with(['x', 'f', 't', 'c', 'p', 's']) {
        return false;
    }
    name.starts_with("x-forwarded")
        || name.starts_with("x-gatewright-")
        || name.starts_with("x-gw-")
        || name.starts_with("x-envoy-")
        || name.starts_with("x-ssl-client")
        || name.starts_with("ssl-client")
        || name.starts_with("x-client-cert")
        || matches!(
            name,
            "forwarded"
                | "x-real-ip"
                | "x-client-ip"
                | "x-cluster-client-ip"
                | "true-client-ip"
                | "cf-connecting-ip"
                | "x-original-url"
                | "x-rewrite-url"
                | "x-original-host"
                | "x-host"
                | "x-http-method-override"
                | "x-http-method"
                | "x-method-override"
                | "x-request-id"
                | "client-cert"
                | "client-cert-chain"
                | "proxy"
        )
}

/// RFC 9110 §6.5.1: whether a field may come after the body. What changes how a message is read, or who sent it, may not.
#[must_use]
pub fn is_trailer(name: &str) -> bool {
    let decides = matches!(name, "authorization" | "cookie" | "set-cookie" | "content-type" | "content-encoding");
    !decides && !is_owned(name) && !is_untrusted(name)
}

/// The trailers that a header section announces, of those that may be passed on.
#[must_use]
pub fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase());
    let names: Vec<String> = names.filter(|name| !name.is_empty() && is_trailer(name)).collect();
    HeaderValue::from_str(&names.join(", ")).ok().filter(|_| !names.is_empty())
}

/// Fields that `Connection` may not name: taking them away would change who is asking, or what.
pub(super) fn is_protected(name: &str) -> bool {
    is_untrusted(name)
        || matches!(
            name,
            "authorization"
                | "cookie"
                | "host"
                | "content-length"
                | "content-type"
                | "content-encoding"
                | "transfer-encoding"
                | "x-api-key"
                | "api-key"
                | "expect"
                | "origin"
        )
}

/// The one value of `name`.
pub(crate) fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, FieldsError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(FieldsError::Repeated);
    }
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| FieldsError::NotText)
}

/// A name and a value that a policy may write.
pub(crate) fn writable(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), FieldsError> {
    let name = writable_name(name)?;
    if value.len() > VALUE_MAX {
        return Err(FieldsError::TooMany);
    }
    let value = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes()));
    Ok((name, value.map_err(|_| FieldsError::Refused)?))
}

/// A name that a policy may write or remove.
pub(crate) fn writable_name(name: &str) -> Result<HeaderName, FieldsError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldsError::Refused)?;
    if is_owned(name.as_str()) { Err(FieldsError::Refused) } else { Ok(name) }
}

/// Adds a value under the bound on fields.
pub(crate) fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), FieldsError> {
    if headers.len() >= FIELDS_MAX {
        return Err(FieldsError::TooMany);
    }
    headers.append(name, value);
    Ok(())
}

/// Replaces all values under the bound on fields.
pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), FieldsError> {
    if headers.len() >= FIELDS_MAX && !headers.contains_key(&name) {
        return Err(FieldsError::TooMany);
    }
    headers.insert(name, value);
    Ok(())
}
