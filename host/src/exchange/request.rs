//! The canonical request: what routing, policies, logs and the upstream all read.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, Version};

use crate::grpc::Grpc;

/// A request with one method, one authority, one path and one framing.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method; never CONNECT.
    pub method: Method,
    /// "http" or "https".
    pub scheme: &'static str,
    /// In lower case, with the port if the client wrote one.
    pub authority: String,
    /// Normalised: no dot segments, no escape of an unreserved character.
    pub path: String,
    /// As the client wrote it.
    pub query: Option<String>,
    /// Without hop-by-hop fields, `host`, `content-length` and whatever only a trusted peer may say.
    pub headers: HeaderMap,
    /// The protocol that the client speaks.
    pub version: Version,
    /// The client, behind trusted proxies.
    pub client: IpAddr,
    /// The declared length of the body.
    pub content_length: Option<u64>,
    /// Whether the client asks for a WebSocket.
    pub websocket: bool,
    /// Whether two parsers might read the path differently.
    pub ambiguous_path: bool,
    /// Whether a policy named the authority that the upstream is to see.
    pub authority_is_set: bool,
    /// The authority that the client named, where another took its place.
    pub forwarded_host: Option<String>,
    /// The names of the trailers that the client announced and that may be passed on.
    pub trailer: Option<HeaderValue>,
    /// The `x-forwarded-for` of a trusted peer.
    pub forwarded_for: Option<String>,
    /// The call of gRPC that it is, if it is one.
    pub grpc: Option<Grpc>,
    /// What upstreams are told of client certificates, if they are told.
    pub client_certificates: Option<HeaderValue>,
}

impl Request {
    /// Stands for a request that was lost.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            method: Method::GET,
            scheme: "http",
            authority: String::new(),
            path: String::new(),
            query: None,
            headers: HeaderMap::new(),
            version: Version::HTTP_11,
            client: IpAddr::from([0, 0, 0, 0]),
            content_length: None,
            websocket: false,
            ambiguous_path: false,
            authority_is_set: false,
            forwarded_host: None,
            trailer: None,
            forwarded_for: None,
            grpc: None,
            client_certificates: None,
        }
    }

    /// The authority without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => host,
            _ => &self.authority,
        }
    }

    /// "1.0", "1.1" or "2".
    #[must_use]
    pub fn version_text(&self) -> &'static str {
        match self.version {
            Version::HTTP_2 => "2",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        }
    }

    /// Path and query as they stand on the wire.
    #[must_use]
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }
}
