//! What of a request its endpoint is chosen by, and the cookie that keeps a client there.

use std::sync::Arc;

use http::header::SET_COOKIE;

use crate::exchange::{Exchange, ResponseHead, cookie};
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
            key: balance.hash.as_ref().and_then(|key| exchange.key(key)),
            label: balance.subset.as_ref().and_then(|subset| exchange.key(&subset.from)),
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
