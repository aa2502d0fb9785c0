//! Waits that end, what a client may use, and rate buckets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{ByteCount, Period};

/// Waits that end, for clients and requests. The upstream's are with the upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// From the connection to the end of the TLS handshake.
    pub tls_handshake: Period,
    /// From the connection (or the handshake) to its first byte.
    pub first_byte: Period,
    /// From the first byte of a request to the end of its headers.
    pub headers: Period,
    /// Between two reads of a request body.
    pub body_idle: Period,
    /// Between two requests on a connection.
    pub keep_alive: Period,
    /// While a client does not read what is sent to it.
    pub write_stall: Period,
    /// From the first byte of a request to the last of its response; streamed responses are under `stream_total`.
    pub total: Period,
    /// As `total`, for a streamed response (server-sent events, NDJSON) and for WebSocket.
    pub stream_total: Period,
    /// How long a stream of server-sent events that policies read may say nothing before its client gets a comment
    /// (`: keep-alive`), so that nobody between the two takes it for dead: a model may think for minutes before its first
    /// word. 0s for never.
    pub event_silence: Period,
    /// From SIGTERM to the end of the last request; what is left then is cut.
    pub drain: Period,
    /// How long a connection without a request is left open once the gateway drains: a request that is on its way then is
    /// still answered, with `connection: close` (RFC 9112 §9.6). At most `drain`.
    pub drain_idle: Period,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            tls_handshake: Period::seconds(10),
            first_byte: Period::seconds(10),
            headers: Period::seconds(10),
            body_idle: Period::seconds(30),
            keep_alive: Period::seconds(60),
            write_stall: Period::seconds(30),
            total: Period::seconds(300),
            stream_total: Period::seconds(3600),
            event_silence: Period::seconds(15),
            drain: Period::seconds(30),
            drain_idle: Period::seconds(3),
        }
    }
}

/// What a client may use. Past a bound it gets an answer with a reason code: 431, 414, 413 or 503.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BoundsConfig {
    /// Header fields of a request, cookie crumbs of HTTP/2 included. From 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub headers: usize,
    /// Names and values of a request's headers together.
    pub header_bytes: ByteCount,
    /// Path and query of a request.
    pub uri_bytes: ByteCount,
    /// A request body; routes may set their own.
    pub body: ByteCount,
    /// A body held in memory for a policy, request or response; at most what a policy can be handed, 64 MiB.
    pub buffered_body: ByteCount,
    /// Connections at once, all listeners together; a connection past it is closed.
    #[schemars(range(min = 1))]
    pub connections: usize,
    /// Streams at once on one HTTP/2 connection.
    #[schemars(range(min = 1, max = 10000))]
    pub streams: u32,
    /// One event of a stream that policies read.
    pub event: ByteCount,
}

impl Default for BoundsConfig {
    fn default() -> Self {
        Self {
            headers: 100,
            header_bytes: ByteCount::kib(32),
            uri_bytes: ByteCount::kib(8),
            body: ByteCount::mib(10),
            buffered_body: ByteCount::mib(10),
            connections: 10_000,
            streams: 100,
            event: ByteCount::kib(256),
        }
    }
}

/// A rate bucket (GCRA): so many units a period, and at most so many at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketConfig {
    /// Units each period. From 1.
    #[schemars(range(min = 1))]
    pub tokens: u32,
    /// The period; at most 49 days.
    pub per: Period,
    /// Units at once; as many as `tokens` if absent.
    #[schemars(range(min = 1))]
    #[serde(default)]
    pub burst: Option<u32>,
}
