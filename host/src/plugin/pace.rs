//! Tells slow policies from quick ones, and bounds how many calls of a slow one run and wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lane::threads_max;

/// How long the calls of one policy take.
pub(super) struct Pace {
    is_slow: AtomicBool,
    state: Mutex<State>,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

struct State {
    since: Instant,
    /// What slow calls ran for since then.
    ran: Duration,
    /// Until when it counts as slow.
    until: Instant,
}

/// A call that waits for its turn; it counts as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

const WINDOW: Duration = Duration::from_secs(1);
/// What slow calls of one policy may take of a window: a hundredth of one worker.
const SLOW_MAX: Duration = Duration::from_millis(10);
/// How long a policy counts as slow after it last was.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// Calls of a slow policy that wait for their turn, and for how long.
const WAITING_MAX: usize = 256;
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Calls of a slow policy that run at once, where they wait for others most of their time.
const WAITS_MAX: usize = 64;

impl Pace {
    /// For a policy whose calls may wait, or never do.
    pub(super) fn new(waits: bool) -> Self {
        let turns = if waits { WAITS_MAX } else { threads_max() };
        let now = Instant::now();
        Self {
            is_slow: AtomicBool::new(false),
            state: Mutex::new(State { since: now, ran: Duration::ZERO, until: now }),
            turns: Arc::new(Semaphore::new(turns)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether it is slow now.
    pub(super) fn is_slow(&self) -> bool {
        if !self.is_slow.load(Ordering::Relaxed) {
            return false;
        }
        let is_slow = Instant::now() < self.state.lock().until;
        self.is_slow.store(is_slow, Ordering::Relaxed);
        is_slow
    }

    /// Notes for how long a call ran that was slow. Whether that makes the policy slow, which it was not before.
    pub(super) fn note(&self, ran: Duration) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        if now.duration_since(state.since) > WINDOW {
            state.since = now;
            state.ran = Duration::ZERO;
        }
        state.ran += ran;
        if state.ran <= SLOW_MAX {
            return false;
        }
        state.until = now + SLOW_FOR;
        !self.is_slow.swap(true, Ordering::Relaxed)
    }

    /// Waits for the turn of a call. `None` where too many wait, or it would be too late.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let waiting = Waiting(&self.waiting);
        if waiting.0.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            return None;
        }
        let turn = tokio::time::timeout(WAIT_MAX, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, SLOW_MAX, WAITING_MAX};

    #[test]
    fn a_policy_is_slow_once_its_slow_calls_take_more_than_they_may() {
        let pace = Pace::new(false);
        assert!(!pace.note(SLOW_MAX) && !pace.is_slow());
        assert!(pace.note(Duration::from_micros(1)) && pace.is_slow());
        assert!(!pace.note(SLOW_MAX), "it was slow before");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_too_long_or_behind_too_many_gets_no_turn() {
        let pace = Pace::new(true);
        let mut turns = Vec::new();
        while let Some(turn) = pace.turn().await {
            turns.push(turn);
        }
        assert_eq!(turns.len(), super::WAITS_MAX);
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| pace.turn()).collect();
        let mut waiting = futures_util::future::join_all(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(futures_util::poll!(std::pin::pin!(pace.turn())).is_ready(), "one too many");
        turns.pop();
        let turns = waiting.await;
        assert_eq!(turns.iter().flatten().count(), 1);
    }
}
