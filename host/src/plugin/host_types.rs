//! The contract's `types` on the host's side.

use http::HeaderMap;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::gatewright::policy::types::{BodyError, HeaderError, Host, HostBody, HostFields, HostReply};
use super::call::{Call, CallBody};
use super::handles::{BodyHandle, FieldsHandle, ReplyHandle};
use crate::body::{Content, JsonBounds, JsonFault};
use crate::exchange::{self, Exchange, FieldsError, Reply, ReplyBody, Section};

pub(super) const NO_EXCHANGE: &str = "there is no exchange at load time";
/// Replies that one call may make.
const REPLIES_MAX: usize = 16;
/// Header fields that one call may ask for: each may come back as a copy of the longest there is.
const NAMES_MAX: usize = 256;

pub(super) const REQUEST_FIELDS: u32 = 0;
pub(super) const RESPONSE_FIELDS: u32 = 1;
const REPLY_FIELDS: u32 = 2;
/// From here on, the headers of a response that the policy asked for itself.
pub(super) const RESPONSE_OF_CALL: u32 = 1 << 16;

/// Which header section a handle's number names.
enum Place {
    Exchange(Section),
    Reply(usize),
    Called(u32),
}

fn place(fields: &Resource<FieldsHandle>) -> Place {
    match fields.rep() {
        REQUEST_FIELDS => Place::Exchange(Section::Request),
        RESPONSE_FIELDS => Place::Exchange(Section::Response),
        reply if reply < RESPONSE_OF_CALL => Place::Reply((reply - REPLY_FIELDS) as usize),
        called => Place::Called(called - RESPONSE_OF_CALL),
    }
}

impl Call {
    pub(super) fn exchange(&mut self) -> Result<&mut Exchange> {
        self.exchange.as_deref_mut().ok_or_else(|| wasmtime::format_err!(NO_EXCHANGE))
    }

    fn content(&mut self) -> Result<&mut CallBody> {
        self.body.as_mut().ok_or_else(|| wasmtime::format_err!("there is no body in this phase"))
    }

    fn reply(&mut self, index: usize) -> Result<&mut Reply> {
        self.replies.get_mut(index).ok_or_else(|| wasmtime::format_err!("there is no such reply"))
    }

    /// Works on the body's JSON, which is read once for the whole chain.
    fn json<T>(
        &mut self,
        work: impl FnOnce(&Content, JsonBounds) -> std::result::Result<T, JsonFault>,
    ) -> Result<Result<T, BodyError>> {
        let until = self.until;
        let body = self.content()?;
        if body.encoded {
            return Ok(Err(BodyError::Encoded));
        }
        let was_read = body.content.is_read();
        let result = work(&body.content, JsonBounds { bytes_max: body.max, until });
        if !was_read {
            self.services.metrics.json_bodies.inc();
        }
        json_result(result)
    }

    fn headers(&mut self, fields: &Resource<FieldsHandle>) -> Result<&HeaderMap> {
        match place(fields) {
            Place::Exchange(section) => {
                let headers = self.exchange()?.fields(section);
                headers.ok_or_else(|| wasmtime::format_err!("there is no such header section"))
            }
            Place::Reply(index) => Ok(&self.reply(index)?.headers),
            Place::Called(response) => Ok(&self.outbox.response(response)?.headers),
        }
    }
}

impl Host for Call {}

impl HostFields for Call {
    fn get(&mut self, fields: Resource<FieldsHandle>, name: String) -> Result<Result<Option<String>, HeaderError>> {
        let one = exchange::one(self.headers(&fields)?, &name);
        Ok(one.map(|value| value.map(str::to_owned)).map_err(header_error))
    }

    fn get_many(&mut self, fields: Resource<FieldsHandle>, names: Vec<String>) -> Result<Vec<Option<String>>> {
        if names.len() > NAMES_MAX {
            wasmtime::bail!("more than {NAMES_MAX} names in one call");
        }
        let headers = self.headers(&fields)?;
        Ok(names.iter().map(|name| exchange::one(headers, name).ok().flatten().map(str::to_owned)).collect())
    }

    fn get_all(&mut self, fields: Resource<FieldsHandle>, name: String) -> Result<Vec<Vec<u8>>> {
        let headers = self.headers(&fields)?;
        Ok(headers.get_all(name.as_str()).iter().map(|value| value.as_bytes().to_vec()).collect())
    }

    fn entries(&mut self, fields: Resource<FieldsHandle>) -> Result<Vec<(String, Vec<u8>)>> {
        let headers = self.headers(&fields)?;
        Ok(headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
    }

    fn set(&mut self, fields: Resource<FieldsHandle>, name: String, value: String) -> Result<Result<(), HeaderError>> {
        let result = match place(&fields) {
            Place::Exchange(section) => self.exchange()?.set_header(section, &name, &value),
            Place::Reply(index) => {
                let headers = &mut self.reply(index)?.headers;
                exchange::writable(&name, &value).and_then(|(name, value)| exchange::set(headers, name, value))
            }
            Place::Called(_) => Err(FieldsError::Refused),
        };
        Ok(result.map_err(header_error))
    }

    fn append(
        &mut self,
        fields: Resource<FieldsHandle>,
        name: String,
        value: String,
    ) -> Result<Result<(), HeaderError>> {
        let result = match place(&fields) {
            Place::Exchange(section) => self.exchange()?.append_header(section, &name, &value),
            Place::Reply(index) => {
                let headers = &mut self.reply(index)?.headers;
                exchange::writable(&name, &value).and_then(|(name, value)| exchange::append(headers, name, value))
            }
            Place::Called(_) => Err(FieldsError::Refused),
        };
        Ok(result.map_err(header_error))
    }

    fn remove(&mut self, fields: Resource<FieldsHandle>, name: String) -> Result<Result<(), HeaderError>> {
        let result = match place(&fields) {
            Place::Exchange(section) => self.exchange()?.remove_header(section, &name),
            Place::Reply(index) => {
                let headers = &mut self.reply(index)?.headers;
                exchange::writable_name(&name).map(|name| drop(headers.remove(name)))
            }
            Place::Called(_) => Err(FieldsError::Refused),
        };
        Ok(result.map_err(header_error))
    }

    fn drop(&mut self, _: Resource<FieldsHandle>) -> Result<()> {
        self.took_back();
        Ok(())
    }
}

impl HostBody for Call {
    fn len(&mut self, _: Resource<BodyHandle>) -> Result<u32> {
        Ok(u32::try_from(self.content()?.content.bytes().len()).unwrap_or(u32::MAX))
    }

    fn read(&mut self, _: Resource<BodyHandle>, offset: u32, max: u32) -> Result<Vec<u8>> {
        let bytes = self.content()?.content.bytes();
        let start = (offset as usize).min(bytes.len());
        let end = start.saturating_add(max as usize).min(bytes.len());
        Ok(bytes.get(start..end).unwrap_or_default().to_vec())
    }

    fn replace(&mut self, _: Resource<BodyHandle>, bytes: Vec<u8>) -> Result<Result<(), BodyError>> {
        Ok(self.content()?.replace(Content::new(bytes.into())))
    }

    fn json_get(
        &mut self,
        _: Resource<BodyHandle>,
        pointers: Vec<String>,
    ) -> Result<Result<Vec<Option<String>>, BodyError>> {
        self.json(|content, bounds| content.json_get(&pointers, bounds))
    }

    fn json_patch(&mut self, _: Resource<BodyHandle>, patch: String) -> Result<Result<(), BodyError>> {
        let patched = self.json(|content, bounds| content.json_patch(&patch, bounds))?;
        let content = self.content()?;
        Ok(patched.and_then(|patched| content.replace(patched)))
    }

    fn drop(&mut self, _: Resource<BodyHandle>) -> Result<()> {
        Ok(())
    }
}

impl CallBody {
    fn replace(&mut self, content: Content) -> Result<(), BodyError> {
        if content.bytes().len() > self.max {
            return Err(BodyError::TooLarge);
        }
        self.content = content;
        self.changed = true;
        self.encoded = false;
        Ok(())
    }
}

impl HostReply for Call {
    fn new(&mut self, status: u16) -> Result<Resource<ReplyHandle>> {
        if self.replies.len() >= REPLIES_MAX {
            wasmtime::bail!("more than {REPLIES_MAX} replies in one call");
        }
        let index = u32::try_from(self.replies.len())?;
        self.replies.push(Reply::new(status));
        Ok(self.hand_over(index))
    }

    fn headers(&mut self, reply: Resource<ReplyHandle>) -> Result<Resource<FieldsHandle>> {
        Ok(self.hand_over(REPLY_FIELDS + reply.rep()))
    }

    fn set_body(&mut self, reply: Resource<ReplyHandle>, content_type: String, bytes: Vec<u8>) -> Result<()> {
        let reply = self.reply(reply.rep() as usize)?;
        let (name, value) = exchange::writable("content-type", &content_type)
            .map_err(|_| wasmtime::format_err!("{content_type:?} is no content type"))?;
        reply.headers.insert(name, value);
        reply.body = ReplyBody::Bytes(bytes.into());
        Ok(())
    }

    fn set_error(&mut self, reply: Resource<ReplyHandle>, code: String, message: String) -> Result<()> {
        self.reply(reply.rep() as usize)?.body = ReplyBody::Error { code, message };
        Ok(())
    }

    fn drop(&mut self, _: Resource<ReplyHandle>) -> Result<()> {
        self.took_back();
        Ok(())
    }
}

pub(super) fn header_error(error: FieldsError) -> HeaderError {
    match error {
        FieldsError::Repeated => HeaderError::Repeated,
        FieldsError::NotText => HeaderError::NotText,
        FieldsError::Refused => HeaderError::Refused,
        FieldsError::TooMany => HeaderError::TooMany,
    }
}

/// A guest that asks for more than there is time for ends as if it had taken the time itself.
pub(super) fn json_result<T>(result: std::result::Result<T, JsonFault>) -> Result<std::result::Result<T, BodyError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(JsonFault::NotJson(text)) => Ok(Err(BodyError::NotJson(text))),
        Err(JsonFault::BadPatch(text)) => Ok(Err(BodyError::BadPatch(text))),
        Err(JsonFault::TooLarge) => Ok(Err(BodyError::TooLarge)),
        Err(JsonFault::Late) => Err(wasmtime::Trap::Interrupt.into()),
    }
}
