//! Makes the canonical request, or refuses: what could be read in two ways goes nowhere.

use std::net::{IpAddr, SocketAddr};

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use ipnet::IpNet;

use super::Request;
use super::certificate::Certificate;
use super::fields::{announced_trailers, is_hop_by_hop, is_protected, is_untrusted};
use crate::config::BoundsConfig;
use crate::error::{Error, Reason};
use crate::grpc::Grpc;

/// Who is on the other end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// What TLS says; absent in clear text.
    pub tls: Option<TlsFacts>,
    /// Whether upstreams are told of client certificates, its own and those that a trusted proxy tells of.
    pub forwards_certificate: bool,
}

impl Peer {
    /// Its certificate, if it showed one and TLS found it good.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }
}

/// What TLS says of a peer.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The name it asked for.
    pub server_name: Option<String>,
    /// The subject of its certificate, percent-encoded.
    pub peer_subject: Option<String>,
    /// Its certificate, found good.
    pub certificate: Option<Certificate>,
}

/// The canonical form of a request.
///
/// # Errors
/// A reason of the client's, for everything that is refused.
pub fn canonical(parts: Parts, peer: &Peer, trusted: &[IpNet], bounds: &BoundsConfig) -> Result<Request, Error> {
    if parts.method == Method::CONNECT {
        return Err(Reason::MethodNotAllowed.into());
    }
    if parts.uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Error::new(Reason::MalformedRequest, "a scheme other than http and https"));
    }
    let mut headers = parts.headers;
    check_size(&headers, bounds)?;
    let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    if target.len() as u64 > bounds.uri_bytes.0 {
        return Err(Reason::UriTooLong.into());
    }
    let authority = authority(&parts.uri, &mut headers, parts.version)?;
    let content_length = framing(&mut headers)?;
    expectation(&mut headers)?;
    if headers.get_all(AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Error::new(Reason::MalformedRequest, "two authorization fields"));
    }
    let trailer = announced_trailers(&headers);
    let websocket = hop_by_hop(&mut headers, &parts.method, parts.version)?;
    let (path, ambiguous_path) = normal_path(parts.uri.path())?;
    let query = parts.uri.query().map(str::to_owned);
    let Forwarded { client, addresses: forwarded_for, certificates, https } = forwarded(&mut headers, peer, trusted);
    join_cookies(&mut headers);
    let grpc = if parts.version == Version::HTTP_2 { Grpc::of(&headers)? } else { None };
    Ok(Request {
        method: parts.method,
        scheme: if https { "https" } else { "http" },
        authority,
        path,
        query,
        headers,
        version: parts.version,
        client,
        content_length,
        websocket,
        ambiguous_path,
        authority_is_set: false,
        forwarded_host: None,
        trailer,
        forwarded_for,
        grpc,
        client_certificates: certificates,
    })
}

fn check_size(headers: &HeaderMap, bounds: &BoundsConfig) -> Result<(), Error> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > bounds.headers || bytes as u64 > bounds.header_bytes.0 {
        return Err(Reason::HeadersTooLarge.into());
    }
    Ok(())
}

/// RFC 9112 §3.2, RFC 9113 §8.3.1: one host, however often it is said.
fn authority(uri: &http::Uri, headers: &mut HeaderMap, version: Version) -> Result<String, Error> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Error::new(Reason::AmbiguousHost, "two host fields"));
    }
    let host = host.map(|host| host.to_str().map_err(|_| Error::new(Reason::AmbiguousHost, "host is not text")));
    let host = host.transpose()?;
    let target = uri.authority().map(http::uri::Authority::as_str);
    let chosen = match (target, host) {
        (Some(target), Some(host)) if target.eq_ignore_ascii_case(host) => host,
        (Some(_), Some(_)) => return Err(Error::new(Reason::AmbiguousHost, "host is not the target's authority")),
        (Some(target), None) if version == Version::HTTP_2 => target,
        (None, Some(host)) => host,
        (_, None) => return Err(Error::new(Reason::AmbiguousHost, "no host")),
    };
    let chosen = chosen.to_ascii_lowercase();
    if !is_authority(&chosen) {
        return Err(Error::new(Reason::AmbiguousHost, "host is not a name or address with a port"));
    }
    headers.remove(HOST);
    Ok(chosen)
}

/// Whether a text is a host with an optional port, and nothing that a second parser might see more in.
#[must_use]
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => match text.split_once(':') {
            Some((host, _)) => (host, text.strip_prefix(host).unwrap_or("")),
            None => (text, ""),
        },
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let port_fits = match port.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    !host.is_empty() && host.len() <= 255 && !host.starts_with('.') && host.bytes().all(plain) && port_fits
}

/// RFC 9112 §6.3: one way to tell where the body ends.
fn framing(headers: &mut HeaderMap) -> Result<Option<u64>, Error> {
    let ambiguous = |detail| Err(Error::new(Reason::AmbiguousFraming, detail));
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return ambiguous("a transfer coding other than chunked, once");
    }
    let chunked = headers.remove(TRANSFER_ENCODING).is_some();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next().map(HeaderValue::as_bytes);
    if lengths.next().is_some() || (chunked && length.is_some()) {
        return ambiguous("more than one length");
    }
    let Some(length) = length else { return Ok(None) };
    let plain = length.iter().all(u8::is_ascii_digit) && (length == b"0" || !length.starts_with(b"0"));
    let Some(length) = std::str::from_utf8(length).ok().filter(|_| plain).and_then(|length| length.parse().ok()) else {
        return ambiguous("the length is not a plain number");
    };
    headers.remove(CONTENT_LENGTH);
    Ok(Some(length))
}

/// RFC 9110 §10.1.1: the gateway meets `100-continue` itself.
fn expectation(headers: &mut HeaderMap) -> Result<(), Error> {
    let mut expectations = headers.get_all(EXPECT).iter();
    if let Some(expectation) = expectations.next()
        && (expectations.next().is_some() || !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(Reason::ExpectationFailed.into());
    }
    headers.remove(EXPECT);
    Ok(())
}

/// RFC 9110 §7.6.1. Whether a WebSocket is asked for (RFC 6455 §4.1).
fn hop_by_hop(headers: &mut HeaderMap, method: &Method, version: Version) -> Result<bool, Error> {
    let mut named = Vec::new();
    let mut upgrade = false;
    for value in headers.get_all(CONNECTION) {
        let Ok(value) = value.to_str() else {
            return Err(Error::new(Reason::MalformedRequest, "connection is not text"));
        };
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
                return Err(Error::new(Reason::MalformedRequest, "connection names no field"));
            };
            upgrade |= name == UPGRADE;
            if is_protected(name.as_str()) {
                return Err(Error::new(Reason::ProtectedHeaderNamed, format!("connection: {name}")));
            }
            named.push(name);
        }
    }
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let websocket =
        upgrade && protocol && protocols.next().is_none() && *method == Method::GET && version == Version::HTTP_11;
    for name in named {
        headers.remove(name);
    }
    let strip: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
    for name in strip {
        headers.remove(name);
    }
    Ok(websocket)
}

/// Whether a second parser might read a path differently; nothing for one that is not in its one spelling.
#[must_use]
pub fn path_reading(path: &str) -> Option<bool> {
    let (normal, ambiguous) = normal_path(path).ok()?;
    (normal == path).then_some(ambiguous)
}

/// One spelling of a path (RFC 3986 §6.2.2), and whether a second parser might still read it differently.
fn normal_path(path: &str) -> Result<(String, bool), Error> {
    let refuse = |detail| Err(Error::new(Reason::AmbiguousPath, detail));
    if !path.starts_with('/') {
        return refuse("not an absolute path");
    }
    let bytes = path.as_bytes();
    let mut normal = String::with_capacity(path.len());
    let mut ambiguous = false;
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        index += 1;
        match byte {
            b'%' => {
                let digits = bytes.get(index..index + 2).and_then(|digits| std::str::from_utf8(digits).ok());
                let Some(decoded) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
                    return refuse("a percent sign without two hexadecimal digits");
                };
                index += 2;
                match decoded {
                    b'.' => return refuse("an escaped dot"),
                    0..=0x1f | 0x7f => return refuse("an escaped control character"),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => normal.push(char::from(decoded)),
                    _ => {
                        ambiguous |= matches!(decoded, b'/' | b'\\' | b';' | b'%' | b'#' | b'?');
                        normal.push_str(&format!("%{decoded:02X}"));
                    }
                }
            }
            b'\\' | b';' => {
                ambiguous = true;
                normal.push(char::from(byte));
            }
            b'#' => return refuse("a fragment"),
            0x21..=0x7e => normal.push(char::from(byte)),
            0x80.. => {
                ambiguous = true;
                normal.push_str(&format!("%{byte:02X}"));
            }
            _ => return refuse("a control character"),
        }
    }
    for (index, segment) in normal.split('/').enumerate().skip(1) {
        if matches!(segment, "." | "..") || segment.starts_with("..;") || segment.starts_with(".;") {
            return refuse("a dot segment");
        }
        let last = index == normal.matches('/').count();
        ambiguous |= segment.is_empty() && !last;
    }
    Ok((normal, ambiguous))
}

/// What is known of the client behind trusted proxies.
struct Forwarded {
    client: IpAddr,
    /// The `x-forwarded-for` of a trusted peer.
    addresses: Option<String>,
    certificates: Option<HeaderValue>,
    /// Whether the client spoke TLS, to us or to a trusted peer.
    https: bool,
}

/// Removes what only a trusted peer may say, and keeps what one said.
fn forwarded(headers: &mut HeaderMap, peer: &Peer, trusted: &[IpNet]) -> Forwarded {
    let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address.to_canonical()));
    let direct = peer.address.ip().to_canonical();
    let believed = is_trusted(direct);
    let mut addresses = None;
    let mut client = direct;
    let mut https = peer.tls.is_some();
    if believed {
        // A list of several, or anything else, is taken for clear text.
        https = joined(headers, "x-forwarded-proto").map_or(https, |proto| proto.eq_ignore_ascii_case("https"));
        let list = joined(headers, "x-forwarded-for").unwrap_or_default();
        // From the nearest hop outwards, up to the first that is not trusted itself.
        for hop in list.rsplit(',').map(str::trim) {
            let Ok(address) = hop.parse::<IpAddr>() else { break };
            client = address.to_canonical();
            if !is_trusted(client) {
                break;
            }
        }
        addresses = (!list.is_empty()).then_some(list);
    }
    let theirs = joined(headers, FORWARDED_CLIENT_CERT).filter(|_| believed && peer.forwards_certificate);
    let ours = peer.certificate().filter(|_| peer.forwards_certificate).and_then(Certificate::forwarded);
    let ours = ours.as_ref().and_then(|element| element.to_str().ok()).map(str::to_owned);
    let elements: Vec<String> = theirs.into_iter().chain(ours).collect();
    let certificates = HeaderValue::from_str(&elements.join(",")).ok().filter(|value| !value.is_empty());
    let strip: Vec<HeaderName> = headers.keys().filter(|name| is_untrusted(name.as_str())).cloned().collect();
    for name in strip {
        headers.remove(name);
    }
    headers.remove(FORWARDED);
    Forwarded { client, addresses, certificates, https }
}

/// The header in which proxies tell of client certificates, as Envoy does.
pub(crate) const FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// All values of a list; those that are no text are not there.
fn joined(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// RFC 9113 §8.2.3: cookie crumbs become one field.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::{is_authority, normal_path};

    #[test]
    fn a_path_has_one_spelling() {
        for (path, normal, ambiguous) in [
            ("/", "/", false),
            ("/a/b/", "/a/b/", false),
            ("/%61dmin", "/admin", false),
            ("/a%2fb", "/a%2Fb", true),
            ("/a%5cb", "/a%5Cb", true),
            ("/a;x=1", "/a;x=1", true),
            ("//a", "//a", true),
            ("/a%20b", "/a%20b", false),
            ("/a%25b", "/a%25b", true),
            ("/\u{e9}", "/%C3%A9", true),
            ("/...", "/...", false),
        ] {
            let found = normal_path(path).unwrap();
            assert_eq!(found, (normal.to_owned(), ambiguous), "{path}");
            assert_eq!(normal_path(&found.0).unwrap().0, found.0, "{path} is stable");
        }
        for path in
            ["/..", "/./a", "/a/../b", "/%2e%2e/a", "/a%00", "/%zz", "/%", "/%4", "/a#b", "*", "/..;/a", "/a%0d"]
        {
            assert!(normal_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_a_port() {
        for good in ["a.test", "a.test:80", "127.0.0.1:8080", "[::1]:80", "[::1]", "x_y"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in
            ["", ":80", "a@b", "a/x", "a, b", "a b", "a:b", "a:", "a:99999", "[::1", "[x]", "a%2e", ".a", "a:80:80"]
        {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
