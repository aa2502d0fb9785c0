//! Why a request cannot be carried over, and what was carried over with a change.

use gatewright_sdk::{Decision, Reply};

/// Why a request is refused.
#[derive(Debug)]
pub(crate) struct Fault {
    code: &'static str,
    at: String,
    message: String,
}

impl Fault {
    /// The field has no counterpart upstream.
    pub(crate) fn unsupported(at: &str) -> Self {
        Self {
            code: "unsupported-field",
            at: at.to_owned(),
            message: "is not supported by this model's provider".to_owned(),
        }
    }

    /// The field is not what the client's dialect says.
    pub(crate) fn invalid(at: &str, message: impl Into<String>) -> Self {
        Self { code: "invalid-request", at: at.to_owned(), message: message.into() }
    }

    /// The same fault, seen from the object around it.
    pub(crate) fn within(mut self, outer: &str) -> Self {
        self.at = if self.at.is_empty() { outer.to_owned() } else { format!("{outer}.{}", self.at) };
        self
    }

    pub(crate) fn answer(&self) -> Decision {
        let at = if self.at.is_empty() { "the body" } else { &self.at };
        Decision::Answer(Reply::error(400, self.code, &format!("{at} {}", self.message)))
    }
}

/// What was carried over with a change, for the header `x-gatewright-warning`.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn add(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if self.0.len() < WARNINGS_MAX && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// One header value. Some of the text came from the client: only printable ASCII goes on.
    pub(crate) fn header(&self) -> String {
        let text = self.0.join("; ");
        text.chars().map(|letter| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' }).collect()
    }
}

/// A header has room for so many.
const WARNINGS_MAX: usize = 16;
