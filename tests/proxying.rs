//! Requests on their way to an upstream and back: routing, shaping, headers, bodies, timers, bounds, drain.

mod actions;
mod bodies;
mod bounds;
mod concurrency;
mod drain;
mod headers;
mod identity;
mod idle;
mod pool;
mod routing;
mod splits;
mod timers;
pub(crate) mod upgrades;

use harness::{Gateway, Origin};

/// A gateway whose every request goes to one upstream, with more of the upstream's and of the top's configuration.
fn gateway_to(url: &str, upstream: &str, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}\nupstreams: {{ origin: {{ endpoints: [{{ url: {url:?} }}]{upstream} }} }}\n\
         routes: [{{ name: all, upstream: origin, websocket: true }}]\n"
    ))
}

/// An origin that answers every request with its name.
fn named_origin(name: &'static str) -> Origin {
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len()));
        }
    })
}
