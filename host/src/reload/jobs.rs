//! Runs the scheduled jobs of the policies that serve.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::JobConfig;
use crate::plugin::Policy;
use crate::proxy::Gateway;

/// How often it is checked whether another snapshot serves.
const TICK: Duration = Duration::from_millis(100);

/// Starts running. The jobs of a snapshot end with it: one that still runs is cut off.
pub(super) fn start(gateway: &Arc<Gateway>, runtime: &tokio::runtime::Handle) {
    let gateway = Arc::downgrade(gateway);
    runtime.spawn(async move {
        let mut serving = 0;
        let mut jobs = JoinSet::new();
        while let Some(gateway) = gateway.upgrade() {
            let snapshot = gateway.snapshot.load_full();
            drop(gateway);
            if snapshot.generation != serving {
                serving = snapshot.generation;
                // A policy must not run beside the one that takes its place.
                jobs.shutdown().await;
                for policy in snapshot.policies.values() {
                    for job in policy.config.schedule.clone() {
                        jobs.spawn(repeat(policy.clone(), job));
                    }
                }
            }
            drop(snapshot);
            tokio::time::sleep(TICK).await;
        }
    });
}

/// Runs a job for ever, one run after the other.
async fn repeat(policy: Arc<Policy>, job: JobConfig) {
    loop {
        let next = Instant::now() + job.every.0 - jitter(job.every.0);
        match policy.run_job(&job.job, job.deadline.0).await {
            Ok(()) => tracing::debug!(policy = &*policy.name, job = job.job, "job ran"),
            Err(error) => tracing::warn!(%error, policy = &*policy.name, job = job.job, "job failed"),
        }
        tokio::time::sleep_until(next).await;
    }
}

/// Up to a tenth of a period, another one each time. Whoever guesses it gains nothing.
fn jitter(period: Duration) -> Duration {
    let random = u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0);
    period / 10 * (random >> 16) / (1 << 16)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::jitter;

    #[test]
    fn jitter_is_below_a_tenth_and_differs() {
        let jitters: Vec<_> = (0..100).map(|_| jitter(Duration::from_secs(10))).collect();
        assert!(jitters.iter().all(|jitter| *jitter < Duration::from_secs(1)), "{jitters:?}");
        assert!(jitters.iter().any(|jitter| *jitter != jitters[0]), "{jitters:?}");
    }
}
