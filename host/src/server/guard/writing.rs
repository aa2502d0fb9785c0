//! The way back to the client: for as long as it reads.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Guard, READ, State};

/// What is read and thrown away after an early answer, so that the client gets to read it before the reset.
const LINGER_BYTES: usize = 64 << 10;
const LINGER: Duration = Duration::from_secs(1);

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    /// A client that does not read is waited for, but not for ever.
    fn written(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = polled {
            self.stalled = None;
            if let (State::Frames(frames), Ok(bytes)) = (&mut self.state, &result) {
                frames.sent(*bytes);
            }
            return Poll::Ready(result);
        }
        let patience = if matches!(self.state, State::Flooded) { LINGER } else { self.timers.write_stall };
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.written(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(context, slices);
        this.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(context).map_ok(|()| 0);
        this.written(context, polled).map_ok(drop)
    }

    /// Closes the sending side, then reads on for a moment: a socket closed with unread bytes is reset, and the reset
    /// may overtake the answer.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
            this.lingering = Some((Box::pin(tokio::time::sleep(LINGER)), 0));
        }
        let Some((sleep, read)) = &mut this.lingering else { return Poll::Ready(Ok(())) };
        let mut space = [const { MaybeUninit::uninit() }; READ];
        loop {
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.inner).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && *read < LINGER_BYTES => {
                    *read += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return sleep.as_mut().poll(context).map(Ok),
            }
        }
    }
}
