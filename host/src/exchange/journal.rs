//! Writes to an exchange, each with its way back: a policy's writes stay only when its call returned well.

use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::canonical::is_authority;
use super::fields::{self, FieldsError, Section};
use super::{Exchange, Scalar, Stage};

/// Why something could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The syntax is broken.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The operator did not allow it.
    NotGranted,
    /// Past a bound.
    TooLarge,
    /// After the value was used.
    TooLate,
}

/// The way back of one write.
#[derive(Debug)]
pub(super) enum Undo {
    Header(Section, HeaderName, Vec<HeaderValue>),
    Method(Method),
    Target(String, Option<String>),
    Authority(String, bool),
    Upstream(Arc<str>),
    Status(StatusCode),
    Metadata(String, Option<Scalar>),
    State(u32, String, Option<Vec<u8>>),
    Waiting(Vec<WaitingHeader>),
}

/// A header that a policy wants the response to have, once there is one.
#[derive(Debug, Clone)]
pub(super) struct WaitingHeader {
    pub(super) policy: u32,
    name: HeaderName,
    value: HeaderValue,
}

impl Undo {
    fn same_target(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header(section, name, _), Self::Header(other, other_name, _)) => {
                section == other && name == other_name
            }
            (Self::Metadata(name, _), Self::Metadata(other, _)) => name == other,
            (Self::State(policy, key, _), Self::State(other, other_key, _)) => policy == other && key == other_key,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// Different things that one call may write.
const JOURNAL_MAX: usize = 512;
const WAITING_MAX: usize = 64;
const METHOD_MAX: usize = 32;
const TARGET_MAX: usize = 8 << 10;
const METADATA_NAMES_MAX: usize = 64;
const METADATA_NAME_BYTES_MAX: usize = 64;
const METADATA_BYTES_MAX: usize = 16 << 10;
const STATE_KEYS_MAX: usize = 32;
const STATE_BYTES_MAX: usize = 256 << 10;

impl Exchange {
    /// From here on writes can be taken back.
    pub fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// The writes since `begin` stay.
    pub fn commit(&mut self) {
        self.journal = None;
    }

    /// The writes since `begin` never were.
    pub fn roll_back(&mut self) {
        for undo in self.journal.take().into_iter().flatten().rev() {
            self.undo(undo);
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Header(section, name, values) => {
                if let Some(headers) = self.fields_mut(section) {
                    headers.remove(&name);
                    for value in values {
                        headers.append(name.clone(), value);
                    }
                }
            }
            Undo::Method(method) => self.request.method = method,
            Undo::Target(path, query) => (self.request.path, self.request.query) = (path, query),
            Undo::Authority(authority, set) => {
                (self.request.authority, self.request.authority_is_set) = (authority, set);
            }
            Undo::Upstream(upstream) => self.upstream = upstream,
            Undo::Status(status) => {
                if let Some(response) = &mut self.response {
                    response.status = status;
                }
            }
            Undo::Metadata(name, value) => {
                self.metadata.retain(|(known, _)| *known != name);
                self.metadata.extend(value.map(|value| (name, value)));
            }
            Undo::State(policy, key, value) => {
                self.state.retain(|(owner, known, _)| (*owner, known) != (policy, &key));
                self.state.extend(value.map(|value| (policy, key, value)));
            }
            Undo::Waiting(waiting) => self.waiting = waiting,
        }
    }

    /// Keeps the oldest way back of each target: what came between never was.
    fn note(&mut self, undo: Undo) {
        if let Some(journal) = &mut self.journal
            && !journal.iter().any(|known| known.same_target(&undo))
        {
            journal.push(undo);
        }
    }

    fn fields_mut(&mut self, section: Section) -> Option<&mut http::HeaderMap> {
        match section {
            Section::Request => Some(&mut self.request.headers),
            Section::Response => self.response.as_mut().map(|response| &mut response.headers),
        }
    }

    fn note_header(&mut self, section: Section, name: &HeaderName) -> Result<(), FieldsError> {
        let open = match section {
            Section::Request => self.stage == Stage::Request,
            Section::Response => self.stage <= Stage::Response,
        };
        if self.journal.as_ref().is_some_and(|journal| journal.len() >= JOURNAL_MAX) {
            return Err(FieldsError::TooMany);
        }
        let headers = self.fields(section).filter(|_| open).ok_or(FieldsError::Refused)?;
        let values = headers.get_all(name).iter().cloned().collect();
        self.note(Undo::Header(section, name.clone(), values));
        Ok(())
    }

    /// Replaces all values of a field by one.
    ///
    /// # Errors
    /// As the contract's `fields.set`.
    pub fn set_header(&mut self, section: Section, name: &str, value: &str) -> Result<(), FieldsError> {
        let (name, value) = fields::writable(name, value)?;
        self.note_header(section, &name)?;
        fields::set(self.fields_mut(section).ok_or(FieldsError::Refused)?, name, value)
    }

    /// Adds a value to a field.
    ///
    /// # Errors
    /// As the contract's `fields.append`.
    pub fn append_header(&mut self, section: Section, name: &str, value: &str) -> Result<(), FieldsError> {
        let (name, value) = fields::writable(name, value)?;
        self.note_header(section, &name)?;
        fields::append(self.fields_mut(section).ok_or(FieldsError::Refused)?, name, value)
    }

    /// Removes every value of a field.
    ///
    /// # Errors
    /// As the contract's `fields.remove`.
    pub fn remove_header(&mut self, section: Section, name: &str) -> Result<(), FieldsError> {
        let name = fields::writable_name(name)?;
        self.note_header(section, &name)?;
        if let Some(headers) = self.fields_mut(section) {
            headers.remove(&name);
        }
        Ok(())
    }

    /// Sets a header of the response, or has it wait for the response.
    ///
    /// # Errors
    /// As the contract's `exchange.set-response-header`.
    pub fn set_response_header(&mut self, policy: u32, name: &str, value: &str) -> Result<(), FieldsError> {
        if self.response.is_some() {
            return self.set_header(Section::Response, name, value);
        }
        let (name, value) = fields::writable(name, value)?;
        if self.stage > Stage::Response {
            return Err(FieldsError::Refused);
        }
        let is_same = |known: &WaitingHeader| known.policy == policy && known.name == name;
        if self.waiting.len() >= WAITING_MAX && !self.waiting.iter().any(is_same) {
            return Err(FieldsError::TooMany);
        }
        self.note(Undo::Waiting(self.waiting.clone()));
        self.waiting.retain(|known| !is_same(known));
        self.waiting.push(WaitingHeader { policy, name, value });
        Ok(())
    }

    /// Gives the response the headers that a policy had wait for it.
    pub fn give_headers(&mut self, policy: u32) {
        let Some(response) = self.response.as_mut().filter(|_| !self.waiting.is_empty()) else { return };
        for waiting in self.waiting.extract_if(.., |waiting| waiting.policy == policy) {
            if fields::set(&mut response.headers, waiting.name, waiting.value).is_err() {
                tracing::warn!("a response has so many headers that one of a policy is left out");
            }
        }
    }

    /// Sets the request's method.
    ///
    /// # Errors
    /// `Invalid` for what is no method, `TooLate` once the request is gone.
    pub fn set_method(&mut self, method: &str) -> Result<(), WriteError> {
        self.still_request()?;
        let fits = method.len() <= METHOD_MAX && method != "CONNECT";
        let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| fits).ok_or(WriteError::Invalid)?;
        let before = std::mem::replace(&mut self.request.method, method);
        self.note(Undo::Method(before));
        Ok(())
    }

    /// Sets the request's path and query.
    ///
    /// # Errors
    /// `Invalid` for what is not percent-encoded, `TooLarge` past 8 KiB, `TooLate` once the request is gone.
    pub fn set_path(&mut self, path: String, query: Option<String>) -> Result<(), WriteError> {
        self.still_request()?;
        if path.len() + query.as_ref().map_or(0, String::len) > TARGET_MAX {
            return Err(WriteError::TooLarge);
        }
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'\\');
        if !path.starts_with('/') || path.contains('?') || !plain(&path) || !query.as_deref().is_none_or(plain) {
            return Err(WriteError::Invalid);
        }
        let before = std::mem::replace(&mut self.request.path, path);
        let query = std::mem::replace(&mut self.request.query, query);
        self.note(Undo::Target(before, query));
        Ok(())
    }

    /// Sets the authority that the upstream sees.
    ///
    /// # Errors
    /// `Invalid` for what is none, `TooLate` once the request is gone.
    pub fn set_authority(&mut self, authority: &str) -> Result<(), WriteError> {
        self.still_request()?;
        let authority = authority.to_ascii_lowercase();
        if !is_authority(&authority) {
            return Err(WriteError::Invalid);
        }
        let before = std::mem::replace(&mut self.request.authority, authority);
        let set = std::mem::replace(&mut self.request.authority_is_set, true);
        self.note(Undo::Authority(before, set));
        Ok(())
    }

    /// Chooses among the route's upstreams.
    ///
    /// # Errors
    /// `NotFound` for any other name, `TooLate` once the request is gone or an attempt began.
    pub fn set_upstream(&mut self, name: &str) -> Result<(), WriteError> {
        self.still_request()?;
        if self.attempt > 0 {
            return Err(WriteError::TooLate);
        }
        let chosen = self.choices.iter().find(|choice| ***choice == *name).cloned().ok_or(WriteError::NotFound)?;
        let before = std::mem::replace(&mut self.upstream, chosen);
        self.note(Undo::Upstream(before));
        Ok(())
    }

    /// Sets the response's status.
    ///
    /// # Errors
    /// `Invalid` outside 200 to 599, `NotFound` without a response, `TooLate` once it is gone.
    pub fn set_response_status(&mut self, status: u16) -> Result<(), WriteError> {
        let late = self.stage > Stage::Response;
        let Some(response) = &mut self.response else { return Err(WriteError::NotFound) };
        if late {
            return Err(WriteError::TooLate);
        }
        let status = StatusCode::from_u16(status).ok().filter(|_| (200..600).contains(&status));
        let before = std::mem::replace(&mut response.status, status.ok_or(WriteError::Invalid)?);
        self.note(Undo::Status(before));
        Ok(())
    }

    /// A value of metadata.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&Scalar> {
        self.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Writes a value of metadata into a namespace that is granted.
    ///
    /// # Errors
    /// `Invalid` for a name without a namespace, `NotGranted`, `TooLarge` past the bounds of the contract.
    pub fn put_metadata(&mut self, granted: &[String], name: String, value: Scalar) -> Result<(), WriteError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
        let (namespace, rest) = name.split_once('.').ok_or(WriteError::Invalid)?;
        if namespace.is_empty() || rest.is_empty() || !name.bytes().all(plain) {
            return Err(WriteError::Invalid);
        }
        if self.journal.as_ref().is_some_and(|journal| journal.len() >= JOURNAL_MAX) {
            return Err(WriteError::TooLarge);
        }
        if !granted.iter().any(|granted| granted == namespace) {
            return Err(WriteError::NotGranted);
        }
        let size = |value: &Scalar| if let Scalar::Text(text) = value { text.len() } else { 8 };
        let others = self.metadata.iter().filter(|(known, _)| *known != name);
        let (count, bytes) = others.fold((1, name.len() + size(&value)), |(count, bytes), (name, value)| {
            (count + 1, bytes + name.len() + size(value))
        });
        if name.len() > METADATA_NAME_BYTES_MAX || count > METADATA_NAMES_MAX || bytes > METADATA_BYTES_MAX {
            return Err(WriteError::TooLarge);
        }
        let before = match self.metadata.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => Some(std::mem::replace(slot, value)),
            None => {
                self.metadata.push((name.clone(), value));
                None
            }
        };
        self.note(Undo::Metadata(name, before));
        Ok(())
    }

    /// What a policy kept for itself.
    #[must_use]
    pub fn state(&self, policy: u32, key: &str) -> Option<&[u8]> {
        let found = self.state.iter().find(|(owner, known, _)| *owner == policy && known == key);
        found.map(|(_, _, value)| value.as_slice())
    }

    /// Keeps something for a policy.
    ///
    /// # Errors
    /// `TooLarge` past the bounds of the contract.
    pub fn put_state(&mut self, policy: u32, key: String, value: Vec<u8>) -> Result<(), WriteError> {
        let others = self.state.iter().filter(|(owner, known, _)| *owner == policy && *known != key);
        let (count, bytes) = others.fold((1, key.len() + value.len()), |(count, bytes), (_, key, value)| {
            (count + 1, bytes + key.len() + value.len())
        });
        if count > STATE_KEYS_MAX || bytes > STATE_BYTES_MAX {
            return Err(WriteError::TooLarge);
        }
        let slot = self.state.iter_mut().find(|(owner, known, _)| *owner == policy && *known == key);
        let before = match slot {
            Some((_, _, slot)) => Some(std::mem::replace(slot, value)),
            None => {
                self.state.push((policy, key.clone(), value));
                None
            }
        };
        self.note(Undo::State(policy, key, before));
        Ok(())
    }

    fn still_request(&self) -> Result<(), WriteError> {
        if self.stage == Stage::Request { Ok(()) } else { Err(WriteError::TooLate) }
    }
}
