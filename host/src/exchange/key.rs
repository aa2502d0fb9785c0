//! What of a request says that it belongs to others.

use http::HeaderMap;
use http::header::COOKIE;

use super::Exchange;
use crate::config::RequestKey;

impl Exchange {
    /// What the request has of a key; none if it has nothing.
    #[must_use]
    pub fn key(&self, key: &RequestKey) -> Option<String> {
        let headers = &self.request.headers;
        let value = match key {
            RequestKey::Header(name) => {
                let mut values = headers.get_all(name.as_str()).iter();
                let value = String::from_utf8_lossy(values.next()?.as_bytes()).into_owned();
                values.next().is_none().then_some(value)?
            }
            RequestKey::Cookie(name) => cookie(headers, name)?.to_owned(),
            RequestKey::ClientAddress => self.request.client.to_string(),
            RequestKey::Metadata(name) => self.metadata(name)?.to_string(),
        };
        (!value.is_empty()).then_some(value)
    }
}

/// The value of a cookie (RFC 6265 §4.2.1); the first, if there are more.
#[must_use]
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(other, _)| *other == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::cookie;

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("xid=1; id=2;id=3"));
        assert_eq!(cookie(&headers, "id"), Some("2"));
        assert_eq!(cookie(&headers, "i"), None);
    }
}
