//! How an upstream treats its endpoints: sharing requests, passing over those that fail, finding them by name.

mod balancing;
mod failures;
mod fallback;
mod health;
mod names;
mod proxied;
mod retries;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};

use harness::{Conversation, Gateway, Origin, Wire};

/// A gateway whose every request goes to these endpoints, with more of the upstream's configuration.
fn gateway(endpoints: &[String], upstream: &str) -> Gateway {
    gateway_with(endpoints, upstream, "")
}

/// As `gateway`, with more of the top's configuration.
fn gateway_with(endpoints: &[String], upstream: &str, more: &str) -> Gateway {
    let endpoints = endpoints.join(", ");
    Gateway::start(&format!(
        "{more}\nupstreams:\n  all:\n    endpoints: [{endpoints}]\n{upstream}\n\
         routes: [{{ name: all, upstream: all }}]\n"
    ))
}

/// An endpoint, with more of its configuration.
fn endpoint(url: &str, more: &str) -> String {
    format!("{{ url: {url:?}{more} }}")
}

/// An origin that answers every request with its name.
fn named(name: &'static str) -> Origin {
    Origin::talking(move |conversation| {
        while conversation.request().is_some() {
            answer(conversation, name);
        }
    })
}

fn answer(conversation: &mut Conversation, text: &str) {
    conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()));
}

/// An address that nobody listens on.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// How often each body came as the answer to so many GET requests with these headers, one after the other.
fn answers(gateway: &Gateway, count: usize, headers: impl Fn(usize) -> String) -> BTreeMap<String, usize> {
    let mut wire = Wire::connect(gateway.address());
    let mut answers = BTreeMap::new();
    for number in 0..count {
        wire.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{}\r\n", headers(number)));
        let reply = wire.reply();
        let answer = if reply.status == 200 { reply.text() } else { reply.status.to_string() };
        *answers.entry(answer).or_insert(0) += 1;
    }
    answers
}

/// What `/status` says of the endpoints: state and address, in the order of the configuration.
fn states(gateway: &Gateway) -> Vec<(String, String)> {
    let status = gateway.admin_get("/status").json();
    let endpoints = status["upstreams"][0]["endpoints"].as_array().unwrap().clone();
    let text = |endpoint: &serde_json::Value, name: &str| endpoint[name].as_str().unwrap().to_owned();
    endpoints.iter().map(|endpoint| (text(endpoint, "state"), text(endpoint, "address"))).collect()
}

/// The states alone.
fn words(gateway: &Gateway) -> Vec<String> {
    states(gateway).into_iter().map(|(state, _)| state).collect()
}
