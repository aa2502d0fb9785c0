//! So many at once, and a queue for the rest: bounded in length and in time, the higher priority first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::config::{ConcurrencyConfig, Priority};
use crate::error::{Error, Reason};

/// So many at once, and a queue for the rest.
#[derive(Debug)]
pub struct Limiter {
    config: ConcurrencyConfig,
    state: Arc<Mutex<State>>,
}

/// What is under way and what waits, over every change of the configuration.
#[derive(Debug)]
struct State {
    /// As the configuration says that is served.
    max: usize,
    running: usize,
    /// Whoever is first goes next; whoever is last makes room for a higher priority.
    waiting: BTreeMap<Turn, oneshot::Sender<Permit>>,
    came: u64,
}

/// The higher priority first, equals as they came.
type Turn = (Reverse<Priority>, u64);

/// The right to be under way, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Mutex<State>>);

/// A place in the queue, until it is dropped.
struct Place<'a> {
    limiter: &'a Limiter,
    turn: Turn,
}

impl Limiter {
    /// A limiter as configured.
    #[must_use]
    pub fn new(config: &ConcurrencyConfig) -> Arc<Self> {
        let state = State { max: config.max, running: 0, waiting: BTreeMap::new(), came: 0 };
        Arc::new(Self { config: config.clone(), state: Arc::new(Mutex::new(state)) })
    }

    /// As configured, with all that is under way and waits at the one before. It counts once it is adopted.
    #[must_use]
    pub fn carry(config: Option<&ConcurrencyConfig>, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let config = config?;
        let Some(before) = before else { return Some(Self::new(config)) };
        let same = before.config == *config;
        let carried = || Arc::new(Self { config: config.clone(), state: before.state.clone() });
        Some(if same { before.clone() } else { carried() })
    }

    /// Makes this one's bound count. Nothing that runs is broken off where it is lower than before; who waits goes on at
    /// once where it is higher.
    pub fn adopt(&self) {
        let goes_on: Vec<_> = {
            let mut state = self.state.lock();
            state.max = self.config.max;
            std::iter::from_fn(|| state.next()).collect()
        };
        for next in goes_on {
            // One that nobody takes is dropped, and goes on.
            drop(next.send(Permit(self.state.clone())));
        }
    }

    /// Waits for its turn, until `deadline` at most.
    ///
    /// # Errors
    /// `ConcurrencyLimited` if the queue is full, the wait was too long, or a higher priority needed the place.
    pub async fn enter(self: &Arc<Self>, priority: Priority, deadline: Instant) -> Result<Permit, Error> {
        let (turn, place) = {
            let mut state = self.state.lock();
            if state.running < state.max {
                state.running += 1;
                return Ok(Permit(self.state.clone()));
            }
            if state.waiting.len() >= self.config.queue {
                match state.waiting.last_key_value() {
                    Some(((Reverse(last), _), _)) if *last < priority => drop(state.waiting.pop_last()),
                    _ => return limited("the queue is full"),
                }
            }
            state.came += 1;
            let turn = (Reverse(priority), state.came);
            let (give, turn_comes) = oneshot::channel();
            state.waiting.insert(turn, give);
            // Dropped first, so that no permit is given to somebody who has gone.
            (turn_comes, Place { limiter: self, turn })
        };
        let until = deadline.min(Instant::now() + self.config.wait.0);
        let came = tokio::time::timeout_at(until, turn).await;
        drop(place);
        match came {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => limited("a higher priority took the place in the queue"),
            Err(_) => limited("the wait in the queue was too long"),
        }
    }

    /// Takes a permit if there is one.
    #[must_use]
    pub fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.state.lock();
        (state.running < state.max).then(|| {
            state.running += 1;
            Permit(self.state.clone())
        })
    }

    /// How many are under way, and how many wait.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.running, state.waiting.len())
    }
}

fn limited(why: &'static str) -> Result<Permit, Error> {
    Err(Error::new(Reason::ConcurrencyLimited, why))
}

impl State {
    /// Who goes next, if there is room; the room is taken then.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let (_, next) = (self.running < self.max).then(|| self.waiting.pop_first()).flatten()?;
        self.running += 1;
        Some(next)
    }
}

impl Drop for Permit {
    /// Goes to whoever is next.
    fn drop(&mut self) {
        let next = {
            let mut state = self.0.lock();
            state.running -= 1;
            state.next()
        };
        if let Some(next) = next {
            // One that nobody takes is dropped, and goes on.
            drop(next.send(Self(self.0.clone())));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.limiter.state.lock().waiting.remove(&self.turn);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Limiter, Permit};
    use crate::config::{ConcurrencyConfig, Period, Priority};
    use crate::error::{Error, Reason};

    fn limiter(max: usize, queue: usize) -> Arc<Limiter> {
        Limiter::new(&ConcurrencyConfig { max, queue, wait: Period::seconds(1) })
    }

    fn enter(limiter: &Arc<Limiter>, priority: Priority) -> tokio::task::JoinHandle<Result<Permit, Error>> {
        let limiter = limiter.clone();
        tokio::spawn(async move { limiter.enter(priority, Instant::now() + Duration::from_secs(10)).await })
    }

    /// Lets every task run that can.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    fn why(result: Result<Permit, Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.reason, Reason::ConcurrencyLimited);
        error.detail.into_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn equals_go_in_their_order_and_a_higher_priority_first() {
        let limiter = limiter(1, 3);
        let first = limiter.try_enter().unwrap();
        assert!(limiter.try_enter().is_none());
        let mut waiting = Vec::new();
        for priority in [Priority::Low, Priority::Normal, Priority::Normal] {
            waiting.push(enter(&limiter, priority));
            settle().await;
        }
        assert_eq!(limiter.counts(), (1, 3));
        assert!(why(enter(&limiter, Priority::Low).await.unwrap()).contains("full"));
        let high = enter(&limiter, Priority::High);
        settle().await;
        assert!(why(waiting.remove(0).await.unwrap()).contains("higher priority"));
        let mut permit = first;
        for (next, left) in std::iter::once(high).chain(waiting).zip([2, 1, 0]) {
            drop(permit);
            permit = next.await.unwrap().unwrap();
            assert_eq!(limiter.counts(), (1, left));
        }
        drop(permit);
        assert_eq!(limiter.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_and_whoever_goes_leaves_the_place_to_the_next() {
        let limiter = limiter(1, 2);
        let permit = limiter.try_enter().unwrap();
        let gone = enter(&limiter, Priority::Normal);
        settle().await;
        let stays = enter(&limiter, Priority::Normal);
        settle().await;
        gone.abort();
        settle().await;
        assert_eq!(limiter.counts(), (1, 1));
        drop(permit);
        let permit = stays.await.unwrap().unwrap();
        let start = Instant::now();
        assert!(why(enter(&limiter, Priority::High).await.unwrap()).contains("too long"));
        assert_eq!(start.elapsed().as_millis(), 1000);
        let soon = limiter.enter(Priority::High, Instant::now() + Duration::from_millis(10)).await;
        assert!(why(soon).contains("too long") && start.elapsed().as_millis() == 1010);
        drop(permit);
        assert_eq!(limiter.counts(), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn another_bound_keeps_what_runs_and_lets_go_on_what_waits() {
        let first = limiter(1, 3);
        let held = first.try_enter().unwrap();
        let (one, two) = (enter(&first, Priority::Normal), enter(&first, Priority::Normal));
        settle().await;
        let config = |max| ConcurrencyConfig { max, queue: 3, wait: Period::seconds(1) };
        let wider = Limiter::carry(Some(&config(2)), Some(&first)).unwrap();
        settle().await;
        assert_eq!(wider.counts(), (1, 2));
        wider.adopt();
        let one = one.await.unwrap().unwrap();
        assert_eq!((wider.counts(), first.counts()), ((2, 1), (2, 1)));
        let narrower = Limiter::carry(Some(&config(1)), Some(&wider)).unwrap();
        narrower.adopt();
        assert!(narrower.try_enter().is_none());
        drop(held);
        settle().await;
        assert_eq!(narrower.counts(), (1, 1));
        drop(one);
        drop(two.await.unwrap().unwrap());
        assert_eq!(narrower.counts(), (0, 0));
        assert!(Arc::ptr_eq(&narrower, &Limiter::carry(Some(&config(1)), Some(&narrower)).unwrap()));
    }

    #[test]
    fn a_thousand_threads_never_exceed_the_bound() {
        let limiter = limiter(3, 1000);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
        runtime.block_on(async {
            let highest = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let tasks: Vec<_> = (0..1000)
                .map(|number: usize| {
                    let (limiter, highest) = (limiter.clone(), highest.clone());
                    tokio::spawn(async move {
                        let deadline = Instant::now() + Duration::from_secs(10);
                        let entering = limiter.enter(Priority::Normal, deadline);
                        // Some give up whatever comes of it.
                        let patience = Duration::from_micros(if number.is_multiple_of(3) { 100 } else { 10_000_000 });
                        let Ok(Ok(_permit)) = tokio::time::timeout(patience, entering).await else { return };
                        highest.fetch_max(limiter.counts().0, std::sync::atomic::Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            assert!(highest.load(std::sync::atomic::Ordering::SeqCst) <= 3);
        });
        assert_eq!(limiter.counts(), (0, 0));
    }
}
