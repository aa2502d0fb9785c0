//! Counts the faults of a policy, and takes its plugin's version out where there are too many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::QuarantineConfig;

/// Whether a version of a plugin is called.
#[derive(Debug, Default)]
pub struct Health(AtomicBool);

/// The newest faults of a policy, each with how many calls of its phase had ended well by then.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<VecDeque<(Instant, u64)>>);

impl Health {
    /// Whether it is called no more.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes it out. Whether it was in.
    pub(super) fn take_out(&self) -> bool {
        !self.0.swap(true, Ordering::Relaxed)
    }
}

impl Faults {
    /// Notes a fault. Whether there are too many: as many as the operator says, and no fewer than calls that ended well
    /// since the first of them, so that a few clients who know how to make a policy fail cannot take it from all others.
    pub(super) fn are_too_many(&self, bounds: &QuarantineConfig, ended_well: u64) -> bool {
        let most = bounds.faults as usize;
        if most == 0 {
            return false;
        }
        let now = Instant::now();
        let mut faults = self.0.lock();
        faults.push_back((now, ended_well));
        while faults.len() > most || faults.front().is_some_and(|(at, _)| now.duration_since(*at) > bounds.per.0) {
            faults.pop_front();
        }
        let since = faults.front().map_or(0, |(_, before)| ended_well.saturating_sub(*before));
        faults.len() == most && since <= bounds.faults.into()
    }
}
