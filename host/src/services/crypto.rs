//! Hashes, HMAC, random bytes, and verifying tokens (RFC 7515, RFC 7519).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_lc_rs::{digest, hmac as mac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::KeySet;
use crate::config::{Algorithm, VerifierConfig};

/// A hash function of FIPS 180-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum DigestKind {
    Sha256,
    Sha384,
    Sha512,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the contract's `jwt-error` documents each")]
pub enum JwtError {
    Malformed,
    UnknownVerifier,
    UnknownKey,
    AlgorithmRefused,
    BadSignature,
    Expired,
    NotYetValid,
    WrongIssuer,
    WrongAudience,
    KeysUnavailable,
}

/// Verifies tokens as the operator said.
#[derive(Debug)]
pub struct Verifier {
    /// As configured.
    pub config: VerifierConfig,
    keys: ArcSwapOption<KeySet>,
}

/// A token longer than this is refused unread.
const TOKEN_MAX: usize = 16 << 10;

/// The most random bytes in one call.
const RANDOM_MAX: usize = 4 << 10;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// The digest of `data`.
#[must_use]
pub fn hash(kind: DigestKind, data: &[u8]) -> Vec<u8> {
    let algorithm = match kind {
        DigestKind::Sha256 => &digest::SHA256,
        DigestKind::Sha384 => &digest::SHA384,
        DigestKind::Sha512 => &digest::SHA512,
    };
    digest::digest(algorithm, data).as_ref().to_vec()
}

fn mac_key(kind: DigestKind, key: &[u8]) -> mac::Key {
    let algorithm = match kind {
        DigestKind::Sha256 => mac::HMAC_SHA256,
        DigestKind::Sha384 => mac::HMAC_SHA384,
        DigestKind::Sha512 => mac::HMAC_SHA512,
    };
    mac::Key::new(algorithm, key)
}

/// HMAC (RFC 2104).
#[must_use]
pub fn hmac(kind: DigestKind, key: &[u8], data: &[u8]) -> Vec<u8> {
    mac::sign(&mac_key(kind, key), data).as_ref().to_vec()
}

/// Whether `tag` is the HMAC of `data`, in constant time.
#[must_use]
pub fn verify_hmac(kind: DigestKind, key: &[u8], data: &[u8], tag: &[u8]) -> bool {
    mac::verify(&mac_key(kind, key), data, tag).is_ok()
}

/// Random bytes from the operating system; `None` past the bound or where it has none.
#[must_use]
pub fn random(length: u32) -> Option<Vec<u8>> {
    let length = usize::try_from(length).ok().filter(|length| *length <= RANDOM_MAX)?;
    let mut bytes = vec![0; length];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

impl Verifier {
    /// A verifier with its keys, or without any yet.
    #[must_use]
    pub fn new(config: VerifierConfig, keys: Option<KeySet>) -> Self {
        Self { config, keys: ArcSwapOption::new(keys.map(Arc::new)) }
    }

    /// Uses these keys from here on.
    pub fn replace_keys(&self, keys: KeySet) {
        self.keys.store(Some(Arc::new(keys)));
    }

    /// How many keys there are; `None` before they were ever read.
    #[must_use]
    pub fn key_count(&self) -> Option<usize> {
        self.keys.load().as_ref().map(|keys| keys.len())
    }

    /// The claims of a token as JSON text.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn verify(&self, token: &str) -> Result<String, JwtError> {
        let keys = self.keys.load_full().ok_or(JwtError::KeysUnavailable)?;
        let claims = verify_signature(&self.config.algorithms, &keys, token)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.check_claims(&claims, now)?;
        Ok(Value::Object(claims).to_string())
    }

    fn check_claims(&self, claims: &Map<String, Value>, now: Duration) -> Result<(), JwtError> {
        let leeway = self.config.leeway.0.as_secs_f64();
        let now = now.as_secs_f64();
        let date = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().filter(|date| date.is_finite()).map(Some).ok_or(JwtError::Malformed),
        };
        match date("exp")? {
            Some(expiry) if now >= expiry + leeway => return Err(JwtError::Expired),
            None if self.config.require_expiry => return Err(JwtError::Expired),
            Some(_) | None => {}
        }
        if date("nbf")?.is_some_and(|start| now + leeway < start) {
            return Err(JwtError::NotYetValid);
        }
        if let Some(issuer) = &self.config.issuer
            && claims.get("iss").and_then(Value::as_str) != Some(issuer)
        {
            return Err(JwtError::WrongIssuer);
        }
        if self.config.audiences.is_empty() {
            return Ok(());
        }
        let wanted =
            |value: &Value| value.as_str().is_some_and(|name| self.config.audiences.iter().any(|known| known == name));
        let fits = match claims.get("aud") {
            Some(Value::Array(names)) => names.iter().all(Value::is_string) && names.iter().any(wanted),
            Some(name) => wanted(name),
            None => false,
        };
        if fits { Ok(()) } else { Err(JwtError::WrongAudience) }
    }
}

/// The claims of a compact JWS whose signature verifies under one of the keys with one of the algorithms.
fn verify_signature(allowed: &[Algorithm], keys: &KeySet, token: &str) -> Result<Map<String, Value>, JwtError> {
    if token.len() > TOKEN_MAX {
        return Err(JwtError::Malformed);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(JwtError::Malformed)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::Malformed)?;
    decode(signature)?;
    if header.crit.is_some() {
        return Err(JwtError::Malformed);
    }
    let algorithm = allowed.iter().copied().find(|algorithm| algorithm.name() == header.alg);
    let algorithm = algorithm.ok_or(JwtError::AlgorithmRefused)?;
    let mut candidates = keys.candidates(header.kid.as_deref()).peekable();
    if candidates.peek().is_none() {
        return Err(JwtError::UnknownKey);
    }
    let mut fitting = candidates.filter(|key| key.fits(algorithm)).peekable();
    if fitting.peek().is_none() {
        return Err(JwtError::AlgorithmRefused);
    }
    if !fitting.any(|key| key.verifies(algorithm, message, signature)) {
        return Err(JwtError::BadSignature);
    }
    let claims = decode(payload)?;
    let text = std::str::from_utf8(&claims).map_err(|_| JwtError::Malformed)?;
    let names: BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_str(text).map_err(|_| JwtError::Malformed)?;
    let claims: Map<String, Value> = serde_json::from_str(text).map_err(|_| JwtError::Malformed)?;
    if names.len() == claims.len() { Ok(claims) } else { Err(JwtError::Malformed) }
}
