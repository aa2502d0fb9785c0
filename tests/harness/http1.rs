//! Replies of HTTP/1.1, and the simplest requests.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::wire::Wire;

/// A response as it came.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Names in lower case with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// The trailer section of a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Reply {
    /// The one value of a header; `None` if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} is repeated in {self:?}");
        value
    }

    /// The reason code of an answer that the gateway made itself.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.header("x-gatewright-reason")
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// Asks for a path on a connection of its own.
#[must_use]
pub fn http_get(address: SocketAddr, path: &str) -> Reply {
    let mut wire = Wire::connect(address);
    wire.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n"));
    wire.reply()
}

/// Posts nothing to a path on a connection of its own, and waits this long for the answer.
pub(crate) fn http_post_within(patience: Duration, address: SocketAddr, path: &str) -> Reply {
    let mut wire = Wire::connect(address);
    wire.socket().set_read_timeout(Some(patience)).unwrap();
    wire.send(format!("POST {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"));
    wire.reply()
}

/// Posts a body to a path on a connection of its own.
#[must_use]
pub fn http_post(address: SocketAddr, path: &str, headers: &str, body: &str) -> Reply {
    let mut wire = Wire::connect(address);
    let length = body.len();
    wire.send(format!(
        "POST {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    ));
    wire.reply()
}
