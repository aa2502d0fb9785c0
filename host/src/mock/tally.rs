//! Counts requests, and those whose client went away, so that a test can wait for a cancellation.

use std::time::Duration;

use http::Response;
use serde::Serialize;
use tokio::sync::watch;

use super::body::Script;

/// Requests since the start, without those for `/mock/…`.
#[derive(Debug, Default)]
pub(super) struct Tally(watch::Sender<Counts>);

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    /// All that came.
    received: u64,
    /// Answered to the last byte, or cut as asked.
    completed: u64,
    /// Given up by the client before that.
    aborted: u64,
}

/// One request: aborted if it is dropped before it finished.
#[derive(Debug)]
pub(super) struct Watch {
    counts: watch::Sender<Counts>,
    number: u64,
    finished: bool,
}

impl Tally {
    pub(super) fn begin(&self) -> Watch {
        self.0.send_modify(|counts| counts.received += 1);
        Watch { counts: self.0.clone(), number: self.0.borrow().received, finished: false }
    }

    /// The counts as JSON; with a query `aborted=N` once that many were aborted, or after ten seconds.
    pub(super) async fn report(&self, query: Option<&str>) -> Response<Script> {
        let wanted = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find_map(|(name, value)| if name == "aborted" { value.parse::<u64>().ok() } else { None })
            .unwrap_or(0);
        let mut counts = self.0.subscribe();
        let reached = tokio::time::timeout(WAIT_MAX, counts.wait_for(|counts| counts.aborted >= wanted)).await;
        let now = match reached {
            Ok(Ok(counts)) => *counts,
            Ok(Err(_)) | Err(_) => *self.0.borrow(),
        };
        Script::json(200, &serde_json::json!(now))
    }
}

impl Watch {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let finished = self.finished;
        self.counts.send_modify(|counts| if finished { counts.completed += 1 } else { counts.aborted += 1 });
    }
}

const WAIT_MAX: Duration = Duration::from_secs(10);
