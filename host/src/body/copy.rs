//! A copy of a body, made while the body goes its way.

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::Content;

/// A copy of a body.
#[derive(Debug)]
pub enum Copied {
    /// Of a body in memory.
    Whole(Content),
    /// Of a body that is on its way: it comes when that has been read to its end. An error if it never is, or is too large.
    Coming(oneshot::Receiver<Bytes>),
}

/// A copy in the making.
pub(super) struct Copying {
    bytes: BytesMut,
    left: usize,
    done: oneshot::Sender<Bytes>,
}

impl Copying {
    /// A copy of at most so many bytes, and where it comes.
    pub(super) fn new(max: usize) -> (Self, oneshot::Receiver<Bytes>) {
        let (done, coming) = oneshot::channel();
        (Self { bytes: BytesMut::new(), left: max, done }, coming)
    }

    /// With the next bytes; none if they are too many.
    pub(super) fn with(mut self, data: &Bytes) -> Option<Self> {
        self.left = self.left.checked_sub(data.len())?;
        self.bytes.extend_from_slice(data);
        Some(self)
    }

    /// Hands it over.
    pub(super) fn finish(self) {
        // Whoever no longer wants it has gone.
        drop(self.done.send(self.bytes.freeze()));
    }
}
