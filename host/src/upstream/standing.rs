//! How one endpoint stands: requests under way, what checks say, whether it is ejected, how fast it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;

use crate::config::OutliersConfig;

/// What a request came to, as far as its endpoint is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was answered.
    Answered,
    /// It was answered with a status that counts as a failure.
    Failed,
    /// There was no answer.
    Lost,
}

/// What an endpoint is doing, as a word for status and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It gets requests.
    Usable,
    /// Checks say that it is not well.
    Unhealthy,
    /// Too many of its requests failed.
    Ejected,
    /// It was ejected, and may show that it is well again.
    Probing,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
        }
    }
}

/// How many endpoints of an upstream are ejected, and may be.
#[derive(Debug, Default)]
pub(super) struct Ejections {
    ejected: AtomicUsize,
    /// Endpoints that there are.
    pub(super) members: AtomicUsize,
    /// Counts changes of any endpoint's state.
    pub(super) changes: AtomicU64,
    /// Ejections since the start.
    total: Counter,
}

impl Ejections {
    pub(super) fn counting(total: Counter) -> Self {
        Self { total, ..Self::default() }
    }

    /// Takes a place among the ejected, if one is left.
    fn take(&self, percent: u8) -> bool {
        let max = self.max(percent);
        let taken =
            self.ejected.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1));
        if taken.is_ok() {
            self.total.inc();
            self.changed();
        }
        taken.is_ok()
    }

    fn max(&self, percent: u8) -> usize {
        self.members.load(Ordering::Relaxed) * usize::from(percent) / 100
    }

    fn give_back(&self) {
        self.ejected.fetch_sub(1, Ordering::Relaxed);
        self.changed();
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// How one endpoint stands.
#[derive(Debug)]
pub(super) struct Standing {
    config: OutliersConfig,
    ejections: Arc<Ejections>,
    pub(super) active: AtomicUsize,
    /// What checks say: well, until they say otherwise.
    well: AtomicBool,
    /// Whether `course` is `Closed`: the one thing that a request of a good endpoint reads.
    closed: AtomicBool,
    course: Mutex<Course>,
    lost_in_a_row: AtomicU32,
    failed_in_a_row: AtomicU32,
    window: Window,
    usable_since: Mutex<Option<Instant>>,
    ramps: AtomicBool,
    pace: Pace,
}

/// A circuit breaker.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Requests pass.
    Closed,
    /// None does before this.
    Open(Instant),
    /// So many probes are under way, and so many were answered well.
    HalfOpen { under_way: u32, well: u32 },
}

/// Requests of the last seconds.
#[derive(Debug)]
struct Window {
    counts: Mutex<(Instant, u32, u32)>,
}

const WINDOW: Duration = Duration::from_secs(10);
/// Requests in a window that say something about an endpoint.
const WINDOW_MIN: u32 = 20;

impl Standing {
    pub(super) fn new(config: &OutliersConfig, ejections: &Arc<Ejections>, is_new: bool) -> Self {
        Self {
            config: config.clone(),
            ejections: ejections.clone(),
            active: AtomicUsize::new(0),
            well: AtomicBool::new(true),
            closed: AtomicBool::new(true),
            course: Mutex::new(Course::Closed),
            lost_in_a_row: AtomicU32::new(0),
            failed_in_a_row: AtomicU32::new(0),
            window: Window { counts: Mutex::new((Instant::now(), 0, 0)) },
            usable_since: Mutex::new(is_new.then(Instant::now)),
            ramps: AtomicBool::new(is_new),
            pace: Pace::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        if !self.well.load(Ordering::Relaxed) {
            return State::Unhealthy;
        }
        match *self.course.lock() {
            Course::Closed => State::Usable,
            Course::Open(until) if Instant::now() < until => State::Ejected,
            Course::Open(_) | Course::HalfOpen { .. } => State::Probing,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.well.load(Ordering::Relaxed) && self.closed.load(Ordering::Relaxed)
    }

    /// Lets a request pass. `None` if it may not; else whether it is a probe.
    pub(super) fn admit(&self) -> Option<bool> {
        if !self.well.load(Ordering::Relaxed) {
            return None;
        }
        if self.closed.load(Ordering::Relaxed) {
            return Some(false);
        }
        let mut course = self.course.lock();
        match &mut *course {
            Course::Closed => Some(false),
            Course::Open(until) if Instant::now() < *until => None,
            Course::Open(_) => {
                *course = Course::HalfOpen { under_way: 1, well: 0 };
                Some(true)
            }
            Course::HalfOpen { under_way, well } if *under_way + *well < self.config.probes.max(1) => {
                *under_way += 1;
                Some(true)
            }
            Course::HalfOpen { .. } => None,
        }
    }

    /// A probe came to nothing that says anything.
    pub(super) fn forget_probe(&self) {
        if let Course::HalfOpen { under_way, .. } = &mut *self.course.lock() {
            *under_way = under_way.saturating_sub(1);
        }
    }

    /// What a request came to.
    pub(super) fn settle(&self, verdict: Verdict, probe: bool) {
        if probe {
            return self.settle_probe(verdict);
        }
        if self.ejections.max(self.config.ejected_max) == 0 {
            return;
        }
        if verdict == Verdict::Answered {
            for count in [&self.lost_in_a_row, &self.failed_in_a_row] {
                if count.load(Ordering::Relaxed) > 0 {
                    count.store(0, Ordering::Relaxed);
                }
            }
        }
        let (count, max) = match verdict {
            Verdict::Answered => (0, 0),
            Verdict::Failed => (self.failed_in_a_row.fetch_add(1, Ordering::Relaxed) + 1, self.config.failures),
            Verdict::Lost => (self.lost_in_a_row.fetch_add(1, Ordering::Relaxed) + 1, self.config.errors),
        };
        let often = self.window.count(verdict != Verdict::Answered, self.config.failed_percent);
        if verdict != Verdict::Answered && ((max > 0 && count >= max) || often) {
            self.eject();
        }
    }

    fn eject(&self) {
        let mut course = self.course.lock();
        if matches!(*course, Course::Closed) && self.ejections.take(self.config.ejected_max) {
            *course = Course::Open(Instant::now() + self.config.ejection.0);
            self.closed.store(false, Ordering::Relaxed);
        }
    }

    fn settle_probe(&self, verdict: Verdict) {
        let mut course = self.course.lock();
        let Course::HalfOpen { under_way, well } = &mut *course else { return };
        *under_way = under_way.saturating_sub(1);
        if verdict != Verdict::Answered {
            *course = Course::Open(Instant::now() + self.config.ejection.0);
            return;
        }
        *well += 1;
        if *well >= self.config.probes.max(1) {
            *course = Course::Closed;
            drop(course);
            self.start_afresh();
            self.closed.store(true, Ordering::Relaxed);
            self.ejections.give_back();
        }
    }

    /// What a check says.
    pub(super) fn checked(&self, well: bool) {
        if self.well.swap(well, Ordering::Relaxed) != well {
            if well {
                self.start_afresh();
            }
            self.ejections.changed();
        }
    }

    fn start_afresh(&self) {
        self.lost_in_a_row.store(0, Ordering::Relaxed);
        self.failed_in_a_row.store(0, Ordering::Relaxed);
        self.window.clear();
        *self.usable_since.lock() = Some(Instant::now());
        self.ramps.store(true, Ordering::Relaxed);
    }

    /// Its share of requests, from a tenth to 1, while it starts slowly.
    pub(super) fn ramp(&self, slow_start: Duration) -> f64 {
        if slow_start.is_zero() || !self.ramps.load(Ordering::Relaxed) {
            return 1.0;
        }
        let since = *self.usable_since.lock();
        let share = since.map_or(1.0, |since| since.elapsed().as_secs_f64() / slow_start.as_secs_f64());
        if share >= 1.0 {
            self.ramps.store(false, Ordering::Relaxed);
        }
        share.clamp(SLOWEST, 1.0)
    }

    pub(super) fn answered_in(&self, took: Duration) {
        self.pace.observe(took);
    }

    /// Requests under way with one more, by weight.
    pub(super) fn load(&self, weight: u32) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "there are never so many")]
        let active = (self.active.load(Ordering::Relaxed) + 1) as f64;
        active / f64::from(weight)
    }

    /// What one more request costs here, in seconds of waiting.
    pub(super) fn cost(&self) -> f64 {
        self.pace.seconds() * self.load(1)
    }
}

const SLOWEST: f64 = 0.1;

impl Drop for Standing {
    fn drop(&mut self) {
        if !matches!(*self.course.get_mut(), Course::Closed) {
            self.ejections.give_back();
        }
    }
}

impl Window {
    /// Counts a request. Whether too many of the last ones failed.
    fn count(&self, failed: bool, percent: u8) -> bool {
        if percent == 0 {
            return false;
        }
        let mut counts = self.counts.lock();
        let (since, all, lost) = &mut *counts;
        if since.elapsed() > WINDOW {
            (*since, *all, *lost) = (Instant::now(), 0, 0);
        }
        *all += 1;
        *lost += u32::from(failed);
        *all >= WINDOW_MIN && u64::from(*lost) * 100 >= u64::from(*all) * u64::from(percent)
    }

    fn clear(&self) {
        *self.counts.lock() = (Instant::now(), 0, 0);
    }
}

/// A moving average of latencies that believes a bad one at once, and a good one in time (Finagle's peak EWMA).
#[derive(Debug)]
struct Pace(Mutex<(Instant, f64)>);

/// How long a bad latency is felt.
const DECAY: f64 = 10.0;
/// What an endpoint is held to take of which nothing is known.
const UNKNOWN: f64 = 0.001;

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new((Instant::now(), UNKNOWN)))
    }
}

impl Pace {
    fn observe(&self, took: Duration) {
        let mut pace = self.0.lock();
        let (at, average) = &mut *pace;
        let took = took.as_secs_f64();
        let weight = (-at.elapsed().as_secs_f64() / DECAY).exp();
        *average = if took > *average { took } else { *average * weight + took * (1.0 - weight) };
        *at = Instant::now();
    }

    fn seconds(&self) -> f64 {
        let (at, average) = *self.0.lock();
        // Nothing heard for a while: what was slow may be well again.
        (average * (-at.elapsed().as_secs_f64() / DECAY).exp()).max(1e-6)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::{Ejections, Standing, State, Verdict};
    use crate::config::{OutliersConfig, Period};

    fn standing(config: &OutliersConfig, members: usize) -> (Standing, Arc<Ejections>) {
        let ejections = Arc::new(Ejections::default());
        ejections.members.store(members, Ordering::Relaxed);
        (Standing::new(config, &ejections, false), ejections)
    }

    fn quick(probes: u32) -> OutliersConfig {
        OutliersConfig { probes, ejection: Period::millis(100), ..OutliersConfig::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_is_ejected_after_its_errors_and_back_after_its_probe() {
        let (standing, ejections) = standing(&quick(1), 2);
        for _ in 0..4 {
            standing.settle(Verdict::Lost, false);
        }
        standing.settle(Verdict::Answered, false);
        assert_eq!(standing.state(), State::Usable);
        for _ in 0..5 {
            standing.settle(Verdict::Lost, false);
        }
        assert_eq!((standing.state(), standing.admit()), (State::Ejected, None));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!((standing.admit(), standing.admit()), (Some(true), None));
        standing.settle(Verdict::Lost, true);
        assert_eq!(standing.admit(), None);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(standing.admit(), Some(true));
        standing.settle(Verdict::Answered, true);
        assert_eq!((standing.state(), standing.admit()), (State::Usable, Some(false)));
        assert_eq!(ejections.ejected.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_cut_off_makes_room_for_another() {
        let (standing, _) = standing(&quick(1), 2);
        (0..5).for_each(|_| standing.settle(Verdict::Lost, false));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(standing.admit(), Some(true));
        standing.forget_probe();
        assert_eq!(standing.admit(), Some(true));
    }

    #[test]
    fn of_a_thousand_requests_at_once_exactly_the_probes_pass() {
        for probes in [1, 3, 10] {
            let config = OutliersConfig { ejection: Period::millis(0), ..quick(probes) };
            let (standing, _) = standing(&config, 2);
            (0..5).for_each(|_| standing.settle(Verdict::Lost, false));
            let barrier = std::sync::Barrier::new(1000);
            let admitted: usize = std::thread::scope(|scope| {
                let race = || {
                    barrier.wait();
                    usize::from(standing.admit().is_some())
                };
                let racers: Vec<_> = (0..1000).map(|_| scope.spawn(race)).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).sum()
            });
            assert_eq!(admitted, probes as usize);
        }
    }

    #[test]
    fn no_more_than_their_share_of_endpoints_is_ejected() {
        let (first, ejections) = standing(&quick(1), 4);
        let others: Vec<Standing> = (0..3).map(|_| Standing::new(&quick(1), &ejections, false)).collect();
        for standing in others.iter().chain([&first]) {
            (0..50).for_each(|_| standing.settle(Verdict::Failed, false));
        }
        let states: Vec<State> = others.iter().chain([&first]).map(Standing::state).collect();
        assert_eq!(states, [State::Ejected, State::Ejected, State::Usable, State::Usable]);
        let (alone, _) = standing(&quick(1), 1);
        (0..50).for_each(|_| alone.settle(Verdict::Lost, false));
        assert_eq!(alone.state(), State::Usable);
    }

    #[test]
    fn half_of_the_requests_failing_ejects() {
        let config = OutliersConfig { errors: 0, failures: 0, ..quick(1) };
        let (standing, _) = standing(&config, 2);
        for number in 0..21 {
            assert_eq!(standing.state(), State::Usable, "{number}");
            standing.settle(if number % 2 == 0 { Verdict::Lost } else { Verdict::Answered }, false);
        }
        assert_eq!(standing.state(), State::Ejected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_is_felt_at_once_and_fades() {
        let (slow, ejections) = standing(&quick(1), 2);
        let fast = Standing::new(&quick(1), &ejections, false);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(1)).await;
            slow.answered_in(Duration::from_millis(5));
            fast.answered_in(Duration::from_millis(5));
        }
        slow.answered_in(Duration::from_secs(1));
        assert!(slow.cost() > 100.0 * fast.cost());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(slow.cost() < 0.01, "{}", slow.cost());
    }
}
