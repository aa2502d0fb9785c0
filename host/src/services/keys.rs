//! Keys that tokens are verified with: JWKS (RFC 7517), PEM, or a shared secret.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm as Jose, DecodingKey};

use crate::config::Algorithm;

/// The keys of one verifier.
#[derive(Debug)]
pub struct KeySet(Vec<Key>);

/// One key, with what it may verify.
pub(super) struct Key {
    id: Option<String>,
    family: Family,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

/// Keys read from one set; more are refused, since each may be tried on a token.
const KEYS_MAX: usize = 64;

/// RFC 7518 §3.2 asks for a key as long as the hash; this is the shortest of them.
const SECRET_MIN: usize = 32;

impl Algorithm {
    /// Its name in a token's header.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
        }
    }

    const fn family(self) -> Family {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => Family::Rsa,
            Self::ES256 => Family::P256,
            Self::ES384 => Family::P384,
            Self::EdDSA => Family::Ed25519,
            Self::HS256 | Self::HS384 | Self::HS512 => Family::Secret,
        }
    }

    const fn jose(self) -> Jose {
        match self {
            Self::RS256 => Jose::RS256,
            Self::RS384 => Jose::RS384,
            Self::RS512 => Jose::RS512,
            Self::PS256 => Jose::PS256,
            Self::PS384 => Jose::PS384,
            Self::PS512 => Jose::PS512,
            Self::ES256 => Jose::ES256,
            Self::ES384 => Jose::ES384,
            Self::EdDSA => Jose::EdDSA,
            Self::HS256 => Jose::HS256,
            Self::HS384 => Jose::HS384,
            Self::HS512 => Jose::HS512,
        }
    }

    const fn all() -> [Self; 12] {
        [
            Self::RS256,
            Self::RS384,
            Self::RS512,
            Self::PS256,
            Self::PS384,
            Self::PS512,
            Self::ES256,
            Self::ES384,
            Self::EdDSA,
            Self::HS256,
            Self::HS384,
            Self::HS512,
        ]
    }
}

impl KeySet {
    /// The keys of a JWKS that can verify signatures; others in it are passed over.
    ///
    /// # Errors
    /// What is wrong with the set.
    pub fn from_jwks(text: &[u8]) -> Result<Self, String> {
        // A set may hold keys of kinds that are not known here (RFC 7517 §5): each is read on its own.
        let set: serde_json::Value = serde_json::from_slice(text).map_err(|error| format!("is no JWKS: {error}"))?;
        let members = set.get("keys").and_then(serde_json::Value::as_array).ok_or("is no JWKS: it has no \"keys\"")?;
        let known = members.iter().filter_map(|member| serde_json::from_value::<Jwk>(member.clone()).ok()).collect();
        let keys: Vec<Key> = JwkSet { keys: known }.keys.iter().filter_map(Key::from_jwk).collect();
        match keys.len() {
            0 => Err("has no key that can verify a signature".to_owned()),
            count if count > KEYS_MAX => Err(format!("has {count} keys; at most {KEYS_MAX} are read")),
            _ => Ok(Self(keys)),
        }
    }

    /// The one key of a PEM file.
    ///
    /// # Errors
    /// What is wrong with the file, or that no algorithm fits it.
    pub fn from_pem(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let mut families: Vec<Family> = algorithms.iter().map(|algorithm| algorithm.family()).collect();
        families.dedup();
        let [family] = families.as_slice() else {
            return Err("is one key, so all algorithms must be of its kind".to_owned());
        };
        let key = match family {
            Family::Rsa => DecodingKey::from_rsa_pem(text),
            Family::P256 | Family::P384 => DecodingKey::from_ec_pem(text),
            Family::Ed25519 => DecodingKey::from_ed_pem(text),
            Family::Secret => return Err("is a public key: HS256, HS384 and HS512 take a secret".to_owned()),
        };
        let key = key.map_err(|error| format!("is no public key for the algorithms: {error}"))?;
        Ok(Self(vec![Key { id: None, family: *family, algorithm: None, key }]))
    }

    /// A shared secret.
    ///
    /// # Errors
    /// A secret that is too short.
    pub fn from_secret(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SECRET_MIN {
            return Err(format!("is shorter than {SECRET_MIN} bytes"));
        }
        let key = DecodingKey::from_secret(secret);
        Ok(Self(vec![Key { id: None, family: Family::Secret, algorithm: None, key }]))
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys a token may have been signed with: those of its `kid`, or all where one side names none.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| match (id, &key.id) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        })
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Family::Rsa,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Family::P256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => Family::P384,
            AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Family::Ed25519,
            AlgorithmParameters::OctetKey(_) => Family::Secret,
            AlgorithmParameters::EllipticCurve(_) | AlgorithmParameters::OctetKeyPair(_) => return None,
        };
        let algorithm = match &common.key_algorithm {
            Some(named) => Some(Algorithm::all().into_iter().find(|known| is_named(*known, named))?),
            None => None,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: common.key_id.clone(), family, algorithm, key })
    }

    /// RFC 8725 §3.1: a key verifies its own algorithms and no other.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.family == algorithm.family() && self.algorithm.is_none_or(|own| own == algorithm)
    }

    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm.jose()).unwrap_or(false)
    }
}

fn is_named(algorithm: Algorithm, named: &KeyAlgorithm) -> bool {
    named.to_string() == algorithm.name()
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Key").field("id", &self.id).field("family", &self.family).finish_non_exhaustive()
    }
}
