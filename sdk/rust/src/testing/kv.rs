//! The interface `kv`, in memory, on the clock that the test sets. Each test thread has its own stores.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::services::clock;
pub use crate::bindings::policy::gatewright::policy::kv::{Entry, KvError};

#[derive(Debug, Clone)]
struct Slot {
    value: Vec<u8>,
    version: f64,
    /// On the clock of the test.
    until_ms: f64,
}

#[derive(Debug, Default)]
struct Stores {
    stores: BTreeMap<String, BTreeMap<String, Slot>>,
    versions: f64,
    error: Option<KvError>,
}

thread_local! {
    static STORES: RefCell<Stores> = RefCell::default();
}

const KEY_MAX: usize = 256;
const VALUE_MAX: usize = 256 << 10;
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Declares an empty store as the operator would under `kv:`, and grants it.
pub fn declare_store(name: &str) {
    STORES.with_borrow_mut(|stores| stores.stores.insert(name.to_owned(), BTreeMap::new()));
}

/// Makes every write to every store fail, or work again.
pub fn fail_writes(error: Option<KvError>) {
    STORES.with_borrow_mut(|stores| stores.error = error);
}

/// A store that the test declared.
#[derive(Debug)]
pub struct Store(String);

/// As in the contract.
#[expect(clippy::missing_errors_doc, reason = "the contract states the errors")]
impl Store {
    /// Open a store by its name.
    pub fn open(name: &str) -> Result<Self, KvError> {
        let known = STORES.with_borrow(|stores| stores.stores.contains_key(name));
        if known { Ok(Self(name.to_owned())) } else { Err(KvError::NoSuchStore) }
    }

    /// What `key` holds now.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, KvError> {
        let slot = self.slot(key)?;
        Ok(slot.map(|slot| Entry { value: slot.value, version: slot.version }))
    }

    /// Write whatever was there before.
    pub fn set(&self, key: &str, value: &[u8], ttl_ms: Option<u32>) -> Result<f64, KvError> {
        self.slot(key)?;
        self.write(key, value, until(ttl_ms))
    }

    /// Write only if the entry still has this version.
    pub fn swap(&self, key: &str, version: Option<f64>, value: &[u8], ttl_ms: Option<u32>) -> Result<f64, KvError> {
        if self.slot(key)?.map(|slot| slot.version) != version {
            return Err(KvError::Conflict);
        }
        self.write(key, value, until(ttl_ms))
    }

    /// Take the entry away.
    pub fn delete(&self, key: &str) -> Result<bool, KvError> {
        let was_there = self.slot(key)?.is_some();
        self.with(|store| store.remove(key));
        Ok(was_there)
    }

    /// Add to a counter.
    pub fn add(&self, key: &str, delta: f64, ttl_ms: Option<u32>) -> Result<f64, KvError> {
        if delta.fract() != 0.0 || delta.abs() > EXACT_MAX {
            return Err(KvError::Invalid);
        }
        let slot = self.slot(key)?;
        let until_ms = slot.as_ref().map_or_else(|| until(ttl_ms), |slot| slot.until_ms);
        let number = match slot {
            None => 0.0,
            Some(slot) => {
                let text = String::from_utf8(slot.value).map_err(|_| KvError::NotANumber)?;
                text.parse::<i32>().map(f64::from).map_err(|_| KvError::NotANumber)?
            }
        };
        let sum = number + delta;
        self.write(key, format!("{sum:.0}").as_bytes(), until_ms)?;
        Ok(sum)
    }

    fn slot(&self, key: &str) -> Result<Option<Slot>, KvError> {
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(KvError::Invalid);
        }
        let now = clock::now();
        Ok(self.with(|store| store.get(key).cloned()).filter(|slot| slot.until_ms > now))
    }

    fn write(&self, key: &str, value: &[u8], until_ms: f64) -> Result<f64, KvError> {
        if value.len() > VALUE_MAX {
            return Err(KvError::TooLarge);
        }
        let version = STORES.with_borrow_mut(|stores| {
            stores.error.map_or(Ok(()), Err)?;
            stores.versions += 1.0;
            Ok(stores.versions)
        })?;
        self.with(|store| store.insert(key.to_owned(), Slot { value: value.to_vec(), version, until_ms }));
        Ok(version)
    }

    fn with<T>(&self, run: impl FnOnce(&mut BTreeMap<String, Slot>) -> T) -> T {
        STORES.with_borrow_mut(|stores| run(stores.stores.entry(self.0.clone()).or_default()))
    }
}

fn until(ttl_ms: Option<u32>) -> f64 {
    ttl_ms.map_or(f64::INFINITY, |ttl| clock::now() + f64::from(ttl.max(1)))
}

#[cfg(test)]
mod tests {
    use super::{KvError, Store, declare_store, fail_writes};
    use crate::testing::set_clock_ms;

    #[test]
    fn a_store_behaves_as_the_contract_says() {
        set_clock_ms(1_000.0);
        declare_store("s");
        assert!(matches!(Store::open("other"), Err(KvError::NoSuchStore)));
        let store = Store::open("s").unwrap();
        let version = store.set("k", b"v", Some(50)).unwrap();
        assert_eq!(store.get("k").unwrap().map(|entry| entry.value), Some(b"v".to_vec()));
        assert_eq!(store.swap("k", None, b"w", None), Err(KvError::Conflict));
        assert!(store.swap("k", Some(version), b"w", Some(50)).is_ok());
        assert_eq!(store.add("n", 5.0, Some(50)), Ok(5.0));
        set_clock_ms(1_049.0);
        assert_eq!(store.add("n", -7.0, Some(50)), Ok(-2.0));
        assert_eq!(store.add("k", 1.0, None), Err(KvError::NotANumber));
        set_clock_ms(1_050.0);
        assert_eq!((store.get("k").unwrap().is_none(), store.delete("n")), (true, Ok(false)));
        fail_writes(Some(KvError::Full));
        assert_eq!(store.set("k", b"v", None), Err(KvError::Full));
        fail_writes(None);
        assert_eq!(store.set("", b"v", None), Err(KvError::Invalid));
    }
}
