//! How the gateway makes itself known to an upstream.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::upstream::UpstreamTlsConfig;
use super::value::ByteCount;

/// How the gateway makes itself known to an upstream. It is put into each try of a request after all policies, so that no
/// policy, client or log sees it; it takes the place of what came under its name, and every `authorization`, `x-api-key`,
/// `api-key`, `x-goog-api-key` and `x-amz-security-token` of the client goes, unless `headers` sets it. A key that comes
/// from a file is read again when that changes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum CredentialConfig {
    /// `authorization: Bearer KEY` (RFC 6750 §2.1): write `${env:NAME}` or `${file:PATH}` here.
    Bearer(SecretText),
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// Its value: write `${env:NAME}` or `${file:PATH}` here.
        value: SecretText,
    },
    /// A parameter of the query. Prefer a header: what is in a query, others log.
    Query {
        /// Its name.
        name: String,
        /// Its value, unencoded: write `${env:NAME}` or `${file:PATH}` here.
        value: SecretText,
    },
    /// AWS Signature Version 4, made afresh for each try over the method, the path, the query, `host`, `content-type`,
    /// every `x-amz…` header and the body.
    AwsSigv4(AwsSigv4Config),
    /// An access token for a Google service account (RFC 7523 §2.1), asked for ahead of time and kept until shortly before
    /// its end.
    GoogleServiceAccount(GoogleServiceAccountConfig),
    /// An access token of Microsoft Entra for an application (RFC 6749 §4.4), asked for ahead of time and kept until
    /// shortly before its end. A key of an Azure resource is a `header` named `api-key`.
    AzureEntra(AzureEntraConfig),
}

/// How an upstream is shown that it is the gateway that asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum UpstreamCredential {
    /// A key, shown as the upstream's `provider` wants it: write `${env:NAME}` or `${file:PATH}` here.
    Key(SecretText),
    /// A credential with the way in which it is shown.
    Way(CredentialConfig),
}

impl UpstreamCredential {
    /// The way in which it is shown, if it says that.
    #[must_use]
    pub const fn way(&self) -> Option<&CredentialConfig> {
        match self {
            Self::Key(_) => None,
            Self::Way(way) => Some(way),
        }
    }
}

/// AWS Signature Version 4.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsSigv4Config {
    /// The region, `us-east-1` say; if absent, the `region` of the upstream's `places`.
    #[serde(default)]
    pub region: Option<String>,
    /// The service that signatures are for. The path is encoded once for `s3`, and twice for every other.
    #[serde(default = "default_service")]
    pub service: String,
    /// The access key's id.
    pub access_key_id: SecretText,
    /// The secret access key.
    pub secret_access_key: SecretText,
    /// The session token, for temporary credentials.
    #[serde(default)]
    pub session_token: Option<SecretText>,
    /// Bytes of a body that is gathered in order to be signed; one past it is answered with 413. At most 64MiB.
    #[serde(default = "default_body")]
    pub body: ByteCount,
    /// Whether a body that is not in memory is streamed with `UNSIGNED-PAYLOAD` instead of being gathered. For `https`
    /// endpoints and services that allow it.
    #[serde(default)]
    pub unsigned_payload: bool,
}

/// An access token for a Google service account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GoogleServiceAccountConfig {
    /// The JSON key file, relative to the configuration file. Its `token_uri` must be https, or a loopback address.
    pub key_file: PathBuf,
    /// The scopes that are asked for.
    #[serde(default = "default_scopes")]
    #[schemars(length(min = 1))]
    pub scopes: Vec<String>,
    /// TLS towards the token endpoint.
    #[serde(default)]
    pub tls: UpstreamTlsConfig,
}

/// An access token of Microsoft Entra for an application.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureEntraConfig {
    /// The tenant: its id or one of its domains.
    pub tenant: String,
    /// The application's (client) id.
    pub client_id: String,
    /// A secret of the application.
    pub client_secret: SecretText,
    /// The scope that is asked for.
    #[serde(default = "default_scope")]
    pub scope: String,
    /// Who gives tokens: another one in sovereign clouds. It must be https, or a loopback address.
    #[serde(default = "default_authority")]
    pub authority: String,
    /// TLS towards the token endpoint.
    #[serde(default)]
    pub tls: UpstreamTlsConfig,
}

/// A text that nothing prints, and that is overwritten in memory when it goes.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretText")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "examples": ["${env:NAME}", "${file:PATH}"] })
    }
}

fn default_service() -> String {
    "bedrock".to_owned()
}

fn default_body() -> ByteCount {
    ByteCount::mib(10)
}

fn default_scopes() -> Vec<String> {
    vec!["https://www.googleapis.com/auth/cloud-platform".to_owned()]
}

fn default_scope() -> String {
    "https://cognitiveservices.azure.com/.default".to_owned()
}

fn default_authority() -> String {
    "https://login.microsoftonline.com".to_owned()
}

#[cfg(test)]
mod tests {
    use super::CredentialConfig;

    #[test]
    fn a_credential_is_never_printed() {
        let config: CredentialConfig = serde_json::from_value(serde_json::json!({
            "aws_sigv4": { "region": "us-east-1", "access_key_id": "AKID", "secret_access_key": "sesame", "session_token": "tok" }
        }))
        .unwrap();
        let printed = format!("{config:?} {}", serde_json::to_string(&config).unwrap());
        for hidden in ["AKID", "sesame", "tok\""] {
            assert!(!printed.contains(hidden), "{printed}");
        }
    }
}
