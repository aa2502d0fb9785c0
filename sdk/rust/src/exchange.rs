//! Short ways to ask for what policies ask for most.

use crate::bindings::policy::gatewright::policy::http::HttpError;
use crate::bindings::policy::gatewright::policy::kv::KvError;
use crate::bindings::policy::gatewright::policy::types::{BodyError, HeaderError, WriteError};
use crate::{Body, Exchange, Failure, Reply, Scalar};

impl Exchange {
    /// A property that is text, e.g. `client.address`.
    #[must_use]
    pub fn property_text(&self, name: &str) -> Option<String> {
        self.property(name).and_then(Scalar::into_text)
    }

    /// A metadata value that is text, e.g. `auth.principal`.
    #[must_use]
    pub fn metadata_text(&self, name: &str) -> Option<String> {
        self.get_metadata(name).and_then(Scalar::into_text)
    }

    /// Stores text as metadata.
    ///
    /// # Errors
    ///
    /// The operator did not grant the namespace, or a bound is reached.
    pub fn put_metadata_text(&self, name: &str, text: &str) -> Result<(), WriteError> {
        self.put_metadata(name, &Scalar::Text(text.to_owned()))
    }
}

impl Scalar {
    /// The text, if it is one.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) | Self::Boolean(_) => None,
        }
    }
}

impl Body {
    /// The whole body.
    #[must_use]
    pub fn read_all(&self) -> Vec<u8> {
        self.read(0, self.len())
    }

    /// The JSON text at each RFC 6901 pointer, exactly as the sender wrote it.
    ///
    /// # Errors
    ///
    /// The body is not JSON that the host can read.
    pub fn json_texts<const N: usize>(&self, pointers: [&str; N]) -> Result<[Option<String>; N], BodyError> {
        let texts = self.json_get(&pointers.map(str::to_owned))?;
        let mut texts = texts.into_iter();
        Ok(std::array::from_fn(|_| texts.next().flatten()))
    }
}

impl Reply {
    /// An error in the shape of the API that the route speaks. `code` is kebab-case and
    /// stable, `message` is for a person.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let reply = Self::new(status);
        reply.set_error(code, message);
        reply
    }

    /// With one header more; a refused header is left out.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        // Only a field that the gateway owns or bad syntax is refused, and a reply without it is still an answer.
        let _refused = self.headers().set(name, value);
        self
    }
}

/// A failure with a code of `a-z 0-9 -` and a detail for the operator's log.
#[must_use]
pub fn failure(code: &str, detail: impl Into<String>) -> Failure {
    Failure { code: code.to_owned(), detail: detail.into() }
}

impl From<HeaderError> for Failure {
    fn from(error: HeaderError) -> Self {
        let detail = match error {
            HeaderError::Repeated => "a header that should be single is repeated",
            HeaderError::NotText => "a header is not UTF-8",
            HeaderError::Refused => "the gateway refused a header",
            HeaderError::TooMany => "the header section is full",
        };
        failure("header", detail)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let detail = match error {
            WriteError::Invalid => "the gateway refused a value",
            WriteError::NotFound => "there is no such upstream, or no response yet",
            WriteError::NotGranted => "the operator did not grant this write: add it to the grants of the policy",
            WriteError::TooLarge => "a value is past its bound",
            WriteError::TooLate => "this phase comes too late for the write",
        };
        failure("write", detail)
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::NotJson(text) => failure("body-not-json", text),
            BodyError::BadPatch(text) => failure("body-patch", text),
            BodyError::TooLarge => failure("body-too-large", "the body is past the bound of the route"),
            BodyError::Encoded => {
                failure("body-encoded", "the body has a content coding that the gateway does not decode")
            }
        }
    }
}

impl From<KvError> for Failure {
    fn from(error: KvError) -> Self {
        let detail = match error {
            KvError::NoSuchStore => "there is no such store: declare it under `kv` in the configuration",
            KvError::NotGranted => "the operator did not grant this store: add it to the grants of the policy",
            KvError::Invalid => "a key, a version or a number is out of bounds",
            KvError::TooLarge => "a value or a sum is too large",
            KvError::Conflict => "the entry was changed meanwhile",
            KvError::NotANumber => "the entry holds no number",
            KvError::Full => "the store is full",
            KvError::Unavailable => "the store does not answer",
        };
        failure("kv", detail)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let detail = match error {
            HttpError::NotGranted => "the operator did not grant this upstream: add it to the grants of the policy",
            HttpError::Invalid => "the method or the path of a request is none",
            HttpError::Timeout => "an upstream did not answer in time",
            HttpError::ConnectFailed => "an upstream cannot be reached",
            HttpError::TooLarge => "the body of a request or response is too large",
            HttpError::TooManyCalls => "too many requests at once",
            HttpError::CircuitOpen => "an upstream is not called for now",
            HttpError::Protocol => "an upstream broke off",
        };
        failure("http", detail)
    }
}
