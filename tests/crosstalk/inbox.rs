//! Reads messages of HTTP/1.1, and keeps what came of a message that breaks off.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is read from a connection.
pub(super) struct Inbox<R> {
    stream: R,
    /// What came after all that was taken.
    pub(super) rest: Vec<u8>,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

/// A body as far as it came, and where its reader has enough.
pub(super) struct Body<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) enough: usize,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    pub(super) fn new(stream: R, rest: Vec<u8>) -> Self {
        Self { stream, rest }
    }

    /// The next bytes up to a mark and with it; `None` if the connection ends before the first of them.
    pub(super) async fn through(&mut self, mark: &[u8]) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.rest, mark) {
                return Ok(Some(self.rest.drain(..at + mark.len()).collect()));
            }
            if !self.fill().await? {
                return if self.rest.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads a body; `false` if its reader had enough before it was whole.
    pub(super) async fn body(&mut self, framing: Framing, mut body: Body<'_>) -> Result<bool> {
        match framing {
            Framing::Length(length) => self.part(length, &mut body).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16).map_err(|_| broken(format!("a chunk of {line:?}")))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    return Ok(true);
                }
                if !self.part(size, &mut body).await? {
                    return Ok(false);
                }
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(broken(format!("a chunk that ends in {end:?}")));
                }
            },
        }
    }

    async fn line(&mut self) -> Result<String> {
        let line = self.through(b"\r\n").await?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// So many bytes of a body, as they come.
    async fn part(&mut self, mut left: usize, body: &mut Body<'_>) -> Result<bool> {
        while left > 0 {
            if self.rest.is_empty() && !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            let length = left.min(self.rest.len());
            body.bytes.extend(self.rest.drain(..length));
            left -= length;
            if body.bytes.len() >= body.enough {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads more; `false` at the end.
    pub(super) async fn fill(&mut self) -> Result<bool> {
        self.rest.reserve(16 << 10);
        Ok(self.stream.read_buf(&mut self.rest).await? > 0)
    }
}

/// What a peer must never send, as opposed to one that goes.
fn broken(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// A body in its framing.
pub(super) fn framed(body: &[u8], chunk_bytes: Option<usize>) -> (String, Vec<u8>) {
    let Some(chunk_bytes) = chunk_bytes else {
        return (format!("content-length: {}\r\n", body.len()), body.to_vec());
    };
    let mut out = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(chunk_bytes) {
        out.extend(format!("{:x}\r\n", chunk.len()).bytes());
        out.extend(chunk);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    ("transfer-encoding: chunked\r\n".to_owned(), out)
}

/// How a body is framed by these headers.
pub(super) fn framing(headers: &[httparse::Header<'_>]) -> Framing {
    let value = |name: &str| headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    if value("transfer-encoding").is_some() {
        return Framing::Chunked;
    }
    let length = value("content-length").map_or("0".into(), |header| String::from_utf8_lossy(header.value));
    Framing::Length(length.parse().unwrap())
}
