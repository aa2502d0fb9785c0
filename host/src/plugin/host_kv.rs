//! The contract's `kv` on the host's side.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::gatewright::policy::kv;
use super::call::Call;
use super::handles::StoreHandle;
use crate::services::{KvError, KvStore};

/// The largest whole number below which an `f64` is exact.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Call {
    fn store(&self, store: &Resource<StoreHandle>) -> Result<&KvStore> {
        let store = self.stores.get(store.rep() as usize);
        store.map(|(_, store)| store).ok_or_else(|| wasmtime::format_err!("there is no such store"))
    }
}

impl kv::Host for Call {}

type Answer<T> = Result<std::result::Result<T, kv::KvError>>;

impl kv::HostStore for Call {
    fn open(&mut self, name: String) -> Answer<Resource<StoreHandle>> {
        self.in_exchange("kv")?;
        if !self.services.grants.kv.contains(&name) {
            return Ok(Err(kv::KvError::NotGranted));
        }
        // A store opened twice is one: there are never more than the operator granted.
        let index = match self.stores.iter().position(|(known, _)| *known == name) {
            Some(index) => index,
            None => {
                let Some(store) = self.services.kv.get(&name) else { return Ok(Err(kv::KvError::NoSuchStore)) };
                self.stores.push((name, store.clone()));
                self.stores.len() - 1
            }
        };
        Ok(Ok(self.hand_over(u32::try_from(index)?)))
    }

    fn get(&mut self, store: Resource<StoreHandle>, key: String) -> Answer<Option<kv::Entry>> {
        let entry = self.store(&store)?.get(&key).map_err(error);
        Ok(entry.map(|entry| {
            entry.map(|entry| kv::Entry { value: entry.value.to_vec(), version: to_guest(entry.version) })
        }))
    }

    fn set(&mut self, store: Resource<StoreHandle>, key: String, value: Vec<u8>, ttl_ms: Option<u32>) -> Answer<f64> {
        let written = self.store(&store)?.set(&key, &value.into(), ttl_ms.map(ttl));
        Ok(written.map(to_guest).map_err(error))
    }

    fn swap(
        &mut self,
        store: Resource<StoreHandle>,
        key: String,
        version: Option<f64>,
        value: Vec<u8>,
        ttl_ms: Option<u32>,
    ) -> Answer<f64> {
        let version = match version.map(whole).transpose() {
            Ok(version) => version.map(i64::unsigned_abs),
            Err(error) => return Ok(Err(error)),
        };
        let written = self.store(&store)?.swap(&key, version, &value.into(), ttl_ms.map(ttl));
        Ok(written.map(to_guest).map_err(error))
    }

    fn delete(&mut self, store: Resource<StoreHandle>, key: String) -> Answer<bool> {
        Ok(self.store(&store)?.delete(&key).map_err(error))
    }

    fn add(&mut self, store: Resource<StoreHandle>, key: String, delta: f64, ttl_ms: Option<u32>) -> Answer<f64> {
        let delta = match whole(delta) {
            Ok(delta) => delta,
            Err(error) => return Ok(Err(error)),
        };
        let sum = self.store(&store)?.add(&key, delta, ttl_ms.map(ttl)).map_err(error);
        Ok(sum.map(|sum| to_guest(sum.unsigned_abs()).copysign(if sum < 0 { -1.0 } else { 1.0 })))
    }

    fn drop(&mut self, _: Resource<StoreHandle>) -> Result<()> {
        self.took_back();
        Ok(())
    }
}

/// A time to live, which is never nothing.
fn ttl(millis: u32) -> Duration {
    Duration::from_millis(u64::from(millis.max(1)))
}

/// A whole number that is exact in an `f64`.
fn whole(number: f64) -> std::result::Result<i64, kv::KvError> {
    if number.fract() != 0.0 || number.abs() > EXACT_MAX {
        return Err(kv::KvError::Invalid);
    }
    // The digits of a whole number this small are those of an `i64`.
    format!("{number:.0}").parse().map_err(|_| kv::KvError::Invalid)
}

/// A count below 2^53 as the contract carries it.
fn to_guest(count: u64) -> f64 {
    crate::services::whole_millis(u128::from(count))
}

fn error(error: KvError) -> kv::KvError {
    match error {
        KvError::Invalid => kv::KvError::Invalid,
        KvError::TooLarge => kv::KvError::TooLarge,
        KvError::Conflict => kv::KvError::Conflict,
        KvError::NotANumber => kv::KvError::NotANumber,
        KvError::Full => kv::KvError::Full,
    }
}
