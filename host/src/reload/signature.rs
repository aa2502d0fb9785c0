//! Detached signatures of plugins: ed25519 over a line that names the file's SHA-256.

use anyhow::{Context, bail};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;

use crate::config::PublicKey;

/// A key that signs plugins.
pub struct SigningKey(Ed25519KeyPair);

/// One signature, and the key that it says it is by. Written as `KEY SIGNATURE` on a line.
pub(super) struct Signature {
    pub(super) by: PublicKey,
    bytes: Vec<u8>,
}

/// Signatures in one file.
const SIGNATURES_MAX: usize = 16;

/// What is signed.
fn statement(hash: &str) -> String {
    format!("gatewright-plugin-v1 sha256:{hash}\n")
}

impl SigningKey {
    /// A new key, and its PEM (PKCS #8).
    ///
    /// # Errors
    /// Where there is no randomness.
    pub fn generate() -> anyhow::Result<(Self, String)> {
        let pair = Ed25519KeyPair::generate().context("make a key")?;
        let document = pair.to_pkcs8().context("write the key")?;
        let text = STANDARD.encode(document.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        Ok((Self(pair), pem))
    }

    /// The key of a PEM (PKCS #8).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| anyhow::anyhow!("is no PEM of a private key"))?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der());
        Ok(Self(pair.map_err(|_| anyhow::anyhow!("is no ed25519 key (PKCS #8)"))?))
    }

    /// Its public half.
    ///
    /// # Errors
    /// Never for a key of this kind.
    pub fn public(&self) -> anyhow::Result<PublicKey> {
        Ok(PublicKey(self.0.public_key().as_ref().try_into().context("a key of another length")?))
    }

    /// The line of a signature on a file of this SHA-256.
    ///
    /// # Errors
    /// As `public`.
    pub fn sign(&self, hash: &str) -> anyhow::Result<String> {
        let signature = self.0.sign(statement(hash).as_bytes());
        Ok(format!("{} {}\n", self.public()?, STANDARD.encode(signature.as_ref())))
    }
}

impl Signature {
    /// Every signature of a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn read_all(text: &str) -> anyhow::Result<Vec<Self>> {
        let mut signatures = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (key, signature) = line.trim().split_once(' ').context("a signature is `KEY SIGNATURE` on a line")?;
            let by = key.parse().map_err(anyhow::Error::msg)?;
            let bytes = STANDARD.decode(signature.trim()).context("a signature is in base64")?;
            signatures.push(Self { by, bytes });
            if signatures.len() > SIGNATURES_MAX {
                bail!("more than {SIGNATURES_MAX} signatures");
            }
        }
        Ok(signatures)
    }

    /// Whether it is this key's signature on a file of this SHA-256.
    pub(super) fn verifies(&self, hash: &str) -> bool {
        UnparsedPublicKey::new(&ED25519, self.by.0).verify(statement(hash).as_bytes(), &self.bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Signature, SigningKey};

    #[test]
    fn a_signature_is_for_one_file_by_one_key() {
        let (key, pem) = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(pem.as_bytes()).unwrap();
        assert_eq!(key.public().unwrap(), again.public().unwrap());
        let (hash, other) = ("a".repeat(64), "b".repeat(64));
        let line = again.sign(&hash).unwrap();
        let both = format!("{line}\n{}", SigningKey::generate().unwrap().0.sign(&other).unwrap());
        let read = Signature::read_all(&both).unwrap();
        assert_eq!(
            read.iter().map(|one| (one.verifies(&hash), one.verifies(&other))).collect::<Vec<_>>(),
            [(true, false), (false, true)]
        );
        assert_eq!(read[0].by, key.public().unwrap());
        for broken in ["nonsense", "ed25519:AA== AA==", &line.replace(' ', " !"), &line.repeat(17)] {
            assert!(Signature::read_all(broken).is_err(), "{broken}");
        }
        assert!(SigningKey::from_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
    }
}
