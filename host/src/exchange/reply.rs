//! A reply that the gateway or a policy makes itself, shaped as the route's API shapes its errors.

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName, StatusCode};

use super::shape::{Fault, shape};
use crate::config::Api;
use crate::error::Error;
use crate::grpc;

/// A reply under construction.
#[derive(Debug, Clone)]
pub struct Reply {
    /// From 200 to 599.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: ReplyBody,
}

/// The body of a reply.
#[derive(Debug, Clone)]
pub enum ReplyBody {
    /// None.
    Empty,
    /// These bytes.
    Bytes(Bytes),
    /// An error, to be shaped for the route.
    Error {
        /// The short stable token.
        code: String,
        /// For a person.
        message: String,
    },
}

/// Names the reason of every reply that no upstream made.
const REASON: HeaderName = HeaderName::from_static("x-gatewright-reason");

impl Reply {
    /// A reply with a status from 200 to 599; any other becomes 500.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers: HeaderMap::new(), body: ReplyBody::Empty }
    }

    /// Its code, if it is an error.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match &self.body {
            ReplyBody::Error { code, .. } => Some(code),
            ReplyBody::Empty | ReplyBody::Bytes(_) => None,
        }
    }

    /// As `finish`, for a call of gRPC: an error is told in its own status, and has no body.
    #[must_use]
    pub fn finish_grpc(self, api: Api, request_id: &str) -> (StatusCode, HeaderMap, Bytes) {
        let Self { status, mut headers, body: ReplyBody::Error { code, message } } = self else {
            return self.finish(api, request_id);
        };
        grpc::fail(&mut headers, status, &message);
        if let Ok(code) = HeaderValue::from_str(&code) {
            headers.insert(REASON, code);
        }
        (StatusCode::OK, headers, Bytes::new())
    }

    /// Status, headers and body, an error shaped for `api`.
    #[must_use]
    pub fn finish(self, api: Api, request_id: &str) -> (StatusCode, HeaderMap, Bytes) {
        let Self { status, mut headers, body } = self;
        let body = match body {
            ReplyBody::Empty => Bytes::new(),
            ReplyBody::Bytes(bytes) => bytes,
            ReplyBody::Error { code, message } => {
                let bytes = shape(api, &Fault { status, code: &code, message: &message, request_id }, &mut headers);
                if let Ok(code) = HeaderValue::from_str(&code) {
                    headers.insert(REASON, code);
                }
                bytes
            }
        };
        (status, headers, body)
    }
}

/// The reply to a request that failed.
#[must_use]
pub fn error_reply(error: &Error) -> Reply {
    let mut headers = HeaderMap::new();
    if error.reason.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let body = ReplyBody::Error { code: error.reason.code().to_owned(), message: error.reason.text().to_owned() };
    Reply { status: error.reason.status(), headers, body }
}
