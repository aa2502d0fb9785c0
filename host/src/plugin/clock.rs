//! Tells a guest that takes too long from one that the machine does not let run.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{StoreContextMut, UpdateDeadline};

use super::call::Call;
use super::engine::Engine;

/// How much of its deadline a call has had. The thread's own clock is read first at half of the deadline, which most calls
/// never see.
#[derive(Debug, Default)]
pub(super) struct CallClock {
    half: Duration,
    /// The wall clock and the thread's own at the last look.
    mark: Option<(Instant, Duration)>,
    extensions: u32,
}

/// A call on a machine with so much else to do is over after so many halves more.
const EXTENSIONS_MAX: u32 = 8;

impl CallClock {
    /// Starts for a call. Ticks until the first look.
    pub(super) fn start(&mut self, deadline: Duration) -> u64 {
        *self = Self { half: deadline / 2, mark: None, extensions: 0 };
        Engine::ticks(self.half)
    }

    fn look(&mut self) -> UpdateDeadline {
        let now = (Instant::now(), thread_time());
        let Some((wall, own)) = self.mark.replace(now) else {
            return UpdateDeadline::Continue(Engine::ticks(self.half));
        };
        let ran = now.1.saturating_sub(own);
        if ran * 2 >= now.0.duration_since(wall) || self.extensions >= EXTENSIONS_MAX {
            return UpdateDeadline::Interrupt;
        }
        self.extensions += 1;
        UpdateDeadline::Continue(Engine::ticks(self.half))
    }
}

/// What the engine asks at each deadline.
pub(super) fn on_deadline(mut store: StoreContextMut<'_, Call>) -> wasmtime::Result<UpdateDeadline> {
    let call = store.data_mut();
    let update = call.clock.look();
    if let UpdateDeadline::Continue(_) = update {
        call.until = call.until.max(Instant::now() + call.clock.half);
    }
    Ok(update)
}

/// CPU time of this thread so far.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanos)
}
