//! The services of the contract, answered from what the test set up. Each test thread has its own.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::policy::gatewright::policy as contract;

#[derive(Default)]
struct Services {
    now_ms: f64,
    jwt_answer: Option<Result<String, contract::crypto::JwtError>>,
    secrets: BTreeMap<String, Vec<u8>>,
    lines: Vec<String>,
    totals: BTreeMap<String, u32>,
    declared: BTreeMap<String, contract::limits::Rate>,
    /// When each bucket of GCRA is empty of debt, by bucket and key.
    full_at_ms: BTreeMap<(String, String), f64>,
    reserved: BTreeMap<(String, String), u32>,
    entered: BTreeMap<(String, String), u32>,
    charges: Vec<contract::limits::Charge>,
    limits_error: Option<contract::limits::LimitError>,
}

thread_local! {
    static SERVICES: RefCell<Services> = RefCell::default();
}

fn with<T>(run: impl FnOnce(&mut Services) -> T) -> T {
    SERVICES.with_borrow_mut(run)
}

/// Sets both clocks.
pub fn set_clock_ms(now_ms: f64) {
    with(|services| services.now_ms = now_ms);
}

/// What `crypto.verify-jwt` answers from now on.
pub fn set_jwt_answer(answer: Result<serde_json::Value, contract::crypto::JwtError>) {
    with(|services| services.jwt_answer = Some(answer.map(|claims| claims.to_string())));
}

/// Gives the policy a secret.
pub fn declare_secret(name: &str, bytes: &[u8]) {
    with(|services| services.secrets.insert(name.to_owned(), bytes.to_vec()));
}

/// Declares a bucket as the operator would under `limits:`.
pub fn declare_limit(bucket: &str, rate: contract::limits::Rate) {
    with(|services| services.declared.insert(bucket.to_owned(), rate));
}

/// Makes every call of `limits` fail, or work again.
pub fn fail_limits(error: Option<contract::limits::LimitError>) {
    with(|services| services.limits_error = error);
}

/// Every charge that was asked for, in order.
#[must_use]
pub fn taken_charges() -> Vec<contract::limits::Charge> {
    with(|services| services.charges.clone())
}

/// The messages logged so far.
#[must_use]
pub fn logged_lines() -> Vec<String> {
    with(|services| services.lines.clone())
}

/// What was added to a counter so far, whatever its labels.
#[must_use]
pub fn metric_total(counter: &str) -> u32 {
    with(|services| services.totals.get(counter).copied().unwrap_or(0))
}

/// The interface `clock`.
pub mod clock {
    /// What the test set.
    #[must_use]
    pub fn now() -> f64 {
        super::with(|services| services.now_ms)
    }

    /// What the test set.
    #[must_use]
    pub fn monotonic() -> f64 {
        now()
    }
}

/// The interface `log`.
pub mod log {
    pub use crate::bindings::policy::gatewright::policy::log::Level;

    /// Everything is logged.
    #[must_use]
    pub fn enabled(_: Level) -> bool {
        true
    }

    /// Keeps the line for the test.
    pub fn emit(_: Level, message: &str, _: &[(String, String)]) {
        super::with(|services| services.lines.push(message.to_owned()));
    }
}

/// The interface `metrics`.
pub mod metrics {
    /// Adds to a counter.
    pub fn add(counter: &str, _: &[(String, String)], delta: u32) {
        super::with(|services| *services.totals.entry(counter.to_owned()).or_default() += delta);
    }

    /// Does nothing.
    pub fn set(_: &str, _: &[(String, String)], _: f64) {}

    /// Does nothing.
    pub fn observe(_: &str, _: &[(String, String)], _: f64) {}
}

/// The interface `secrets`.
pub mod secrets {
    pub use crate::bindings::policy::gatewright::policy::secrets::SecretError;

    /// A secret that the test declared.
    #[derive(Debug)]
    pub struct Secret(pub(super) Vec<u8>);

    impl Secret {
        /// Open a secret by its name.
        ///
        /// # Errors
        ///
        /// The test declared none of this name.
        pub fn open(name: &str) -> Result<Self, SecretError> {
            super::with(|services| services.secrets.get(name).cloned()).map(Self).ok_or(SecretError::NotFound)
        }

        /// The bytes.
        ///
        /// # Errors
        ///
        /// Never here.
        pub fn reveal(&self) -> Result<Vec<u8>, SecretError> {
            Ok(self.0.clone())
        }

        /// Whether the bytes are equal.
        #[must_use]
        pub fn matches(&self, candidate: &[u8]) -> bool {
            self.0 == candidate
        }
    }
}

/// The interface `crypto`.
pub mod crypto {
    use hmac::{Hmac, Mac};
    use sha2::{Digest as _, Sha256, Sha384, Sha512};

    use super::secrets::Secret;
    pub use crate::bindings::policy::gatewright::policy::crypto::{Digest, JwtError};

    /// What the test set, else an unknown verifier.
    ///
    /// # Errors
    ///
    /// What the test set.
    pub fn verify_jwt(_: &str, _: &str) -> Result<String, JwtError> {
        super::with(|services| services.jwt_answer.clone()).unwrap_or(Err(JwtError::UnknownVerifier))
    }

    /// The digest of `data`.
    #[must_use]
    pub fn hash(kind: Digest, data: &[u8]) -> Vec<u8> {
        match kind {
            Digest::Sha256 => Sha256::digest(data).to_vec(),
            Digest::Sha384 => Sha384::digest(data).to_vec(),
            Digest::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// HMAC of `data`.
    #[must_use]
    pub fn hmac(kind: Digest, key: &Secret, data: &[u8]) -> Vec<u8> {
        fn tag<M: Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            let Ok(mut mac) = <M as Mac>::new_from_slice(key) else { return Vec::new() };
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }
        match kind {
            Digest::Sha256 => tag::<Hmac<Sha256>>(&key.0, data),
            Digest::Sha384 => tag::<Hmac<Sha384>>(&key.0, data),
            Digest::Sha512 => tag::<Hmac<Sha512>>(&key.0, data),
        }
    }

    /// Whether `tag` is the HMAC of `data`.
    #[must_use]
    pub fn verify_hmac(kind: Digest, key: &Secret, data: &[u8], tag: &[u8]) -> bool {
        hmac(kind, key, data) == tag
    }

    /// Bytes that only look random, so that a test says the same each time.
    #[must_use]
    pub fn random(len: u32) -> Vec<u8> {
        (0..len).map(|index| u8::try_from(index.wrapping_mul(151) % 251).unwrap_or(0)).collect()
    }
}

/// The interface `limits`, with a real GCRA on the clock of the test.
pub mod limits {
    use super::Services;
    pub use crate::bindings::policy::gatewright::policy::limits::{Charge, LimitError, Rate, Verdict};

    /// All or nothing.
    ///
    /// # Errors
    ///
    /// What the test set, an unknown bucket, or a broken bound.
    pub fn take(charges: &[Charge]) -> Result<Vec<Verdict>, LimitError> {
        super::with(|services| {
            services.charges.extend_from_slice(charges);
            charge(services, charges, true)
        })
    }

    /// Look without taking.
    ///
    /// # Errors
    ///
    /// As [`take`].
    pub fn peek(charges: &[Charge]) -> Result<Vec<Verdict>, LimitError> {
        super::with(|services| charge(services, charges, false))
    }

    /// As [`take`], to be settled.
    ///
    /// # Errors
    ///
    /// As [`take`].
    pub fn reserve(charges: &[Charge]) -> Result<Vec<Verdict>, LimitError> {
        let verdicts = take(charges)?;
        if verdicts.iter().all(|verdict| verdict.allowed) {
            super::with(|services| {
                for charge in charges {
                    services.reserved.insert((charge.bucket.clone(), charge.key.clone()), charge.cost);
                }
            });
        }
        Ok(verdicts)
    }

    /// Correct a reservation.
    ///
    /// # Errors
    ///
    /// There is no such reservation.
    pub fn settle(bucket: &str, key: &str, actual: u32) -> Result<(), LimitError> {
        super::with(|services| {
            let place = (bucket.to_owned(), key.to_owned());
            let reserved = services.reserved.insert(place.clone(), actual).ok_or(LimitError::NotReserved)?;
            if let (Some(rate), Some(full_at)) = (services.declared.get(bucket), services.full_at_ms.get_mut(&place)) {
                *full_at += (f64::from(actual) - f64::from(reserved)) * interval_ms(rate);
            }
            Ok(())
        })
    }

    /// One unit of concurrency.
    ///
    /// # Errors
    ///
    /// What the test set.
    pub fn enter(bucket: &str, key: &str, max: u32) -> Result<Verdict, LimitError> {
        super::with(|services| {
            services.limits_error.map_or(Ok(()), Err)?;
            let held = services.entered.entry((bucket.to_owned(), key.to_owned())).or_default();
            let allowed = *held < max;
            *held += u32::from(allowed);
            let remaining = max - *held;
            Ok(Verdict { allowed, limit: max, remaining, retry_after_ms: 0, reset_ms: 0, degraded: false })
        })
    }

    fn charge(services: &mut Services, charges: &[Charge], taking: bool) -> Result<Vec<Verdict>, LimitError> {
        services.limits_error.map_or(Ok(()), Err)?;
        let rates = charges.iter().map(|charge| rate_of(services, charge)).collect::<Result<Vec<_>, _>>()?;
        let looks: Vec<_> = charges.iter().zip(&rates).map(|(charge, rate)| look(services, charge, rate)).collect();
        let taking = taking && looks.iter().all(|(allowed, _)| *allowed);
        let mut verdicts = Vec::new();
        for ((charge, rate), (allowed, full_at_ms)) in charges.iter().zip(&rates).zip(looks) {
            let after_ms = full_at_ms + f64::from(charge.cost) * interval_ms(rate);
            if taking {
                services.full_at_ms.insert((charge.bucket.clone(), charge.key.clone()), after_ms);
            }
            let full_at_ms = if taking { after_ms } else { full_at_ms };
            verdicts.push(verdict(services.now_ms, rate, (allowed, full_at_ms, after_ms)));
        }
        Ok(verdicts)
    }

    fn rate_of(services: &Services, charge: &Charge) -> Result<Rate, LimitError> {
        if charge.bucket.is_empty() || charge.bucket.len() > 64 || charge.key.is_empty() || charge.key.len() > 256 {
            return Err(LimitError::Invalid);
        }
        match charge.limit {
            Some(rate) if rate.tokens == 0 || rate.period_ms == 0 || rate.burst == 0 => Err(LimitError::Invalid),
            Some(rate) => Ok(rate),
            None => services.declared.get(&charge.bucket).copied().ok_or(LimitError::UnknownBucket),
        }
    }

    fn interval_ms(rate: &Rate) -> f64 {
        f64::from(rate.period_ms) / f64::from(rate.tokens)
    }

    /// Whether the charge passes, and when the bucket would be full without it.
    fn look(services: &Services, charge: &Charge, rate: &Rate) -> (bool, f64) {
        let place = (charge.bucket.clone(), charge.key.clone());
        let full_at_ms = services.full_at_ms.get(&place).copied().unwrap_or(0.0).max(services.now_ms);
        let after_ms = full_at_ms + f64::from(charge.cost) * interval_ms(rate);
        (after_ms - services.now_ms <= f64::from(rate.burst) * interval_ms(rate), full_at_ms)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers of a test are small and not negative"
    )]
    fn verdict(now_ms: f64, rate: &Rate, (allowed, full_at_ms, after_ms): (bool, f64, f64)) -> Verdict {
        let room_ms = f64::from(rate.burst) * interval_ms(rate);
        let held_ms = full_at_ms - now_ms;
        Verdict {
            allowed,
            limit: rate.burst,
            remaining: ((room_ms - held_ms) / interval_ms(rate)).max(0.0) as u32,
            retry_after_ms: if allowed { 0 } else { (after_ms - now_ms - room_ms).ceil() as u32 },
            reset_ms: held_ms.ceil() as u32,
            degraded: false,
        }
    }
}
