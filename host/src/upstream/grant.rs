//! What the gateway shows to a token endpoint in order to get an access token.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::credential::{Fault, checked};
use crate::config::{AzureEntraConfig, CredentialConfig, GoogleServiceAccountConfig, UpstreamTlsConfig};

/// What is shown to a token endpoint.
pub(super) enum Grant {
    /// An assertion that is signed with a key (RFC 7523 §2.1).
    Assertion(Box<ServiceAccount>),
    /// An application's secret (RFC 6749 §4.4): the whole form.
    Form(Zeroizing<String>),
}

/// A Google service account.
pub(super) struct ServiceAccount {
    header: Header,
    key: EncodingKey,
    email: String,
    scope: String,
    audience: String,
}

/// The parts of a service account's key file that are needed.
#[derive(Deserialize)]
struct KeyFile {
    r#type: String,
    client_email: String,
    private_key_id: Option<String>,
    private_key: Zeroizing<String>,
    #[serde(default = "google")]
    token_uri: String,
}

/// RFC 7523 §3.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// What an assertion is good for: Google takes no more.
const ASSERTION: Duration = Duration::from_secs(3600);
/// A clock that is ahead of the token endpoint's must not make an assertion of the future.
const SKEW: Duration = Duration::from_secs(10);

/// A grant, where to show it and under which pointer that was written, the TLS towards it, and a hash of its files.
type Parsed<'a> = (Grant, (&'static str, String), &'a UpstreamTlsConfig, u64);

impl Grant {
    /// What a credential asks for.
    ///
    /// # Errors
    /// What is wrong, with a pointer into the upstream.
    pub(super) fn parse<'a>(credential: &'a CredentialConfig, folder: &Path) -> Result<Parsed<'a>, Fault> {
        match credential {
            CredentialConfig::GoogleServiceAccount(google) => {
                let mut files = DefaultHasher::new();
                let at = "/google_service_account/key_file";
                let wrong = |what: &str| (format!("/credential{at}"), format!("{} {what}", google.key_file.display()));
                let bytes = std::fs::read(folder.join(&google.key_file));
                let bytes = Zeroizing::new(bytes.map_err(|error| wrong(&format!("cannot be read: {error}")))?);
                bytes.hash(&mut files);
                let (account, url) = ServiceAccount::read(&bytes, google).map_err(wrong)?;
                Ok((Self::Assertion(Box::new(account)), (at, url), &google.tls, files.finish()))
            }
            CredentialConfig::AzureEntra(azure) => {
                let form = azure_form(azure)?;
                let (authority, tenant) = (azure.authority.trim_end_matches('/'), &azure.tenant);
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
                if tenant.is_empty() || !tenant.bytes().all(plain) {
                    let message = "a tenant is an id or a domain".to_owned();
                    return Err(("/credential/azure_entra/tenant".to_owned(), message));
                }
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                Ok((Self::Form(form), ("/azure_entra/authority", url), &azure.tls, 0))
            }
            _ => Err(("/credential".to_owned(), "it needs no token".to_owned())),
        }
    }

    /// The form to send.
    ///
    /// # Errors
    /// Why nothing can be signed.
    pub(super) fn form(&self, now: SystemTime) -> Result<Zeroizing<String>, String> {
        match self {
            Self::Form(form) => Ok(form.clone()),
            Self::Assertion(account) => account.form(now),
        }
    }
}

impl ServiceAccount {
    fn read(bytes: &[u8], config: &GoogleServiceAccountConfig) -> Result<(Self, String), &'static str> {
        let file: KeyFile = serde_json::from_slice(bytes).map_err(|_| "is no key file of a service account")?;
        if file.r#type != "service_account" {
            return Err("is a key file, but of no service account");
        }
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes()).map_err(|_| "has no RSA key")?;
        let header = Header { kid: file.private_key_id, ..Header::new(Algorithm::RS256) };
        let (email, scope) = (file.client_email, config.scopes.join(" "));
        Ok((Self { header, key, email, scope, audience: file.token_uri.clone() }, file.token_uri))
    }

    fn form(&self, now: SystemTime) -> Result<Zeroizing<String>, String> {
        let now = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?;
        let issued = now.saturating_sub(SKEW).as_secs();
        let claims = Claims {
            iss: &self.email,
            scope: &self.scope,
            aud: &self.audience,
            iat: issued,
            exp: issued + ASSERTION.as_secs(),
        };
        let assertion = encode(&self.header, &claims, &self.key).map_err(|_| "the assertion cannot be signed")?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &assertion)
            .finish();
        Ok(Zeroizing::new(form))
    }
}

fn azure_form(config: &AzureEntraConfig) -> Result<Zeroizing<String>, Fault> {
    let secret = checked("/azure_entra/client_secret", &config.client_secret)?;
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &config.client_id)
        .append_pair("client_secret", secret)
        .append_pair("scope", &config.scope)
        .finish();
    Ok(Zeroizing::new(form))
}

fn google() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}
