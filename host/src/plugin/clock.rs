//! Tells a guest that takes too long from one that the machine does not let run, and how long a slow call ran.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{StoreContextMut, UpdateDeadline};

use super::call::Call;
use super::engine::{Engine, TICK};
use super::lane;

/// How much of its deadline a call has had. The thread's own clock is read first when the call is slow, which most calls
/// never are.
#[derive(Debug, Default)]
pub(super) struct CallClock {
    deadline: Duration,
    /// The thread's own clock at the first look.
    slow_since: Option<Duration>,
    /// The wall clock and the thread's own at the last look.
    mark: Option<(Instant, Duration)>,
    extensions: u32,
    /// Whether it is over without having had its time.
    pub(super) starved: bool,
    /// Ticks until the next look, where the call runs aside and gives way at each.
    left: u64,
    /// How often a call that may wait gave way.
    yields: u32,
}

/// A call on a machine with so much else to do is over after so many halves more.
const EXTENSIONS_MAX: u32 = 8;
/// On a thread that gives way, after so many.
const EXTENSIONS_ASIDE_MAX: u32 = 40;
/// A call that takes longer is slow.
const SLOW: Duration = Duration::from_millis(1);

impl CallClock {
    /// Starts for a call. Ticks until the first look.
    pub(super) fn start(&mut self, deadline: Duration) -> u64 {
        *self = Self { deadline, ..Self::default() };
        self.next(self.first())
    }

    /// Ticks until the guest is stopped next.
    fn next(&mut self, look: Duration) -> u64 {
        let ticks = Engine::ticks(look);
        self.left = if lane::is_here() { ticks } else { 0 };
        if self.left > 0 { 1 } else { ticks }
    }

    /// When the first look is.
    fn first(&self) -> Duration {
        SLOW.min(self.deadline / 2)
    }

    /// For how long a slow call ran; for a call that may wait, to the tick.
    pub(super) fn ran(&self) -> Duration {
        let ran = self.slow_since.map_or(Duration::ZERO, |since| thread_time().saturating_sub(since));
        ran + TICK * self.yields.saturating_sub(1)
    }

    fn look(&mut self) -> UpdateDeadline {
        if self.left > 1 {
            self.left -= 1;
            lane::give_way();
            return UpdateDeadline::Continue(1);
        }
        let now = (Instant::now(), thread_time());
        let Some((wall, own)) = self.mark.replace(now) else {
            self.slow_since = Some(now.1);
            return UpdateDeadline::Continue(self.next(self.deadline.saturating_sub(self.first())));
        };
        let ran = now.1.saturating_sub(own);
        let in_all = self.slow_since.map_or(ran, |since| now.1.saturating_sub(since));
        if ran * 2 >= now.0.duration_since(wall) || in_all * 2 >= self.deadline {
            return UpdateDeadline::Interrupt;
        }
        if self.extensions >= if lane::is_here() { EXTENSIONS_ASIDE_MAX } else { EXTENSIONS_MAX } {
            self.starved = true;
            return UpdateDeadline::Interrupt;
        }
        self.extensions += 1;
        UpdateDeadline::Continue(self.next(self.deadline / 2))
    }
}

/// What the engine asks at each deadline.
pub(super) fn on_deadline(mut store: StoreContextMut<'_, Call>) -> wasmtime::Result<UpdateDeadline> {
    let call = store.data_mut();
    let update = call.clock.look();
    if let UpdateDeadline::Continue(_) = update {
        call.until = call.until.max(Instant::now() + call.clock.deadline / 2);
    }
    Ok(update)
}

/// As `on_deadline`, at each tick of a call that may wait: the worker does something else in between.
pub(super) fn on_tick(mut store: StoreContextMut<'_, Call>) -> wasmtime::Result<UpdateDeadline> {
    store.data_mut().clock.yields += 1;
    lane::give_way();
    Ok(UpdateDeadline::Yield(1))
}

/// CPU time of this thread so far.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
