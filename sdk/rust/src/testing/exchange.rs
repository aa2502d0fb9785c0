//! An exchange made by hand, with the methods of the contract.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::fields::Fields;
use crate::{HeaderError, Scalar, WriteError};

/// One request and its response.
#[derive(Debug, Default)]
pub struct Exchange {
    request: RefCell<RequestLine>,
    request_headers: Fields,
    response: RefCell<Option<u16>>,
    response_headers: Fields,
    waiting: RefCell<Vec<(String, String)>>,
    properties: BTreeMap<String, Scalar>,
    metadata: RefCell<BTreeMap<String, Scalar>>,
    state: RefCell<BTreeMap<String, Vec<u8>>>,
    upstreams: Vec<String>,
    upstream: RefCell<Option<String>>,
}

#[derive(Debug, Default, Clone)]
struct RequestLine {
    method: String,
    authority: String,
    path: String,
    query: Option<String>,
}

/// Made by the test.
impl Exchange {
    /// A request to `api.example.com`; `target` may have a query.
    #[must_use]
    pub fn request(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let line = RequestLine {
            method: method.to_owned(),
            authority: "api.example.com".to_owned(),
            path: path.to_owned(),
            query,
        };
        Self { request: RefCell::new(line), ..Self::default() }
    }

    /// With one request header more.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.request_headers.push(name, value);
        self
    }

    /// To this host.
    #[must_use]
    pub fn with_authority(self, authority: &str) -> Self {
        authority.clone_into(&mut self.request.borrow_mut().authority);
        self
    }

    /// With a property that is text.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        self.properties.insert(name.to_owned(), Scalar::Text(value.to_owned()));
        self
    }

    /// With a metadata value that is text, as an earlier policy would have left it.
    #[must_use]
    pub fn with_metadata(self, name: &str, value: &str) -> Self {
        self.metadata.borrow_mut().insert(name.to_owned(), Scalar::Text(value.to_owned()));
        self
    }

    /// With the upstreams that the route knows.
    #[must_use]
    pub fn with_upstreams(mut self, names: &[&str]) -> Self {
        self.upstreams = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// With a response that has come back.
    #[must_use]
    pub fn with_response(self, status: u16, headers: &[(&str, &str)]) -> Self {
        self.respond(status, headers);
        self
    }

    /// A response comes back, and gets the headers that a policy had wait for it.
    pub fn respond(&self, status: u16, headers: &[(&str, &str)]) {
        *self.response.borrow_mut() = Some(status);
        for (name, value) in headers {
            self.response_headers.push(name, value);
        }
        for (name, value) in self.waiting.take() {
            // What the gateway would refuse was refused when it was set.
            let _set = self.response_headers.set(&name, &value);
        }
    }

    /// The upstream that a policy chose.
    #[must_use]
    pub fn chosen_upstream(&self) -> Option<String> {
        self.upstream.borrow().clone()
    }

    /// The first value of a request header, as text.
    #[must_use]
    pub fn first_request_header(&self, name: &str) -> Option<String> {
        self.request_headers.first(name)
    }

    /// The first value of a response header, as text.
    #[must_use]
    pub fn first_response_header(&self, name: &str) -> Option<String> {
        self.response_headers.first(name)
    }
}

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Exchange {
    /// A constant.
    #[must_use]
    pub fn id(&self) -> String {
        "test-exchange".to_owned()
    }

    /// The request method.
    #[must_use]
    pub fn method(&self) -> String {
        self.request.borrow().method.clone()
    }

    /// Always "https".
    #[must_use]
    pub fn scheme(&self) -> String {
        "https".to_owned()
    }

    /// The authority of the request.
    #[must_use]
    pub fn authority(&self) -> String {
        self.request.borrow().authority.clone()
    }

    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> String {
        self.request.borrow().path.clone()
    }

    /// The query without "?".
    #[must_use]
    pub fn query(&self) -> Option<String> {
        self.request.borrow().query.clone()
    }

    /// What the gateway knows and the message does not say.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Scalar> {
        self.properties.get(name).cloned()
    }

    /// Replace the method.
    pub fn set_method(&self, method: &str) -> Result<(), WriteError> {
        method.clone_into(&mut self.request.borrow_mut().method);
        Ok(())
    }

    /// Replace path and query.
    pub fn set_path(&self, path: &str, query: Option<&str>) -> Result<(), WriteError> {
        if !path.starts_with('/') {
            return Err(WriteError::Invalid);
        }
        let mut line = self.request.borrow_mut();
        path.clone_into(&mut line.path);
        line.query = query.map(str::to_owned);
        Ok(())
    }

    /// Replace the authority.
    pub fn set_authority(&self, authority: &str) -> Result<(), WriteError> {
        authority.clone_into(&mut self.request.borrow_mut().authority);
        Ok(())
    }

    /// Choose among the upstreams of [`with_upstreams`](Self::with_upstreams).
    pub fn set_upstream(&self, name: &str) -> Result<(), WriteError> {
        if !self.upstreams.iter().any(|known| known == name) {
            return Err(WriteError::NotFound);
        }
        *self.upstream.borrow_mut() = Some(name.to_owned());
        Ok(())
    }

    /// The request's header section.
    #[must_use]
    pub fn request_headers(&self) -> Fields {
        self.request_headers.clone()
    }

    /// The response's header section.
    #[must_use]
    pub fn response_headers(&self) -> Option<Fields> {
        self.response.borrow().map(|_| self.response_headers.clone())
    }

    /// The response's status.
    #[must_use]
    pub fn response_status(&self) -> Option<u16> {
        *self.response.borrow()
    }

    /// Replace the status.
    pub fn set_response_status(&self, status: u16) -> Result<(), WriteError> {
        self.response.borrow_mut().replace(status).map(|_| ()).ok_or(WriteError::NotFound)
    }

    /// A value shared along the chain.
    #[must_use]
    pub fn get_metadata(&self, name: &str) -> Option<Scalar> {
        self.metadata.borrow().get(name).cloned()
    }

    /// Share a value along the chain.
    pub fn put_metadata(&self, name: &str, value: &Scalar) -> Result<(), WriteError> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if name.len() > 64 || !name.contains('.') || !name.bytes().all(known) {
            return Err(WriteError::Invalid);
        }
        self.metadata.borrow_mut().insert(name.to_owned(), value.clone());
        Ok(())
    }

    /// As `get` of the request's header section.
    pub fn request_header(&self, name: &str) -> Result<Option<String>, HeaderError> {
        self.request_headers.get(name)
    }

    /// Share values along the chain, up to the first that fails.
    pub fn put_metadata_many(&self, entries: &[(String, Scalar)]) -> Result<(), WriteError> {
        entries.iter().try_for_each(|(name, value)| self.put_metadata(name, value))
    }

    /// Set a header of the response, which need not be there yet.
    pub fn set_response_header(&self, name: &str, value: &str) -> Result<(), HeaderError> {
        if self.response.borrow().is_some() {
            return self.response_headers.set(name, value);
        }
        Fields::check(name, value)?;
        self.waiting.borrow_mut().push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// The policy's own memory for this exchange.
    #[must_use]
    pub fn get_state(&self, key: &str) -> Option<Vec<u8>> {
        self.state.borrow().get(key).cloned()
    }

    /// Write to the policy's own memory for this exchange.
    pub fn put_state(&self, key: &str, value: &[u8]) -> Result<(), WriteError> {
        if value.len() > 256 * 1024 {
            return Err(WriteError::TooLarge);
        }
        self.state.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }
}
