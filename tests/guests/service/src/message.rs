//! Requests and responses in a few words.

use crate::bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// What is read and written at once.
pub const PIECE: u64 = 16 << 10;

/// A response with these headers; its body is to be written and finished.
pub fn begin(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> OutgoingBody {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).expect("a header");
    }
    let response = OutgoingResponse::new(fields);
    response.set_status_code(status).expect("a status");
    let body = response.body().expect("a body");
    ResponseOutparam::set(out, Ok(response));
    body
}

/// A whole response.
pub fn answer(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], bytes: &[u8]) {
    let body = begin(out, status, headers);
    let stream = body.write().expect("a stream");
    write(&stream, bytes).expect("a reader");
    drop(stream);
    OutgoingBody::finish(body, None).expect("a whole body");
}

/// Writes everything, as fast as it is taken.
pub fn write(stream: &OutputStream, bytes: &[u8]) -> Result<(), StreamError> {
    for piece in bytes.chunks(4096) {
        stream.blocking_write_and_flush(piece)?;
    }
    Ok(())
}

/// Hands each piece to `take` until the end.
pub fn read(stream: &InputStream, mut take: impl FnMut(&[u8])) -> Result<(), StreamError> {
    loop {
        match stream.blocking_read(PIECE) {
            Ok(bytes) => take(&bytes),
            Err(StreamError::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
