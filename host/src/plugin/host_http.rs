//! The contract's `http` on the host's side.

use std::time::Duration;

use ::http::HeaderValue;
use ::http::header::CONTENT_ENCODING;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::gatewright::policy::http;
use super::bindings::gatewright::policy::types::{BodyError, HeaderError};
use super::call::Call;
use super::handles::{FieldsHandle, OutboundHandle, PendingHandle, ResponseHandle, SecretHandle};
use super::host_types::{RESPONSE_OF_CALL, header_error, json_result};
use crate::body::JsonBounds;
use crate::exchange::{self, FieldsError};
use crate::services::{HttpError, InboundResponse, OutboundRequest, PendingResponse};

/// What a call holds of its requests. A handle's number is a place in it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    slots: Vec<Slot>,
    started: usize,
}

#[derive(Debug)]
enum Slot {
    Request(Box<std::result::Result<OutboundRequest, HttpError>>),
    Pending(Option<PendingResponse>),
    Response(Box<InboundResponse>),
    Gone,
}

/// Requests and responses that one call may make.
const SLOTS_MAX: usize = 64;
/// Requests that one call may start.
const STARTED_MAX: usize = 8;
/// Bytes of a request's body.
const BODY_MAX: usize = 512 << 10;

impl Outbox {
    fn put(&mut self, slot: Slot) -> Result<u32> {
        if self.slots.len() >= SLOTS_MAX {
            wasmtime::bail!("more than {SLOTS_MAX} requests and responses in one call");
        }
        self.slots.push(slot);
        Ok(u32::try_from(self.slots.len() - 1)?)
    }

    fn slot(&mut self, handle: u32) -> Result<&mut Slot> {
        self.slots.get_mut(handle as usize).ok_or_else(|| wasmtime::format_err!("there is no such request or response"))
    }

    fn request(&mut self, handle: u32) -> Result<&mut std::result::Result<OutboundRequest, HttpError>> {
        match self.slot(handle)? {
            Slot::Request(request) => Ok(request),
            _ => Err(wasmtime::format_err!("there is no such request")),
        }
    }

    /// The response of a handle.
    pub(super) fn response(&mut self, handle: u32) -> Result<&InboundResponse> {
        match self.slot(handle)? {
            Slot::Response(response) => Ok(response),
            _ => Err(wasmtime::format_err!("there is no such response")),
        }
    }

    /// Drops what a handle stands for; a request under way is cancelled.
    fn forget(&mut self, handle: u32) -> Result<()> {
        *self.slot(handle)? = Slot::Gone;
        Ok(())
    }
}

impl http::Host for Call {}

type Answer<T> = Result<std::result::Result<T, http::HttpError>>;

impl Call {
    fn start_request(&mut self, handle: u32) -> Result<std::result::Result<PendingResponse, HttpError>> {
        let id = self.exchange.as_ref().map(|exchange| exchange.id.clone()).unwrap_or_default();
        let started = self.outbox.started;
        let request = match self.outbox.request(handle)? {
            Ok(request) => request.clone(),
            Err(error) => return Ok(Err(*error)),
        };
        if started >= STARTED_MAX {
            return Ok(Err(HttpError::TooManyCalls));
        }
        self.outbox.started += 1;
        Ok(self.services.http.start(request, self.until, &id))
    }

    async fn response(&mut self, pending: PendingResponse) -> Answer<Resource<ResponseHandle>> {
        match pending.wait().await {
            Ok(response) => Ok(Ok({
                let slot = self.outbox.put(Slot::Response(Box::new(response)))?;
                self.hand_over(slot)
            })),
            Err(error) => Ok(Err(http_error(error))),
        }
    }

    fn set_outbound_header(
        &mut self,
        handle: u32,
        name: &str,
        value: std::result::Result<HeaderValue, FieldsError>,
    ) -> Result<std::result::Result<(), HeaderError>> {
        let set = match self.outbox.request(handle)? {
            Ok(request) => exchange::writable_name(name)
                .and_then(|name| Ok((name, value?)))
                .and_then(|(name, value)| exchange::set(&mut request.headers, name, value)),
            // It cannot be sent, which `start` will say.
            Err(_) => Ok(()),
        };
        Ok(set.map_err(header_error))
    }
}

impl http::HostOutbound for Call {
    fn new(&mut self, upstream: String, method: String, target: String) -> Result<Resource<OutboundHandle>> {
        self.in_exchange("http")?;
        let request = self.services.http.request(&upstream, &method, target);
        Ok({
            let slot = self.outbox.put(Slot::Request(Box::new(request)))?;
            self.hand_over(slot)
        })
    }

    fn set_header(
        &mut self,
        outbound: Resource<OutboundHandle>,
        name: String,
        value: String,
    ) -> Result<std::result::Result<(), HeaderError>> {
        let value = exchange::writable(&name, &value).map(|(_, value)| value);
        self.set_outbound_header(outbound.rep(), &name, value)
    }

    fn set_header_secret(
        &mut self,
        outbound: Resource<OutboundHandle>,
        name: String,
        prefix: String,
        secret: Resource<SecretHandle>,
    ) -> Result<std::result::Result<(), HeaderError>> {
        let bytes = [prefix.as_bytes(), self.secret(&secret)?.bytes()].concat();
        let value = HeaderValue::from_bytes(&bytes).map_err(|_| FieldsError::Refused).map(|mut value| {
            value.set_sensitive(true);
            value
        });
        self.set_outbound_header(outbound.rep(), &name, value)
    }

    fn set_body(&mut self, outbound: Resource<OutboundHandle>, bytes: Vec<u8>) -> Answer<()> {
        if bytes.len() > BODY_MAX {
            return Ok(Err(http::HttpError::TooLarge));
        }
        if let Ok(request) = self.outbox.request(outbound.rep())? {
            request.body = bytes.into();
        }
        Ok(Ok(()))
    }

    fn set_timeout(&mut self, outbound: Resource<OutboundHandle>, millis: u32) -> Result<()> {
        if let Ok(request) = self.outbox.request(outbound.rep())? {
            request.timeout = Some(Duration::from_millis(u64::from(millis.max(1))));
        }
        Ok(())
    }

    fn start(&mut self, outbound: Resource<OutboundHandle>) -> Answer<Resource<PendingHandle>> {
        match self.start_request(outbound.rep())? {
            Ok(pending) => Ok(Ok({
                let slot = self.outbox.put(Slot::Pending(Some(pending)))?;
                self.hand_over(slot)
            })),
            Err(error) => Ok(Err(http_error(error))),
        }
    }

    async fn send(&mut self, outbound: Resource<OutboundHandle>) -> Answer<Resource<ResponseHandle>> {
        match self.start_request(outbound.rep())? {
            Ok(pending) => self.response(pending).await,
            Err(error) => Ok(Err(http_error(error))),
        }
    }

    fn drop(&mut self, outbound: Resource<OutboundHandle>) -> Result<()> {
        self.took_back();
        self.outbox.forget(outbound.rep())
    }
}

impl http::HostPending for Call {
    async fn wait(&mut self, pending: Resource<PendingHandle>) -> Answer<Resource<ResponseHandle>> {
        let Slot::Pending(pending) = self.outbox.slot(pending.rep())? else {
            wasmtime::bail!("there is no such request under way");
        };
        let Some(pending) = pending.take() else { wasmtime::bail!("a response can be waited for once") };
        self.response(pending).await
    }

    fn drop(&mut self, pending: Resource<PendingHandle>) -> Result<()> {
        self.took_back();
        self.outbox.forget(pending.rep())
    }
}

impl http::HostResponse for Call {
    fn status(&mut self, response: Resource<ResponseHandle>) -> Result<u16> {
        Ok(self.outbox.response(response.rep())?.status)
    }

    fn headers(&mut self, response: Resource<ResponseHandle>) -> Result<Resource<FieldsHandle>> {
        Ok(self.hand_over(RESPONSE_OF_CALL + response.rep()))
    }

    fn body(&mut self, response: Resource<ResponseHandle>) -> Result<Vec<u8>> {
        Ok(self.outbox.response(response.rep())?.body.bytes().to_vec())
    }

    fn json_get(
        &mut self,
        response: Resource<ResponseHandle>,
        pointers: Vec<String>,
    ) -> Result<std::result::Result<Vec<Option<String>>, BodyError>> {
        let bytes_max = usize::try_from(self.services.http.response_max()).unwrap_or(usize::MAX);
        let bounds = JsonBounds { bytes_max, until: self.until };
        let response = self.outbox.response(response.rep())?;
        if response.headers.contains_key(CONTENT_ENCODING) {
            return Ok(Err(BodyError::Encoded));
        }
        json_result(response.body.json_get(&pointers, bounds))
    }

    fn drop(&mut self, response: Resource<ResponseHandle>) -> Result<()> {
        self.took_back();
        self.outbox.forget(response.rep())
    }
}

fn http_error(error: HttpError) -> http::HttpError {
    match error {
        HttpError::NotGranted => http::HttpError::NotGranted,
        HttpError::Invalid => http::HttpError::Invalid,
        HttpError::Timeout => http::HttpError::Timeout,
        HttpError::ConnectFailed => http::HttpError::ConnectFailed,
        HttpError::TooLarge => http::HttpError::TooLarge,
        HttpError::TooManyCalls => http::HttpError::TooManyCalls,
        HttpError::Protocol => http::HttpError::Protocol,
    }
}
