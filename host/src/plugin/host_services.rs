//! The contract's services on the host's side.

use std::sync::LazyLock;
use std::time::Instant;

use tracing::Level;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::gatewright::policy::{clock, crypto, limits, log, metrics, secrets};
use super::call::Call;
use super::handles::SecretHandle;
use crate::services::{
    Charge, DigestKind, Holdings, JwtError, LimitError, Rate, Verdict, hash, hmac, now_ms, random, verify_hmac,
    whole_millis,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Secrets that one call may have open.
const SECRETS_MAX: usize = 64;
const BUCKET_MAX: usize = 64;
const KEY_MAX: usize = 256;

impl Call {
    /// Most services do not exist at load time, when there is nobody to serve.
    pub(super) fn in_exchange(&self, service: &str) -> Result<()> {
        if self.serves() {
            return Ok(());
        }
        Err(wasmtime::format_err!("{service} cannot be used at load time"))
    }

    fn request_id(&self) -> &str {
        self.exchange.as_ref().map_or("", |exchange| exchange.id.as_str())
    }
}

impl log::Host for Call {
    fn enabled(&mut self, at: log::Level) -> Result<bool> {
        Ok(Self::logs(level(at)))
    }

    fn emit(&mut self, at: log::Level, message: String, attributes: Vec<(String, String)>) -> Result<()> {
        let services = &self.services;
        services.log.emit(&services.policy, self.request_id(), level(at), (&message, &attributes));
        Ok(())
    }
}

fn level(at: log::Level) -> Level {
    match at {
        log::Level::Trace => Level::TRACE,
        log::Level::Debug => Level::DEBUG,
        log::Level::Info => Level::INFO,
        log::Level::Warn => Level::WARN,
        log::Level::Error => Level::ERROR,
    }
}

impl clock::Host for Call {
    fn now(&mut self) -> Result<f64> {
        Ok(now_ms())
    }

    fn monotonic(&mut self) -> Result<f64> {
        Ok(whole_millis(START.elapsed().as_millis()))
    }
}

impl metrics::Host for Call {
    fn add(&mut self, counter: String, labels: Vec<(String, String)>, delta: u32) -> Result<()> {
        self.in_exchange("metrics")?;
        self.services.metrics.policies.add(&self.services.policy, &counter, &labels, delta);
        Ok(())
    }

    fn set(&mut self, gauge: String, labels: Vec<(String, String)>, value: f64) -> Result<()> {
        self.in_exchange("metrics")?;
        self.services.metrics.policies.set(&self.services.policy, &gauge, &labels, value);
        Ok(())
    }

    fn observe(&mut self, histogram: String, labels: Vec<(String, String)>, value: f64) -> Result<()> {
        self.in_exchange("metrics")?;
        self.services.metrics.policies.observe(&self.services.policy, &histogram, &labels, value);
        Ok(())
    }
}

impl Call {
    /// The store's name of a bucket's key: the operator's buckets are shared, a policy's own are not.
    fn limit_key(&self, shared: bool, bucket: &str, key: &str) -> Result<String, LimitError> {
        if bucket.is_empty() || bucket.len() > BUCKET_MAX || key.is_empty() || key.len() > KEY_MAX {
            return Err(LimitError::Invalid);
        }
        let owner = if shared { "" } else { &*self.services.policy };
        // Lengths first, so that no two different triples give the same text.
        Ok(format!("{}:{owner}:{}:{bucket}:{key}", owner.len(), bucket.len()))
    }

    fn charge(&self, charge: &limits::Charge) -> Result<Charge, LimitError> {
        let rate = match &charge.limit {
            Some(rate) => Rate { tokens: rate.tokens, period_ms: rate.period_ms, burst: rate.burst },
            None => *self.services.buckets.get(&charge.bucket).ok_or(LimitError::UnknownBucket)?,
        };
        let key = self.limit_key(charge.limit.is_none(), &charge.bucket, &charge.key)?;
        Ok(Charge { key, rate, cost: charge.cost })
    }

    fn charges(&self, charges: &[limits::Charge]) -> Result<Vec<Charge>, LimitError> {
        charges.iter().map(|charge| self.charge(charge)).collect()
    }

    fn holdings(&mut self) -> Result<&mut Holdings> {
        match &mut self.exchange {
            Some(exchange) => Ok(&mut exchange.holdings),
            None => Err(wasmtime::format_err!("what is held of limits belongs to an exchange, and there is none")),
        }
    }
}

type Verdicts = Result<Vec<limits::Verdict>, limits::LimitError>;

fn verdicts(result: Result<Vec<Verdict>, LimitError>) -> Verdicts {
    result.map(|verdicts| verdicts.into_iter().map(verdict).collect()).map_err(limit_error)
}

fn verdict(verdict: Verdict) -> limits::Verdict {
    let Verdict { allowed, limit, remaining, retry_after_ms, reset_ms } = verdict;
    limits::Verdict { allowed, limit, remaining, retry_after_ms, reset_ms, degraded: false }
}

fn limit_error(error: LimitError) -> limits::LimitError {
    match error {
        LimitError::UnknownBucket => limits::LimitError::UnknownBucket,
        LimitError::Invalid => limits::LimitError::Invalid,
        LimitError::NotReserved => limits::LimitError::NotReserved,
        LimitError::Unavailable => limits::LimitError::Unavailable,
    }
}

impl limits::Host for Call {
    fn take(&mut self, charges: Vec<limits::Charge>) -> Result<Verdicts> {
        self.in_exchange("limits")?;
        Ok(verdicts(self.charges(&charges).and_then(|charges| self.services.limits.take(&charges))))
    }

    fn peek(&mut self, charges: Vec<limits::Charge>) -> Result<Verdicts> {
        self.in_exchange("limits")?;
        Ok(verdicts(self.charges(&charges).and_then(|charges| self.services.limits.peek(&charges))))
    }

    fn reserve(&mut self, charges: Vec<limits::Charge>) -> Result<Verdicts> {
        let store = self.services.limits.clone();
        let charges = self.charges(&charges);
        let holdings = self.holdings()?;
        Ok(verdicts(charges.and_then(|charges| store.reserve(charges, holdings))))
    }

    fn settle(&mut self, bucket: String, key: String, actual: u32) -> Result<Result<(), limits::LimitError>> {
        let store = self.services.limits.clone();
        let shared = self.services.buckets.contains_key(&bucket);
        let keys = [self.limit_key(false, &bucket, &key), self.limit_key(shared, &bucket, &key)];
        let holdings = self.holdings()?;
        let mut result = Err(LimitError::NotReserved);
        for key in keys {
            result = key.and_then(|key| store.settle(&key, actual, holdings));
            if result.is_ok() {
                break;
            }
        }
        Ok(result.map_err(limit_error))
    }

    fn enter(&mut self, bucket: String, key: String, max: u32) -> Result<Result<limits::Verdict, limits::LimitError>> {
        let store = self.services.limits.clone();
        let key = self.limit_key(false, &bucket, &key);
        let holdings = self.holdings()?;
        Ok(key.and_then(|key| store.enter(key, max, holdings)).map(verdict).map_err(limit_error))
    }
}

impl secrets::Host for Call {}

impl secrets::HostSecret for Call {
    fn open(&mut self, name: String) -> Result<Result<Resource<SecretHandle>, secrets::SecretError>> {
        self.in_exchange("secrets")?;
        let granted = &self.services.grants;
        if !granted.secrets.contains(&name) && !granted.reveal.contains(&name) {
            return Ok(Err(secrets::SecretError::NotGranted));
        }
        let Some(secret) = self.services.secrets.0.get(&name) else { return Ok(Err(secrets::SecretError::NotFound)) };
        if self.secrets.len() >= SECRETS_MAX {
            wasmtime::bail!("more than {SECRETS_MAX} secrets open in one call");
        }
        let may_reveal = granted.reveal.contains(&name);
        let handle = u32::try_from(self.secrets.len())?;
        self.secrets.push((secret.clone(), may_reveal));
        Ok(Ok(self.hand_over(handle)))
    }

    fn reveal(&mut self, secret: Resource<SecretHandle>) -> Result<Result<Vec<u8>, secrets::SecretError>> {
        match self.open_secret(&secret)? {
            (secret, true) => Ok(Ok(secret.bytes().to_vec())),
            (_, false) => Ok(Err(secrets::SecretError::NotGranted)),
        }
    }

    fn matches(&mut self, secret: Resource<SecretHandle>, candidate: Vec<u8>) -> Result<bool> {
        Ok(self.secret(&secret)?.matches(&candidate))
    }

    fn drop(&mut self, _: Resource<SecretHandle>) -> Result<()> {
        self.took_back();
        Ok(())
    }
}

impl Call {
    /// A secret that this call opened, and whether its bytes may be seen.
    fn open_secret(&self, secret: &Resource<SecretHandle>) -> Result<&(crate::services::Secret, bool)> {
        self.secrets.get(secret.rep() as usize).ok_or_else(|| wasmtime::format_err!("there is no such secret"))
    }

    pub(super) fn secret(&self, secret: &Resource<SecretHandle>) -> Result<&crate::services::Secret> {
        self.open_secret(secret).map(|(secret, _)| secret)
    }
}

impl crypto::Host for Call {
    fn verify_jwt(&mut self, verifier: String, token: String) -> Result<Result<String, crypto::JwtError>> {
        self.in_exchange("crypto")?;
        let result = match self.services.verifiers.get(&verifier) {
            Some(verifier) => verifier.verify(&token),
            None => Err(JwtError::UnknownVerifier),
        };
        Ok(result.map_err(jwt_error))
    }

    fn hash(&mut self, kind: crypto::Digest, data: Vec<u8>) -> Result<Vec<u8>> {
        Ok(hash(digest(kind), &data))
    }

    fn hmac(&mut self, kind: crypto::Digest, key: Resource<SecretHandle>, data: Vec<u8>) -> Result<Vec<u8>> {
        Ok(hmac(digest(kind), self.secret(&key)?.bytes(), &data))
    }

    fn verify_hmac(
        &mut self,
        kind: crypto::Digest,
        key: Resource<SecretHandle>,
        data: Vec<u8>,
        tag: Vec<u8>,
    ) -> Result<bool> {
        Ok(verify_hmac(digest(kind), self.secret(&key)?.bytes(), &data, &tag))
    }

    fn random(&mut self, len: u32) -> Result<Vec<u8>> {
        self.in_exchange("crypto")?;
        random(len).ok_or_else(|| wasmtime::format_err!("{len} random bytes cannot be had"))
    }
}

fn digest(kind: crypto::Digest) -> DigestKind {
    match kind {
        crypto::Digest::Sha256 => DigestKind::Sha256,
        crypto::Digest::Sha384 => DigestKind::Sha384,
        crypto::Digest::Sha512 => DigestKind::Sha512,
    }
}

fn jwt_error(error: JwtError) -> crypto::JwtError {
    match error {
        JwtError::Malformed => crypto::JwtError::Malformed,
        JwtError::UnknownVerifier => crypto::JwtError::UnknownVerifier,
        JwtError::UnknownKey => crypto::JwtError::UnknownKey,
        JwtError::AlgorithmRefused => crypto::JwtError::AlgorithmRefused,
        JwtError::BadSignature => crypto::JwtError::BadSignature,
        JwtError::Expired => crypto::JwtError::Expired,
        JwtError::NotYetValid => crypto::JwtError::NotYetValid,
        JwtError::WrongIssuer => crypto::JwtError::WrongIssuer,
        JwtError::WrongAudience => crypto::JwtError::WrongAudience,
        JwtError::KeysUnavailable => crypto::JwtError::KeysUnavailable,
    }
}
