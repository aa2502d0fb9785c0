//! A request as it came, its body read to the end.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

/// A request with as much of its body as is kept.
pub(super) struct Received {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) body: Bytes,
    /// Of the whole body; more than `body` holds if that was cut at its cap.
    pub(super) body_bytes: u64,
}

impl Received {
    /// Reads a request to its end; `None` if the client broke off.
    pub(super) async fn read(request: Request<Incoming>) -> Option<Self> {
        let (head, mut incoming) = request.into_parts();
        let (mut body, mut body_bytes, mut trailers) = (BytesMut::new(), 0, None);
        while let Some(frame) = incoming.frame().await {
            match frame.ok()?.into_data() {
                Ok(data) => {
                    body_bytes += data.len() as u64;
                    let room = KEPT_BYTES_MAX - body.len();
                    body.extend_from_slice(data.get(..room).unwrap_or(&data));
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let (method, uri, version, headers) = (head.method, head.uri, head.version, head.headers);
        Some(Self { method, uri, version, headers, trailers, body: body.freeze(), body_bytes })
    }

    /// The body as JSON; `None` if it is not, or was too long to keep.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A token that is the same for the same body: the 24 hex digits that identifiers are made of.
    pub(super) fn token(&self) -> String {
        use sha2::Digest as _;
        sha2::Sha256::digest(&self.body).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
    }
}

const KEPT_BYTES_MAX: usize = 16 << 20;
