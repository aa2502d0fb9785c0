//! The interface `http`, with the responses that the test prepared. Each test thread has its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use super::services::secrets::Secret;
use super::{Fields, json};
pub use crate::bindings::policy::gatewright::policy::http::HttpError;
use crate::{BodyError, HeaderError};

/// A request that a policy sent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SentRequest {
    /// The upstream's name.
    pub upstream: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers in the order they were set; a secret's bytes are in clear.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What `set-timeout` set.
    pub timeout_ms: Option<u32>,
}

type Prepared = Result<(u16, Vec<u8>), HttpError>;

#[derive(Debug, Default)]
struct Network {
    answers: BTreeMap<String, VecDeque<Prepared>>,
    sent: Vec<SentRequest>,
}

thread_local! {
    static NETWORK: RefCell<Network> = RefCell::default();
}

/// Prepares the next answer of an upstream, and grants the upstream. The last answer is given again and again.
pub fn answer_http(upstream: &str, answer: Result<(u16, &[u8]), HttpError>) {
    let answer = answer.map(|(status, body)| (status, body.to_vec()));
    NETWORK.with_borrow_mut(|network| network.answers.entry(upstream.to_owned()).or_default().push_back(answer));
}

/// Every request that was started so far, in order.
#[must_use]
pub fn sent_requests() -> Vec<SentRequest> {
    NETWORK.with_borrow(|network| network.sent.clone())
}

/// A request in the making.
#[derive(Debug)]
pub struct Outbound(RefCell<SentRequest>);

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Outbound {
    /// A request to an upstream.
    #[must_use]
    pub fn new(upstream: &str, method: &str, target: &str) -> Self {
        Self(RefCell::new(SentRequest {
            upstream: upstream.to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            ..SentRequest::default()
        }))
    }

    /// Replace all values of a header.
    pub fn set_header(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        // The rules are those of any header section.
        Fields::default().set(name, value)?;
        let mut request = self.0.borrow_mut();
        request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        Ok(())
    }

    /// As `set_header`, with a secret.
    pub fn set_header_secret(&self, name: &str, prefix: &str, value: &Secret) -> Result<(), HeaderError> {
        let bytes = value.reveal().map_err(|_| HeaderError::Refused)?;
        let text = String::from_utf8(bytes).map_err(|_| HeaderError::Refused)?;
        self.set_header(name, &format!("{prefix}{text}"))
    }

    /// Set the body.
    pub fn set_body(&self, bytes: &[u8]) -> Result<(), HttpError> {
        if bytes.len() > 512 << 10 {
            return Err(HttpError::TooLarge);
        }
        self.0.borrow_mut().body = bytes.to_vec();
        Ok(())
    }

    /// Milliseconds until the response must be here.
    pub fn set_timeout(&self, ms: u32) {
        self.0.borrow_mut().timeout_ms = Some(ms);
    }

    /// Start now.
    pub fn start(&self) -> Result<Pending, HttpError> {
        let request = self.0.borrow().clone();
        if !request.target.starts_with('/') || request.method.is_empty() {
            return Err(HttpError::Invalid);
        }
        NETWORK.with_borrow_mut(|network| {
            let answers = network.answers.get_mut(&request.upstream).ok_or(HttpError::NotGranted)?;
            network.sent.push(request);
            let last = answers.front().cloned().ok_or(HttpError::NotGranted)?;
            if answers.len() > 1 {
                answers.pop_front();
            }
            Ok(Pending(last))
        })
    }

    /// `start`, then `wait`.
    pub fn send(&self) -> Result<Response, HttpError> {
        self.start()?.wait()
    }
}

/// A request under way.
#[derive(Debug)]
pub struct Pending(Prepared);

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Pending {
    /// Wait for the response.
    pub fn wait(&self) -> Result<Response, HttpError> {
        self.0.clone().map(|(status, body)| Response { status, body })
    }
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Response {
    status: u16,
    body: Vec<u8>,
}

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Response {
    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// None: the test prepared none.
    #[must_use]
    pub fn headers(&self) -> Fields {
        Fields::default()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// The JSON text at each pointer.
    pub fn json_get(&self, pointers: &[String]) -> Result<Vec<Option<String>>, BodyError> {
        let text = String::from_utf8_lossy(&self.body);
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            return Err(BodyError::NotJson(error.to_string()));
        }
        Ok(pointers.iter().map(|pointer| json::text_at(&text, pointer).map(str::to_owned)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::{HttpError, Outbound, answer_http, sent_requests};
    use crate::testing::declare_secret;
    use crate::testing::services::secrets::Secret;

    #[test]
    fn requests_are_kept_and_answered_in_order() {
        declare_secret("key", b"s3cret");
        assert!(matches!(Outbound::new("keys", "GET", "/").send(), Err(HttpError::NotGranted)));
        answer_http("keys", Err(HttpError::Timeout));
        answer_http("keys", Ok((200, br#"{"a":[1.0]}"#)));
        let request = Outbound::new("keys", "POST", "/v1");
        assert!(request.set_header("content-length", "1").is_err());
        request.set_header("X-A", "1").unwrap();
        request.set_header_secret("authorization", "Bearer ", &Secret::open("key").unwrap()).unwrap();
        assert!(matches!(request.send(), Err(HttpError::Timeout)));
        let response = request.send().unwrap();
        assert_eq!(response.json_get(&["/a/0".to_owned()]).unwrap(), [Some("1.0".to_owned())]);
        let sent = sent_requests();
        assert_eq!(sent.len(), 2);
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(sent[1].headers, [header("x-a", "1"), header("authorization", "Bearer s3cret")]);
        assert!(matches!(Outbound::new("keys", "GET", "http://x/").send(), Err(HttpError::Invalid)));
    }
}
