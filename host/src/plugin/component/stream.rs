//! A body that an instance writes: as long as it said, and whole only if the instance says so.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::WasiBody;

use super::fate::Fate;
use crate::body::Source;
use crate::error::{Error, Reason};

/// A body that an instance writes.
pub(super) struct GuestBody {
    inner: WasiBody,
    /// Bytes that must still come, where it said how many.
    left: Option<u64>,
    fate: Fate,
    /// Ends the instance if nobody wants the rest of the body.
    guest: Option<AbortOnDropHandle<()>>,
}

impl GuestBody {
    /// The body of a message with these headers. `guest` is ended with the body, unless that was read to its end.
    ///
    /// # Errors
    /// Where its length is said in a way that is none.
    pub(super) fn new(
        inner: WasiBody,
        headers: &HeaderMap,
        fate: Fate,
        guest: Option<AbortOnDropHandle<()>>,
    ) -> Result<Self, Error> {
        let left = length(headers)?;
        let mut body = Self { inner, left, fate, guest };
        if body.inner.is_end_stream() {
            if left.is_some_and(|left| left > 0) {
                return Err(broken("its body is shorter than it said"));
            }
            body.let_run();
        }
        Ok(body)
    }

    /// For where bodies are read.
    pub(super) fn source(self) -> Source {
        Source::Made(Box::pin(self))
    }

    /// Nothing more is to come from it: the instance may go on with what else it has to do.
    fn let_run(&mut self) {
        if let Some(guest) = self.guest.take() {
            drop(guest.detach());
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(length).ok_or_else(|| broken("its body is longer than it said"))?;
            if *left == 0 {
                self.let_run();
            }
        }
        Ok(frame)
    }
}

/// The one length of a message, if it has one.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|text| text.parse().ok()), values.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(broken("its content-length is no length")),
    }
}

/// A fault of a component.
pub(super) fn broken(detail: &'static str) -> Error {
    Error::new(Reason::UpstreamBroken, format!("the component: {detail}"))
}

impl HttpBody for GuestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) else { return Poll::Pending };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(this.take(frame)),
            Some(Err(_)) => Some(Err(this.fate.fault().unwrap_or_else(|| broken("left its body unfinished")))),
            None => match (this.fate.fault(), this.left) {
                (Some(fault), _) => Some(Err(fault)),
                (None, Some(1..)) => Some(Err(broken("its body is shorter than it said"))),
                (None, _) => {
                    this.let_run();
                    None
                }
            },
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.left.unwrap_or(0) == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
