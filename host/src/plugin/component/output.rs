//! What an instance prints: line by line to the log, at a bounded rate, and no more than so much of it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::services::LogGate;

/// Standard output or error of one instance.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Printed>>);

struct Printed {
    gate: Arc<LogGate>,
    upstream: Arc<str>,
    request: String,
    line: Vec<u8>,
    left: usize,
}

/// Bytes that one instance may print.
const PRINTED_MAX: usize = 64 << 10;
/// A longer line is cut in pieces.
const LINE_MAX: usize = 1 << 10;
/// Bytes that it may write at once.
const WRITE_MAX: usize = 4 << 10;

impl Output {
    /// Of an instance that serves the request of this id.
    pub(super) fn new(gate: Arc<LogGate>, upstream: Arc<str>, request: &str) -> Self {
        let request = request.to_owned();
        Self(Arc::new(Mutex::new(Printed { gate, upstream, request, line: Vec::new(), left: PRINTED_MAX })))
    }
}

impl Printed {
    fn print(&mut self, bytes: &[u8]) {
        let taken = bytes.get(..self.left.min(bytes.len())).unwrap_or_default();
        if taken.len() < bytes.len() && self.left > 0 {
            self.gate.print(&self.upstream, &self.request, "(prints too much: the rest is dropped)");
        }
        self.left -= taken.len();
        for byte in taken {
            if *byte == b'\n' || self.line.len() >= LINE_MAX {
                self.end_line();
            }
            if *byte != b'\n' {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.gate.print(&self.upstream, &self.request, &String::from_utf8_lossy(&line));
        }
    }
}

impl Drop for Printed {
    fn drop(&mut self) {
        self.end_line();
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.0.lock().print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(WRITE_MAX)
    }
}

impl Pollable for Output {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(()))
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
