//! Whose plugins are accepted: digests, and the keys that sign them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A SHA-256 digest, written `sha256:` and 64 hexadecimal digits in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

/// An ed25519 public key (RFC 8032), written `ed25519:` and its 32 bytes in base64. `gatewright keygen` makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl Digest {
    /// The hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        let hex = hex.ok_or_else(|| format!("{text:?} is no digest: write sha256: and 64 hexadecimal digits"))?;
        Ok(Self(hex.to_owned()))
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix("ed25519:").and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no key: write ed25519: and 32 bytes in base64"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ed25519:{}", STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

impl JsonSchema for PublicKey {
    fn schema_name() -> Cow<'static, str> {
        "PublicKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^ed25519:[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$" })
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, PublicKey};

    #[test]
    fn digests_and_keys_have_one_spelling() {
        let digest = format!("sha256:{}", "0af9".repeat(16));
        assert_eq!(digest.parse::<Digest>().unwrap().to_string(), digest);
        for text in [
            "",
            "sha256:",
            &digest.to_uppercase(),
            digest.trim_start_matches('s'),
            &format!("{digest}0"),
            &digest.replace("256", "512"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let key = PublicKey([7; 32]).to_string();
        assert_eq!(key.parse::<PublicKey>(), Ok(PublicKey([7; 32])));
        for text in [
            "",
            "ed25519:",
            key.trim_start_matches("ed25519:"),
            key.trim_end_matches('='),
            &key.replace("ed25519", "rsa"),
        ] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
    }
}
