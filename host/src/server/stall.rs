//! Ends an HTTP/2 stream whose client does not read: hyper waits for window without a timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::proxy::BodyState;

/// Runs each stream of an HTTP/2 connection, and drops it when it stalls.
#[derive(Debug, Clone, Copy)]
pub(super) struct StallExecutor {
    pub(super) stall: Duration,
}

pin_project! {
    struct Stalling<F> {
        #[pin]
        stream: F,
        #[pin]
        sleep: Option<Sleep>,
        stall: Duration,
        // Whether the client has something to take.
        owes: bool,
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for StallExecutor {
    fn execute(&self, stream: F) {
        tokio::spawn(Stalling { stream, sleep: None, stall: self.stall, owes: false });
    }
}

impl<F: Future<Output = ()>> Future for Stalling<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // What another stream left is nothing of this one's.
        let _stale = BodyState::take();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        let deadline = Instant::now() + *this.stall;
        match BodyState::take() {
            BodyState::Untouched => {}
            BodyState::Waits => *this.owes = false,
            BodyState::Gave => {
                *this.owes = true;
                if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
                    sleep.reset(deadline);
                }
            }
        }
        if !*this.owes {
            return Poll::Pending;
        }
        if this.sleep.is_none() {
            this.sleep.set(Some(tokio::time::sleep_until(deadline)));
        }
        match this.sleep.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(context),
            None => Poll::Pending,
        }
    }
}
