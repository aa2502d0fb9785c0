//! How an instance ended, for those who still read what it wrote, and what its run may take.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::error::{Error, Reason};
use crate::plugin::clock::thread_time;

/// How an instance ended. A body looks just as complete when its writer is dropped as when it was finished: only this
/// tells the two apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<OnceLock<Error>>);

impl Fate {
    /// Why it did not end well, if it did not.
    pub(super) fn fault(&self) -> Option<Error> {
        self.0.get().cloned()
    }

    /// Notes the first thing that went wrong.
    pub(super) fn spoil(&self, error: Error) {
        if self.0.set(error).is_err() {
            tracing::debug!("a component failed twice");
        }
    }
}

/// Spoils the fate of an instance that is dropped before it came to its end. It must be dropped before the store is.
pub(super) struct Running {
    fate: Fate,
    ended: bool,
}

impl Running {
    pub(super) const fn new(fate: Fate) -> Self {
        Self { fate, ended: false }
    }

    /// It came to its end, well or not.
    pub(super) fn end(mut self, result: Result<(), Error>) {
        self.ended = true;
        if let Err(error) = result {
            self.fate.spoil(error);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.fate.spoil(Error::new(Reason::UpstreamBroken, "the component was cancelled"));
        }
    }
}

/// A future whose polls may take so much CPU time together. What runs in it yields at each tick of the engine, so that it
/// overruns by about one.
pub(super) struct Metered<F> {
    run: Pin<Box<F>>,
    used: Duration,
    max: Duration,
    /// Where it is added up.
    seconds: Counter<f64, AtomicU64>,
}

impl<F> Metered<F> {
    pub(super) fn new(run: F, max: Duration, seconds: Counter<f64, AtomicU64>) -> Self {
        Self { run: Box::pin(run), used: Duration::ZERO, max, seconds }
    }
}

impl<F> Drop for Metered<F> {
    fn drop(&mut self) {
        self.seconds.inc_by(self.used.as_secs_f64());
    }
}

impl<F: Future> Future for Metered<F> {
    /// Absent where the CPU time is used up.
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let start = thread_time();
        let polled = this.run.as_mut().poll(context);
        this.used += thread_time().saturating_sub(start);
        match polled {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if this.used > this.max => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}
