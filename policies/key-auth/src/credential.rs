//! Where a request carries its key: found, and taken out again.

use gatewright_sdk::{Exchange, Failure, HeaderError};
use schemars::JsonSchema;
use serde::Deserialize;

/// One place where a key may be: a header, a query parameter or a cookie.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    /// A header, e.g. "authorization".
    header: Option<String>,
    /// The scheme before the key in the header, e.g. "Bearer".
    pub(crate) scheme: Option<String>,
    /// A query parameter.
    query: Option<String>,
    /// A cookie.
    cookie: Option<String>,
}

impl Source {
    pub(crate) fn header(header: String, scheme: Option<String>) -> Self {
        Self { header: Some(header), scheme, query: None, cookie: None }
    }

    pub(crate) fn is_one_place(&self) -> bool {
        let places = [&self.header, &self.query, &self.cookie];
        places.iter().filter(|place| place.is_some()).count() == 1 && (self.scheme.is_none() || self.header.is_some())
    }

    fn find(&self, exchange: &Exchange) -> Found<String> {
        if let Some(header) = &self.header {
            self.find_in_header(header, exchange)
        } else if let Some(name) = &self.query {
            let query = exchange.query().unwrap_or_default();
            Found::from_all(
                pairs(&query, '&').filter(|(known, _)| decode(known) == *name).map(|(_, value)| decode(value)),
            )
        } else if let Some(name) = &self.cookie {
            let cookies = cookies(exchange);
            Found::from_all(pairs(&cookies, ';').filter(|(known, _)| known == name).map(|(_, value)| value.to_owned()))
        } else {
            Found::None
        }
    }

    fn find_in_header(&self, header: &str, exchange: &Exchange) -> Found<String> {
        let value = match exchange.request_header(header) {
            Ok(Some(value)) => value,
            Ok(None) => return Found::None,
            // Not text can be no key: as unknown as any other.
            Err(HeaderError::NotText) => return Found::One(String::new()),
            Err(_) => return Found::Several,
        };
        let Some(scheme) = &self.scheme else { return Found::One(value) };
        match value.split_once(' ') {
            Some((sent, secret)) if sent.eq_ignore_ascii_case(scheme) => Found::One(secret.trim_start().to_owned()),
            _ => Found::None,
        }
    }
}

/// A key as the client sent it, and where.
pub(crate) struct Credential<'a> {
    pub(crate) secret: String,
    source: &'a Source,
}

impl Credential<'_> {
    /// Takes the key out of the request.
    pub(crate) fn remove(&self, exchange: &Exchange) -> Result<(), Failure> {
        if let Some(header) = &self.source.header {
            exchange.request_headers().remove(header)?;
        } else if let Some(name) = &self.source.query {
            let query = exchange.query().unwrap_or_default();
            let kept: Vec<_> = query.split('&').filter(|pair| decode(name_of(pair)) != *name).collect();
            let kept = kept.join("&");
            exchange.set_path(&exchange.path(), (!kept.is_empty()).then_some(kept.as_str()))?;
        } else if let Some(name) = &self.source.cookie {
            let headers = exchange.request_headers();
            let cookies = cookies(exchange);
            let kept: Vec<_> = cookies.split(';').map(str::trim).filter(|pair| name_of(pair) != name).collect();
            if kept.is_empty() {
                headers.remove("cookie")?;
            } else {
                headers.set("cookie", &kept.join("; "))?;
            }
        }
        Ok(())
    }
}

/// How many there are: more than one is never a guess.
pub(crate) enum Found<T> {
    None,
    One(T),
    Several,
}

impl<T> Found<T> {
    fn from_all(mut all: impl Iterator<Item = T>) -> Self {
        match (all.next(), all.next()) {
            (None, _) => Self::None,
            (Some(one), None) => Self::One(one),
            (Some(_), Some(_)) => Self::Several,
        }
    }
}

/// The one credential of a request.
pub(crate) fn find<'a>(sources: &'a [Source], exchange: &Exchange) -> Found<Credential<'a>> {
    let mut found = Found::None;
    for source in sources {
        match (source.find(exchange), &found) {
            (Found::None, _) => {}
            (Found::One(secret), Found::None) => found = Found::One(Credential { secret, source }),
            (Found::One(_) | Found::Several, _) => return Found::Several,
        }
    }
    found
}

/// HTTP/2 may split cookies over several fields (RFC 9113 §8.2.3).
fn cookies(exchange: &Exchange) -> String {
    let fields = exchange.request_headers().get_all("cookie");
    let texts: Vec<_> = fields.iter().map(|field| String::from_utf8_lossy(field)).collect();
    texts.join("; ")
}

fn pairs(text: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    text.split(separator).map(|pair| pair.trim().split_once('=').unwrap_or((pair.trim(), "")))
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Percent decoding of a form (WHATWG URL §5.1); what is not valid stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let value = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0);
                bytes.extend(u8::try_from(value(*high) * 16 + value(*low)));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
