//! Reads a whole body into memory, under a cap.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;

use super::{Body, Content};
use crate::error::{Error, Reason};
use crate::overload::{Hold, keep};

/// All bytes of `body`, which take room in memory as long as they are held; trailers are dropped.
///
/// # Errors
/// `too_large` past `max` bytes, `Overloaded` where all bodies together have no more room, and whatever reading fails with.
pub async fn gather(body: Body, max: u64, too_large: Reason) -> Result<Content, Error> {
    if let Some(content) = body.in_memory() {
        return if content.bytes().len() as u64 > max { Err(too_large.into()) } else { Ok(content) };
    }
    let mut hold = Hold::default();
    let content = read(body, (max, too_large), Some(&mut hold)).await?;
    Ok(keep(content.into_bytes(), hold).into())
}

/// As `gather`, for what is no request's: outside of the room that those share.
///
/// # Errors
/// `too_large` past `max` bytes, and whatever reading fails with.
pub async fn gather_apart(body: Body, max: u64, too_large: Reason) -> Result<Content, Error> {
    read(body, (max, too_large), None).await
}

/// What a policy made of a body, which takes room as a body that was read does.
///
/// # Errors
/// `Overloaded` where all bodies together have no more room.
pub fn hold(content: Content) -> Result<Content, Error> {
    let bytes = content.into_bytes();
    let mut hold = Hold::default();
    hold.grow(bytes.len() as u64)?;
    Ok(keep(bytes, hold).into())
}

async fn read(mut body: Body, (max, too_large): (u64, Reason), mut hold: Option<&mut Hold>) -> Result<Content, Error> {
    if let Some(content) = body.in_memory() {
        return if content.bytes().len() as u64 > max { Err(too_large.into()) } else { Ok(content) };
    }
    let declared = body.size_hint().lower();
    if declared > max {
        return Err(too_large.into());
    }
    if hold.is_some() {
        Hold::check(declared)?;
    }
    let mut first = Bytes::new();
    let mut gathered = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if (first.len() + gathered.len() + data.len()) as u64 > max {
            return Err(too_large.into());
        }
        if let Some(hold) = &mut hold {
            hold.grow(data.len() as u64)?;
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
