//! Small values that outlive a call, in memory: bounded, with a time to live, atomic over all workers.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

/// One store, under the bounds of one configuration. Another configuration's store of the same name shares its entries.
#[derive(Debug, Clone)]
pub struct KvStore {
    entries: Arc<Entries>,
    bounds: KvBounds,
}

/// What a store may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvBounds {
    /// Entries at once.
    pub entries_max: usize,
    /// Bytes of all keys and values together.
    pub bytes_max: usize,
    /// The longest that an entry stays after it was written.
    pub ttl_max: Option<Duration>,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq)]
pub struct KvEntry {
    /// The bytes.
    pub value: Bytes,
    /// Another one at each write.
    pub version: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvError {
    /// A bound on what is asked for is broken.
    Invalid,
    /// The value or the sum is too large.
    TooLarge,
    /// The entry has another version.
    Conflict,
    /// The entry holds no number.
    NotANumber,
    /// There is no room.
    Full,
}

struct Entries {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    start: Instant,
    versions: AtomicU64,
    count: AtomicUsize,
    bytes: AtomicUsize,
}

struct Shard {
    slots: HashMap<Box<str>, Slot>,
    /// Nothing in it expires before.
    soonest: Expiry,
}

struct Slot {
    value: Bytes,
    version: u64,
    expiry: Expiry,
}

/// Milliseconds since the store's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Expiry(u64);

/// A value, and when it expires where that is not as for any other.
type Made = (Bytes, Option<Expiry>);

const SHARDS: usize = 64;
/// Bytes of a key.
const KEY_MAX: usize = 256;
/// Bytes of a value.
const VALUE_MAX: usize = 256 << 10;
/// A counter stays where an `f64` is exact.
const NUMBER_MAX: i64 = 1 << 53;

impl KvStore {
    /// An empty store.
    #[must_use]
    pub fn new(bounds: KvBounds) -> Self {
        Self { entries: Arc::default(), bounds }
    }

    /// The same entries under other bounds. What is past a smaller bound stays until it expires or is deleted.
    #[must_use]
    pub fn rebound(&self, bounds: KvBounds) -> Self {
        Self { entries: self.entries.clone(), bounds }
    }

    /// What a key holds.
    ///
    /// # Errors
    /// `Invalid` for what is no key.
    pub fn get(&self, key: &str) -> Result<Option<KvEntry>, KvError> {
        let shard = self.shard(key)?.lock();
        let slot = shard.slots.get(key).filter(|slot| slot.expiry > self.now());
        Ok(slot.map(|slot| KvEntry { value: slot.value.clone(), version: slot.version }))
    }

    /// Writes, and gives the new version.
    ///
    /// # Errors
    /// `Invalid` for what is no key, `TooLarge` for the value, `Full`.
    pub fn set(&self, key: &str, value: &Bytes, ttl: Option<Duration>) -> Result<u64, KvError> {
        self.write(key, ttl, |_| Ok((value.clone(), None)))
    }

    /// Writes if the entry still has a version, or is still absent, and gives the new version.
    ///
    /// # Errors
    /// As `set`, and `Conflict`.
    pub fn swap(&self, key: &str, version: Option<u64>, value: &Bytes, ttl: Option<Duration>) -> Result<u64, KvError> {
        self.write(key, ttl, |slot| {
            if slot.map(|slot| slot.version) == version { Ok((value.clone(), None)) } else { Err(KvError::Conflict) }
        })
    }

    /// Takes an entry away. Whether there was one.
    ///
    /// # Errors
    /// `Invalid` for what is no key.
    pub fn delete(&self, key: &str) -> Result<bool, KvError> {
        let mut shard = self.shard(key)?.lock();
        let Some((key, slot)) = shard.slots.remove_entry(key) else { return Ok(false) };
        self.entries.forget(&key, &slot);
        Ok(slot.expiry > self.now())
    }

    /// Adds to a counter, and gives the sum.
    ///
    /// # Errors
    /// `Invalid` for what is no key or past 2^53, `TooLarge` for a sum past it, `NotANumber`, `Full`.
    pub fn add(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, KvError> {
        if delta.abs() > NUMBER_MAX {
            return Err(KvError::Invalid);
        }
        let mut sum = delta;
        self.write(key, ttl, |slot| {
            sum = delta + slot.map_or(Ok(0), Slot::number)?;
            if sum.abs() > NUMBER_MAX {
                return Err(KvError::TooLarge);
            }
            Ok((sum.to_string().into(), slot.map(|slot| slot.expiry)))
        })?;
        Ok(sum)
    }

    fn shard(&self, key: &str) -> Result<&Mutex<Shard>, KvError> {
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(KvError::Invalid);
        }
        let place = usize::try_from(self.entries.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        self.entries.shards.get(place).ok_or(KvError::Invalid)
    }

    fn now(&self) -> Expiry {
        Expiry(u64::try_from(self.entries.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1))
    }

    fn expiry(&self, ttl: Option<Duration>) -> Expiry {
        let ttl = match (ttl, self.bounds.ttl_max) {
            (Some(ttl), Some(max)) => ttl.min(max),
            (Some(ttl), None) | (None, Some(ttl)) => ttl,
            (None, None) => return Expiry::NEVER,
        };
        Expiry(self.now().0.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Writes what `make` makes of what is there, once more without what has expired if there is no room at first.
    fn write(
        &self,
        key: &str,
        ttl: Option<Duration>,
        mut make: impl FnMut(Option<&Slot>) -> Result<Made, KvError>,
    ) -> Result<u64, KvError> {
        match self.try_write(key, ttl, &mut make) {
            Err(KvError::Full) if self.entries.sweep(self.now()) => self.try_write(key, ttl, &mut make),
            written => written,
        }
    }

    fn try_write(
        &self,
        key: &str,
        ttl: Option<Duration>,
        make: &mut impl FnMut(Option<&Slot>) -> Result<Made, KvError>,
    ) -> Result<u64, KvError> {
        let mut shard = self.shard(key)?.lock();
        let now = self.now();
        if shard.slots.get(key).is_some_and(|slot| slot.expiry <= now)
            && let Some((key, slot)) = shard.slots.remove_entry(key)
        {
            self.entries.forget(&key, &slot);
        }
        let old = shard.slots.get(key);
        let (value, expiry) = make(old)?;
        if value.len() > VALUE_MAX {
            return Err(KvError::TooLarge);
        }
        let before = old.map(|slot| slot.value.len());
        self.entries.make_room(key.len(), (before, value.len()), self.bounds)?;
        let version = self.entries.versions.fetch_add(1, Ordering::Relaxed) + 1;
        let expiry = expiry.unwrap_or_else(|| self.expiry(ttl));
        shard.soonest = shard.soonest.min(expiry);
        let slot = Slot { value, version, expiry };
        match shard.slots.get_mut(key) {
            Some(known) => *known = slot,
            None => drop(shard.slots.insert(key.into(), slot)),
        }
        Ok(version)
    }
}

impl Entries {
    /// Accounts for a value of other bytes under a key, or for a key that is new.
    fn make_room(&self, key: usize, (before, after): (Option<usize>, usize), bounds: KvBounds) -> Result<(), KvError> {
        let is_new = before.is_none();
        let grow = |count: &AtomicUsize, by: usize, max: usize| {
            let grown = |now: usize| now.checked_add(by).filter(|sum| *sum <= max);
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown).map(drop).map_err(|_| KvError::Full)
        };
        if is_new {
            grow(&self.count, 1, bounds.entries_max)?;
        }
        let before = before.map_or(0, |value| key + value);
        let result = match (key + after).checked_sub(before) {
            Some(0) => Ok(()),
            Some(more) => grow(&self.bytes, more, bounds.bytes_max),
            None => {
                self.bytes.fetch_sub(before - key - after, Ordering::Relaxed);
                Ok(())
            }
        };
        if result.is_err() && is_new {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        result
    }

    fn forget(&self, key: &str, slot: &Slot) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(key.len() + slot.value.len(), Ordering::Relaxed);
    }

    /// Takes away what has expired, one shard after the other. Whether there was anything.
    fn sweep(&self, now: Expiry) -> bool {
        let mut found = false;
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.soonest > now {
                continue;
            }
            let mut soonest = Expiry::NEVER;
            shard.slots.retain(|key, slot| {
                let stays = slot.expiry > now;
                if stays {
                    soonest = soonest.min(slot.expiry);
                } else {
                    self.forget(key, slot);
                    found = true;
                }
                stays
            });
            shard.soonest = soonest;
        }
        found
    }
}

impl Expiry {
    const NEVER: Self = Self(u64::MAX);
}

impl Slot {
    fn number(&self) -> Result<i64, KvError> {
        let number = std::str::from_utf8(&self.value).ok().and_then(|text| text.parse::<i64>().ok());
        number.filter(|number| number.abs() <= NUMBER_MAX).ok_or(KvError::NotANumber)
    }
}

impl Default for Entries {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { slots: HashMap::new(), soonest: Expiry::NEVER });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
            versions: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Entries")
            .field("count", &self.count)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::{Expiry, KvBounds, KvError, KvStore, NUMBER_MAX, VALUE_MAX};

    fn store(entries_max: usize, bytes_max: usize) -> KvStore {
        KvStore::new(KvBounds { entries_max, bytes_max, ttl_max: None })
    }

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn value(store: &KvStore, key: &str) -> Option<String> {
        Some(String::from_utf8(store.get(key).unwrap()?.value.to_vec()).unwrap())
    }

    #[test]
    fn what_was_written_is_read_until_it_is_deleted() {
        let store = store(10, 1_000);
        let first = store.set("k", &bytes("one"), None).unwrap();
        let second = store.set("k", &bytes("two"), None).unwrap();
        assert!(second > first);
        assert_eq!(value(&store, "k").as_deref(), Some("two"));
        assert_eq!((store.delete("k"), store.delete("k")), (Ok(true), Ok(false)));
        assert_eq!(value(&store, "k"), None);
        for key in ["", &"k".repeat(257)] {
            assert_eq!(store.set(key, &bytes("v"), None), Err(KvError::Invalid));
            assert_eq!(store.get(key), Err(KvError::Invalid));
        }
        assert!(store.set(&"k".repeat(256), &bytes("v"), None).is_ok());
    }

    #[test]
    fn a_swap_writes_only_over_the_version_it_names() {
        let store = store(10, 1_000);
        let first = store.swap("k", None, &bytes("a"), None).unwrap();
        assert_eq!(store.swap("k", None, &bytes("b"), None), Err(KvError::Conflict));
        let second = store.swap("k", Some(first), &bytes("c"), None).unwrap();
        assert_eq!(store.swap("k", Some(first), &bytes("d"), None), Err(KvError::Conflict));
        assert_eq!(value(&store, "k").as_deref(), Some("c"));
        // A version never comes back, so that what was deleted and written anew is told apart.
        store.delete("k").unwrap();
        assert_eq!(store.swap("k", Some(second), &bytes("e"), None), Err(KvError::Conflict));
        assert!(store.swap("k", None, &bytes("f"), None).unwrap() > second);
    }

    #[test]
    fn additions_of_many_threads_are_all_there() {
        let store = store(10, 1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| assert!(store.add("n", 3, None).is_ok())));
            }
        });
        assert_eq!(store.add("n", -2_000, None), Ok(10_000));
        assert_eq!(value(&store, "n").as_deref(), Some("10000"));
    }

    #[test]
    fn a_counter_holds_whole_numbers_of_53_bits_and_nothing_else_is_one() {
        let store = store(10, 1_000);
        assert_eq!(store.add("n", NUMBER_MAX, None), Ok(NUMBER_MAX));
        assert_eq!(store.add("n", 1, None), Err(KvError::TooLarge));
        assert_eq!(store.add("n", NUMBER_MAX + 1, None), Err(KvError::Invalid));
        assert_eq!(store.add("n", -NUMBER_MAX, None), Ok(0));
        store.set("text", &bytes("1.5"), None).unwrap();
        store.set("digits", &bytes("41"), None).unwrap();
        assert_eq!(store.add("text", 1, None), Err(KvError::NotANumber));
        assert_eq!(store.add("digits", 1, None), Ok(42));
    }

    #[test]
    fn entries_and_bytes_are_bounded_over_all_shards() {
        let many = store(100, 1 << 20);
        for index in 0..100 {
            many.set(&format!("k{index}"), &bytes("v"), None).unwrap();
        }
        assert_eq!(many.set("one more", &bytes("v"), None), Err(KvError::Full));
        many.set("k7", &bytes("another value"), None).unwrap();
        many.delete("k3").unwrap();
        many.set("one more", &bytes("v"), None).unwrap();

        let small = store(100, 10);
        small.set("k", &bytes("123456789"), None).unwrap();
        assert_eq!(small.set("l", &bytes(""), None), Err(KvError::Full));
        assert_eq!(small.set("k", &bytes("1234567890"), None), Err(KvError::Full));
        assert_eq!(value(&small, "k").as_deref(), Some("123456789"), "a refused write changes nothing");
        small.set("k", &bytes("1"), None).unwrap();
        small.set("l", &bytes("1234567"), None).unwrap();
        assert_eq!(small.entries.bytes.load(std::sync::atomic::Ordering::Relaxed), 10);
        let large = store(1, 1 << 30);
        assert_eq!(large.set("k", &vec![0; VALUE_MAX + 1].into(), None), Err(KvError::TooLarge));
        assert!(large.set("k", &vec![0; VALUE_MAX].into(), None).is_ok());
    }

    #[test]
    fn what_has_expired_is_gone_and_makes_room() {
        let hour = Duration::from_hours(1);
        let store = store(2, 1_000);
        store.set("gone", &bytes("v"), Some(Duration::ZERO)).unwrap();
        store.set("stays", &bytes("v"), Some(hour)).unwrap();
        assert_eq!(value(&store, "gone"), None);
        assert_eq!(store.swap("gone", None, &bytes("w"), Some(Duration::ZERO)).map(drop), Ok(()));
        assert_eq!(store.delete("gone"), Ok(false));
        store.set("gone", &bytes("v"), Some(Duration::ZERO)).unwrap();
        store.set("new", &bytes("v"), None).unwrap();
        assert_eq!(store.set("newer", &bytes("v"), None), Err(KvError::Full));
        assert_eq!((value(&store, "stays").is_some(), value(&store, "new").is_some()), (true, true));
    }

    #[test]
    fn the_operator_bounds_the_time_to_live_and_additions_do_not_lengthen_it() {
        let minute = Duration::from_mins(1);
        let bounds = KvBounds { entries_max: 10, bytes_max: 1_000, ttl_max: Some(minute) };
        let store = KvStore::new(bounds);
        for ttl in [None, Some(Duration::from_hours(1)), Some(minute)] {
            let expiry = store.expiry(ttl);
            assert!(expiry <= Expiry(store.now().0 + 60_000) && expiry > store.now(), "{ttl:?}");
        }
        store.add("n", 1, Some(Duration::ZERO)).unwrap();
        assert_eq!(store.add("n", 1, Some(minute)), Ok(1), "an expired counter starts anew");
        assert_eq!(store.add("n", 1, Some(Duration::ZERO)), Ok(2));
        assert_eq!(store.add("n", 1, None), Ok(3), "the time to live is the first call's");
    }

    #[test]
    fn other_bounds_keep_the_entries() {
        let store = store(10, 1_000);
        store.set("a", &bytes("v"), None).unwrap();
        store.set("b", &bytes("v"), None).unwrap();
        let smaller = store.rebound(KvBounds { entries_max: 1, bytes_max: 1_000, ttl_max: None });
        assert_eq!(value(&smaller, "a").as_deref(), Some("v"));
        assert_eq!(smaller.set("c", &bytes("v"), None), Err(KvError::Full));
        smaller.set("a", &bytes("w"), None).unwrap();
        assert_eq!(value(&store, "a").as_deref(), Some("w"));
    }
}
