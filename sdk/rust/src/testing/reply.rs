//! A reply, and what a client would see of it.

use std::cell::RefCell;

use super::fields::Fields;

/// A reply that a policy makes itself.
#[derive(Debug)]
pub struct Reply {
    headers: Fields,
    content: RefCell<Answer>,
}

/// What a client would see of a reply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The code given to `set-error`.
    pub code: String,
    /// The message given to `set-error`.
    pub message: String,
    /// The body given to `set-body`.
    pub body: Vec<u8>,
    /// The header section.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// As in the contract.
impl Reply {
    /// A reply without a body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = if (200..600).contains(&status) { status } else { 500 };
        Self { headers: Fields::default(), content: RefCell::new(Answer { status, ..Answer::default() }) }
    }

    /// The reply's header section.
    #[must_use]
    pub fn headers(&self) -> Fields {
        self.headers.clone()
    }

    /// Set the body and its `content-type`.
    pub fn set_body(&self, content_type: &str, bytes: &[u8]) {
        self.headers.push("content-type", content_type);
        self.content.borrow_mut().body = bytes.to_vec();
    }

    /// Shape the body as an error.
    pub fn set_error(&self, code: &str, message: &str) {
        let mut content = self.content.borrow_mut();
        code.clone_into(&mut content.code);
        message.clone_into(&mut content.message);
    }

    /// What a client would see.
    #[must_use]
    pub fn seen(&self) -> Answer {
        let mut answer = self.content.borrow().clone();
        let entries = self.headers.entries().into_iter();
        answer.headers = entries.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
        answer
    }
}
