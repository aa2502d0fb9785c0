//! What of a request its endpoint is chosen by, and the cookie that keeps a client there.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};

use crate::config::RequestKey;
use crate::exchange::{Exchange, ResponseHead};
use crate::upstream::{Upstream, Wish};

/// What of a request matters to the choice of its endpoint.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    key: Option<String>,
    label: Option<String>,
    /// The endpoint that the client's cookie names.
    kept: Option<u64>,
}

impl Wishes {
    pub(super) fn of(exchange: &Exchange, upstream: &Upstream) -> Self {
        let balance = &upstream.config.balance;
        let kept = upstream.affinity.as_ref().and_then(|affinity| {
            cookie(&exchange.request.headers, affinity.cookie()).and_then(|value| affinity.read(value))
        });
        Self {
            key: balance.hash.as_ref().and_then(|key| value(exchange, key)),
            label: balance.subset.as_ref().and_then(|subset| value(exchange, &subset.from)),
            kept,
        }
    }

    pub(super) fn wish<'a>(&'a self, tried: &'a [Arc<str>]) -> Wish<'a> {
        Wish { key: self.key.as_deref(), label: self.label.as_deref(), kept: self.kept, tried }
    }

    /// Tells the client which endpoint it is to come back to, unless it knows.
    pub(super) fn keep(&self, upstream: &Upstream, endpoint: Option<u64>, is_tls: bool, head: &mut ResponseHead) {
        let (Some(affinity), Some(endpoint)) = (&upstream.affinity, endpoint) else { return };
        if self.kept == Some(endpoint) {
            return;
        }
        if let Some(cookie) = affinity.write(endpoint, is_tls) {
            head.headers.append(SET_COOKIE, cookie);
        }
    }
}

/// What a request has of a key; none if it has nothing.
pub(super) fn value(exchange: &Exchange, key: &RequestKey) -> Option<String> {
    let value = match key {
        RequestKey::Header(name) => {
            String::from_utf8_lossy(exchange.request.headers.get(name.as_str())?.as_bytes()).into_owned()
        }
        RequestKey::Cookie(name) => cookie(&exchange.request.headers, name)?.to_owned(),
        RequestKey::ClientAddress => exchange.request.client.to_string(),
        RequestKey::Metadata(name) => exchange.metadata(name)?.to_string(),
    };
    (!value.is_empty()).then_some(value)
}

/// The value of a cookie (RFC 6265 §4.2.1); the first, if there are more.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(other, _)| *other == name).map(|(_, value)| value)
}
