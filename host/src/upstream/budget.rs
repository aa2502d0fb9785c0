//! How many requests may be sent again: a share of those that come.

use std::sync::atomic::{AtomicI64, Ordering};

/// Repetitions that an upstream may still be asked for, in hundredths.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicI64,
    percent: i64,
}

/// What a repetition costs.
const WHOLE: i64 = 100;
/// Repetitions that are free, so that the first requests have some.
const FREE: i64 = 10 * WHOLE;
/// Requests whose share is kept.
const KEPT: i64 = 10_000;

impl Budget {
    pub(super) fn new(percent: u8) -> Self {
        let percent = i64::from(percent);
        Self { left: AtomicI64::new(if percent == 0 { 0 } else { FREE }), percent }
    }

    /// A request came.
    pub(super) fn request(&self) {
        if self.left.load(Ordering::Relaxed) < (KEPT * self.percent).max(FREE) {
            self.left.fetch_add(self.percent, Ordering::Relaxed);
        }
    }

    /// Takes what one repetition costs, if it is there.
    pub(super) fn take(&self) -> bool {
        let taken = |left: i64| (left >= WHOLE).then_some(left - WHOLE);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn repetitions_stay_within_their_share_of_requests() {
        let budget = Budget::new(10);
        let mut repeated = 0;
        for _ in 0..10_000 {
            budget.request();
            repeated += (0..2).filter(|_| budget.take()).count();
        }
        assert_eq!(repeated, 1_010);
        let never = Budget::new(0);
        never.request();
        assert!(!never.take());
    }
}
