//! Rate limits (GCRA) and concurrency, in memory, exact over all workers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

/// So many tokens a period, and at most so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// From 1.
    pub tokens: u32,
    /// From 1.
    pub period_ms: u32,
    /// From 1.
    pub burst: u32,
}

/// One withdrawal.
#[derive(Debug, Clone)]
pub struct Charge {
    /// Whose bucket and which key, joined so that no two can be the same by accident.
    pub key: String,
    /// The bucket's rate.
    pub rate: Rate,
    /// How much.
    pub cost: u32,
}

/// What became of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it would pass.
    pub allowed: bool,
    /// The most the bucket holds.
    pub limit: u32,
    /// What it holds now.
    pub remaining: u32,
    /// Until a charge of this cost would pass; `u32::MAX` for never.
    pub retry_after_ms: u32,
    /// Until the bucket is full.
    pub reset_ms: u32,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitError {
    /// Nobody declared the bucket.
    UnknownBucket,
    /// A bound is broken.
    Invalid,
    /// Nothing was reserved.
    NotReserved,
    /// The store is full.
    Unavailable,
}

/// What an exchange holds of the limits; given back when it ends.
#[derive(Debug, Default)]
pub struct Holdings {
    reservations: Vec<Charge>,
    permits: Vec<Permit>,
}

#[derive(Debug)]
struct Permit {
    store: Arc<LimitStore>,
    key: String,
}

/// All buckets.
#[derive(Debug)]
pub struct LimitStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    start: Instant,
}

#[derive(Debug)]
struct Shard {
    /// For each key the theoretical arrival time, in nanoseconds since the store's start.
    arrivals: HashMap<String, u64>,
    running: HashMap<String, u32>,
    sweep_at: usize,
}

const SHARDS: usize = 64;
/// Keys a shard may hold that are not full again: 4 million in all.
const KEYS_MAX: usize = 1 << 16;
const SWEEP_MIN: usize = 1 << 10;
/// The most charges in one call.
const CHARGES_MAX: usize = 16;

impl Rate {
    /// Nanoseconds in which `count` tokens come.
    fn nanos(self, count: u64) -> u64 {
        let nanos = u128::from(count) * u128::from(self.period_ms) * 1_000_000 / u128::from(self.tokens.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
    }

    /// Whether every bound holds.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.tokens > 0 && self.period_ms > 0 && self.burst > 0
    }

    fn verdict(self, arrival: u64, now: u64, cost: u32) -> (Verdict, u64) {
        let full = self.nanos(u64::from(self.burst));
        let next = arrival.max(now).saturating_add(self.nanos(u64::from(cost)));
        let allowed = next - now <= full;
        let after = if allowed { next } else { arrival.max(now) };
        let left = full.saturating_sub(after - now);
        let remaining = u128::from(left) * u128::from(self.tokens) / (u128::from(self.period_ms) * 1_000_000);
        let retry_after_ms = match (allowed, cost > self.burst) {
            (true, _) => 0,
            (false, true) => u32::MAX,
            (false, false) => millis(next - now - full).max(1),
        };
        let verdict = Verdict {
            allowed,
            limit: self.burst,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX).min(self.burst),
            retry_after_ms,
            reset_ms: millis(after - now),
        };
        (verdict, next)
    }
}

/// Rounded up, so that a client that waits as long as it is told is let in.
fn millis(nanos: u64) -> u32 {
    u32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u32::MAX - 1)
}

impl Default for LimitStore {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { arrivals: HashMap::new(), running: HashMap::new(), sweep_at: SWEEP_MIN });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new(), start: Instant::now() }
    }
}

impl LimitStore {
    /// Takes every charge, or none.
    ///
    /// # Errors
    /// `Invalid` for too many charges or a broken bound, `Unavailable` where a key cannot be kept.
    pub fn take(&self, charges: &[Charge]) -> Result<Vec<Verdict>, LimitError> {
        self.charge(charges, true, self.now())
    }

    /// As `take`, without taking.
    ///
    /// # Errors
    /// As `take`.
    pub fn peek(&self, charges: &[Charge]) -> Result<Vec<Verdict>, LimitError> {
        self.charge(charges, false, self.now())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 4)
    }

    fn shard_of(&self, key: &str) -> usize {
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0)
    }

    fn charge(&self, charges: &[Charge], take: bool, now: u64) -> Result<Vec<Verdict>, LimitError> {
        if charges.len() > CHARGES_MAX || !charges.iter().all(|charge| charge.rate.is_valid()) {
            return Err(LimitError::Invalid);
        }
        if let [charge] = charges {
            let Some(shard) = self.shards.get(self.shard_of(&charge.key)) else { return Err(LimitError::Unavailable) };
            return Ok(vec![shard.lock().charge(charge, take, now)?]);
        }
        let places: Vec<usize> = charges.iter().map(|charge| self.shard_of(&charge.key)).collect();
        let mut guards = self.lock(&places);
        // Two charges on one key add up, so each starts from what the ones before it would leave.
        let mut pending: Vec<(&str, u64)> = Vec::with_capacity(charges.len());
        let mut verdicts = Vec::with_capacity(charges.len());
        for (charge, place) in charges.iter().zip(&places) {
            let shard = guards.iter().find(|(index, _)| index == place).map(|(_, shard)| shard);
            let stored = shard.and_then(|shard| shard.arrivals.get(&charge.key)).copied().unwrap_or(0);
            let earlier = pending.iter().rev().find(|(key, _)| *key == charge.key).map(|(_, arrival)| *arrival);
            let (verdict, next) = charge.rate.verdict(earlier.unwrap_or(stored), now, charge.cost);
            verdicts.push(verdict);
            pending.push((&charge.key, next));
        }
        if !take || !verdicts.iter().all(|verdict| verdict.allowed) {
            return Ok(verdicts);
        }
        for ((key, arrival), place) in pending.into_iter().zip(&places) {
            if let Some((_, shard)) = guards.iter_mut().find(|(index, _)| index == place) {
                shard.store(key, arrival, now)?;
            }
        }
        Ok(verdicts)
    }

    /// Locks the shards in one order, so that two calls cannot wait for each other.
    fn lock(&self, places: &[usize]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut sorted = places.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.into_iter().filter_map(|place| Some((place, self.shards.get(place)?.lock()))).collect()
    }

    /// Takes the charges for the exchange, to be settled later.
    ///
    /// # Errors
    /// As `take`.
    pub fn reserve(&self, charges: Vec<Charge>, holdings: &mut Holdings) -> Result<Vec<Verdict>, LimitError> {
        let verdicts = self.take(&charges)?;
        if verdicts.iter().all(|verdict| verdict.allowed) {
            holdings.reservations.extend(charges);
        }
        Ok(verdicts)
    }

    /// Corrects a reservation to its true cost.
    ///
    /// # Errors
    /// `NotReserved` where there is none of that key.
    pub fn settle(&self, key: &str, actual: u32, holdings: &mut Holdings) -> Result<(), LimitError> {
        let reservation = holdings.reservations.iter_mut().find(|charge| charge.key == key);
        let reservation = reservation.ok_or(LimitError::NotReserved)?;
        let now = self.now();
        if let Some(shard) = self.shards.get(self.shard_of(key)) {
            let mut shard = shard.lock();
            let arrival = shard.arrivals.get(key).copied().unwrap_or(now);
            let rate = reservation.rate;
            let more = rate.nanos(u64::from(actual.saturating_sub(reservation.cost)));
            let less = rate.nanos(u64::from(reservation.cost.saturating_sub(actual)));
            shard.store(
                key,
                arrival.max(if more > 0 { now } else { 0 }).saturating_add(more).saturating_sub(less),
                now,
            )?;
        }
        reservation.cost = actual;
        Ok(())
    }

    /// One unit of concurrency until the exchange ends.
    ///
    /// # Errors
    /// `Invalid` for a `max` of 0, `Unavailable` where a key cannot be kept.
    pub fn enter(self: &Arc<Self>, key: String, max: u32, holdings: &mut Holdings) -> Result<Verdict, LimitError> {
        if max == 0 {
            return Err(LimitError::Invalid);
        }
        let Some(shard) = self.shards.get(self.shard_of(&key)) else { return Err(LimitError::Unavailable) };
        let mut shard = shard.lock();
        if shard.running.len() >= KEYS_MAX && !shard.running.contains_key(&key) {
            return Err(LimitError::Unavailable);
        }
        let running = shard.running.entry(key.clone()).or_default();
        let allowed = *running < max;
        *running += u32::from(allowed);
        let remaining = max.saturating_sub(*running);
        drop(shard);
        if allowed {
            holdings.permits.push(Permit { store: self.clone(), key });
        }
        // When one leaves is not known; a client may well try again at once.
        let retry_after_ms = if allowed { 0 } else { 1_000 };
        Ok(Verdict { allowed, limit: max, remaining, retry_after_ms, reset_ms: 0 })
    }
}

impl Shard {
    fn charge(&mut self, charge: &Charge, take: bool, now: u64) -> Result<Verdict, LimitError> {
        let stored = self.arrivals.get_mut(&charge.key);
        let (verdict, next) = charge.rate.verdict(stored.as_deref().copied().unwrap_or(0), now, charge.cost);
        if take && verdict.allowed {
            match stored {
                Some(slot) => *slot = next,
                None => self.store(&charge.key, next, now)?,
            }
        }
        Ok(verdict)
    }

    fn store(&mut self, key: &str, arrival: u64, now: u64) -> Result<(), LimitError> {
        if let Some(slot) = self.arrivals.get_mut(key) {
            *slot = arrival;
            return Ok(());
        }
        if self.arrivals.len() >= self.sweep_at {
            // A bucket whose time has come is full, which is what an absent one is.
            self.arrivals.retain(|_, arrival| *arrival > now);
            self.sweep_at = (self.arrivals.len() * 2).clamp(SWEEP_MIN, KEYS_MAX);
            if self.arrivals.len() >= KEYS_MAX {
                return Err(LimitError::Unavailable);
            }
        }
        self.arrivals.insert(key.to_owned(), arrival);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(shard) = self.store.shards.get(self.store.shard_of(&self.key)) {
            let mut shard = shard.lock();
            if let Some(running) = shard.running.get_mut(&self.key) {
                *running -= 1;
                if *running == 0 {
                    shard.running.remove(&self.key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Charge, Holdings, LimitError, LimitStore, Rate};

    const SECOND: u64 = 1_000_000_000;

    fn charge(key: &str, tokens: u32, period_ms: u32, cost: u32) -> Charge {
        Charge { key: key.to_owned(), rate: Rate { tokens, period_ms, burst: tokens }, cost }
    }

    #[test]
    fn exactly_the_limit_passes_and_then_one_each_interval() {
        let store = LimitStore::default();
        let ask = |now| store.charge(&[charge("k", 3, 1_000, 1)], true, now).unwrap()[0];
        assert_eq!([ask(0).remaining, ask(0).remaining, ask(0).remaining], [2, 1, 0]);
        let refused = ask(0);
        assert!(!refused.allowed);
        assert_eq!((refused.retry_after_ms, refused.reset_ms), (334, 1_000));
        assert!(!ask(333_000_000).allowed);
        assert!(ask(334_000_000).allowed);
        assert!(!ask(334_000_000).allowed);
    }

    #[test]
    fn all_charges_are_taken_or_none() {
        let store = LimitStore::default();
        let both = [charge("a", 10, 1_000, 1), charge("b", 1, 1_000, 1)];
        assert!(store.charge(&both, true, 0).unwrap().iter().all(|verdict| verdict.allowed));
        let refused = store.charge(&both, true, 0).unwrap();
        assert_eq!((refused[0].allowed, refused[1].allowed), (true, false));
        let left = store.charge(&[charge("a", 10, 1_000, 0)], false, 0).unwrap()[0];
        assert_eq!(left.remaining, 9, "the refused call took nothing");
        let twice = [charge("c", 1, 1_000, 1), charge("c", 1, 1_000, 1)];
        assert!(!store.charge(&twice, true, 0).unwrap()[1].allowed, "two charges on one key add up");
    }

    #[test]
    fn a_cost_above_the_limit_never_passes() {
        let store = LimitStore::default();
        let verdict = store.charge(&[charge("k", 5, 1_000, 6)], true, 0).unwrap()[0];
        assert_eq!((verdict.allowed, verdict.retry_after_ms, verdict.remaining), (false, u32::MAX, 5));
        assert_eq!(store.take(&[charge("k", 0, 1_000, 1)]), Err(LimitError::Invalid));
    }

    #[test]
    fn parallel_callers_share_the_limit_exactly() {
        let store = Arc::new(LimitStore::default());
        let admitted: usize = std::thread::scope(|scope| {
            let run = || (0..500).filter(|_| store.take(&[charge("k", 100, 3_600_000, 1)]).unwrap()[0].allowed).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 100);
    }

    #[test]
    fn a_reservation_is_settled_up_and_down() {
        let store = LimitStore::default();
        let mut holdings = Holdings::default();
        let ask = |cost| charge("k", 100, 3_600_000, cost);
        let left = || store.peek(&[ask(0)]).unwrap()[0].remaining;
        store.reserve(vec![ask(50)], &mut holdings).unwrap();
        store.settle("k", 20, &mut holdings).unwrap();
        assert_eq!(left(), 80);
        store.settle("k", 130, &mut holdings).unwrap();
        assert_eq!(left(), 0);
        assert!(!store.peek(&[ask(1)]).unwrap()[0].allowed, "the bucket is in debt");
        assert_eq!(store.settle("other", 1, &mut holdings), Err(LimitError::NotReserved));
    }

    #[test]
    fn a_permit_comes_back_when_its_holder_ends() {
        let store = Arc::new(LimitStore::default());
        let (mut first, mut second) = (Holdings::default(), Holdings::default());
        assert!(store.enter("k".to_owned(), 1, &mut first).unwrap().allowed);
        assert!(!store.enter("k".to_owned(), 1, &mut second).unwrap().allowed);
        drop(first);
        assert!(store.enter("k".to_owned(), 1, &mut second).unwrap().allowed);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let store = LimitStore::default();
        for round in 0..4_u64 {
            for key in 0..100_000 {
                let charge = charge(&format!("{round}-{key}"), 1, 1_000, 1);
                store.charge(&[charge], true, round * 2 * SECOND).unwrap();
            }
        }
        let held: usize = store.shards.iter().map(|shard| shard.lock().arrivals.len()).sum();
        assert!(held < 250_000, "{held} keys are held");
    }
}
