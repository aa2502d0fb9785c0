//! Reads a whole body into memory, under a cap.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;

use super::{Body, Content};
use crate::error::{Error, Reason};

/// All bytes of `body`; trailers are dropped.
///
/// # Errors
/// `too_large` past `max` bytes, and whatever reading fails with.
pub async fn gather(mut body: Body, max: u64, too_large: Reason) -> Result<Content, Error> {
    if let Some(content) = body.in_memory() {
        return if content.bytes().len() as u64 > max { Err(too_large.into()) } else { Ok(content) };
    }
    let declared = body.size_hint().lower();
    if declared > max {
        return Err(too_large.into());
    }
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if (first.len() + gathered.len() + data.len()) as u64 > max {
            return Err(too_large.into());
        }
        if first.is_empty() && gathered.is_empty() {
            // Most bodies come in one piece and are never copied.
            first = data;
            continue;
        }
        if gathered.is_empty() {
            gathered.reserve(usize::try_from(declared).unwrap_or(0).max(first.len() + data.len()));
            gathered.extend_from_slice(&std::mem::take(&mut first));
        }
        gathered.extend_from_slice(&data);
    }
    Ok(if gathered.is_empty() { first } else { gathered.freeze() }.into())
}
