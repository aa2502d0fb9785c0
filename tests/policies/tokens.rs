//! Makes keys and tokens (RFC 7515, RFC 7517, RFC 8037).

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key that signs.
pub(super) enum Signer {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Secret(Vec<u8>),
}

impl Signer {
    pub(super) fn rsa() -> Self {
        Self::Rsa(Box::new(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match (self, algorithm) {
            (Self::Rsa(pair), _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                match algorithm {
                    "PS256" => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature).unwrap(),
                    _ => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap(),
                }
                signature
            }
            (Self::Ec(pair), _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            (Self::Ed(pair), _) => pair.sign(message).as_ref().to_vec(),
            (Self::Secret(secret), _) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
        }
    }

    /// A token of these claims.
    pub(super) fn token(&self, algorithm: &str, key: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": algorithm, "kid": key, "typ": "JWT" }), claims)
    }

    /// As `token`, with a header of one's own.
    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.sign(header["alg"].as_str().unwrap_or_default(), message.as_bytes());
        format!("{message}.{}", encode(signature))
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self, key: &str) -> Value {
        match self {
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "kid": key, "use": "sig", "n": encode(modulus), "e": encode(exponent) })
            }
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point.get(1..).unwrap().split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": key, "x": encode(x), "y": encode(y) })
            }
            Self::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": key, "x": encode(pair.public_key().as_ref()) })
            }
            Self::Secret(_) => panic!("a secret has no public half"),
        }
    }

    /// The public half of an RSA key as PEM.
    pub(super) fn pem(&self) -> String {
        let Self::Rsa(pair) = self else { panic!("only RSA keys are written as PEM here") };
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }
}

/// Seconds since the Unix epoch, and so many more.
pub(super) fn at(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
