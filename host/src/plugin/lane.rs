//! Runs what is slow aside: on threads that give way to those that serve.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::engine::Engine;

/// Threads that run when no other wants to. They start with the first work, and end with the lane.
#[derive(Clone, Default)]
pub(super) struct Lane(Arc<Mutex<Vec<Thread>>>);

struct Thread {
    work: mpsc::UnboundedSender<Work>,
    load: Arc<AtomicUsize>,
}

/// Work counts on its thread as long as this lives.
struct Load(Arc<AtomicUsize>);

thread_local! {
    static IS_HERE: Cell<bool> = const { Cell::new(false) };
}

/// What bounds a policy's calls and jobs bounds what waits here.
type Work = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// As that of a worker: guests run on it.
const STACK: usize = 4 << 20;

impl Lane {
    /// Runs work on the thread that has the least to do; it is cut off where nobody waits for it any more. `None` where
    /// no thread could be started or the work panicked.
    pub(super) async fn run<R, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> Option<R>
    where
        R: Send + 'static,
        F: Future<Output = R> + 'static,
    {
        let (mut tell, told) = oneshot::channel();
        self.send(move |load| {
            Box::new(move || {
                Box::pin(async move {
                    let _load = load;
                    tokio::select! {
                        biased;
                        () = tell.closed() => {}
                        result = async { work().await } => drop(tell.send(result)),
                    }
                })
            })
        });
        told.await.ok()
    }

    fn send(&self, work: impl FnOnce(Load) -> Work) {
        let mut threads = self.0.lock();
        if threads.is_empty() {
            *threads = (0..threads_max()).filter_map(Thread::start).collect();
        }
        if let Some(thread) = threads.iter().min_by_key(|thread| thread.load.load(Ordering::Relaxed)) {
            thread.load.fetch_add(1, Ordering::Relaxed);
            drop(thread.work.send(work(Load(thread.load.clone()))));
        }
    }
}

impl Thread {
    fn start(index: usize) -> Option<Self> {
        let (work, waiting) = mpsc::unbounded_channel();
        let run = move || serve(waiting).unwrap_or_else(|error| tracing::error!(%error, "no lane for slow policies"));
        let thread = std::thread::Builder::new().name(format!("lane-{index}")).stack_size(STACK).spawn(run);
        thread.inspect_err(|error| tracing::error!(%error, "no lane for slow policies")).ok()?;
        Some(Self { work, load: Arc::default() })
    }
}

/// At each tick of a call: lets others have this thread's core at once, where it is one that gives way. The kernel may be
/// content to look at its own next tick, which is late for whoever waits.
pub(super) fn give_way() {
    if is_here() {
        std::thread::yield_now();
    }
}

/// Whether this thread is one that gives way.
pub(super) fn is_here() -> bool {
    IS_HERE.get()
}

/// As many as there are cores but one, which stays free: a thread that gives way does so late, once it runs on every core.
pub(super) fn threads_max() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    cores.saturating_sub(1).max(1)
}

fn serve(mut waiting: mpsc::UnboundedReceiver<Work>) -> std::io::Result<()> {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::warn!(?error, "slow policies run at the priority of all others");
    }
    IS_HERE.set(true);
    Engine::enter_thread();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        while let Some(work) = waiting.recv().await {
            tokio::task::spawn_local(work());
        }
    });
    Ok(())
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy};

    use super::Lane;

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_cut_off() {
        let lane = Lane::default();
        let (started, is_started) = mpsc::channel();
        let (held, is_dropped) = mpsc::channel::<()>();
        let waiting = tokio::spawn(async move {
            let work = move || async move {
                let _held = held;
                started.send(()).unwrap();
                std::future::pending::<()>().await;
            };
            lane.run(work).await
        });
        tokio::task::spawn_blocking(move || is_started.recv().unwrap()).await.unwrap();
        waiting.abort();
        let dropped = tokio::task::spawn_blocking(move || is_dropped.recv()).await.unwrap();
        assert_eq!(dropped, Err(mpsc::RecvError));
    }

    #[tokio::test]
    async fn work_runs_on_a_thread_that_gives_way_and_a_panic_ends_only_itself() {
        let lane = Lane::default();
        assert_eq!(lane.run(|| async { panic!("work panics") }).await, None::<()>);
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        assert_eq!(lane.run(|| async { thread_priority::thread_schedule_policy().ok() }).await.flatten(), Some(idle));
    }
}
