//! Lets a request pass only with a known API key.

mod credential;
mod digest;
mod expiry;

use std::collections::BTreeMap;

use gatewright_sdk::{Decision, Exchange, Failure, Policy, Problem, Reply, Scalar, clock, export, problem};
use schemars::JsonSchema;
use serde::Deserialize;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use credential::{Found, Source};
use digest::Digest;
use expiry::Expiry;

/// Settings of `key-auth`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where a request may carry its key. Exactly one of them may.
    #[serde(default)]
    from: Vec<Source>,
    /// Short for a `from` with this one header.
    header: Option<String>,
    /// The scheme before the key in `header`, e.g. "Bearer".
    scheme: Option<String>,
    /// The keys that are let through.
    #[serde(default)]
    keys: Vec<Key>,
    /// Leave the key in the request that goes to the upstream.
    #[serde(default)]
    forward: bool,
}

/// Who may come in, and with what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    /// Who the key belongs to.
    principal: String,
    /// Whom the principal belongs to.
    tenant: Option<String>,
    /// SHA-256 of each key, 64 hexadecimal digits; several while a key is changed.
    sha256: Vec<Digest>,
    /// The first moment at which the key is refused, e.g. "2027-01-01T00:00:00Z".
    expires: Option<Expiry>,
    /// Refuse the key for now.
    #[serde(default)]
    disabled: bool,
    /// What else is known of the principal; becomes the metadata `auth.claim.NAME`.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// The policy.
pub struct KeyAuth {
    sources: Vec<Source>,
    keys: Vec<Known>,
    forward: bool,
}

/// A key, with what the policies after this one are told of who sends it.
struct Known {
    sha256: Vec<Digest>,
    expires: Option<Expiry>,
    disabled: bool,
    metadata: Vec<(String, Scalar)>,
}

impl From<Key> for Known {
    fn from(key: Key) -> Self {
        let Key { principal, tenant, sha256, expires, disabled, attributes } = key;
        let mut metadata = vec![text("auth.principal", principal), text("auth.method", "key".to_owned())];
        metadata.extend(tenant.map(|tenant| text("auth.tenant", tenant)));
        metadata.extend(attributes.into_iter().map(|(name, value)| text(&format!("auth.claim.{name}"), value)));
        Self { sha256, expires, disabled, metadata }
    }
}

fn text(name: &str, text: String) -> (String, Scalar) {
    (name.to_owned(), Scalar::Text(text))
}

impl Policy for KeyAuth {
    type Config = Settings;
    const SUMMARY: &'static str = "Lets a request pass only with a known API key";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(settings: Settings) -> Result<Self, String> {
        let mut sources = settings.from;
        if let Some(header) = settings.header {
            sources.push(Source::header(header, settings.scheme));
        }
        Ok(Self { sources, keys: settings.keys.into_iter().map(Known::from).collect(), forward: settings.forward })
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        if settings.from.is_empty() == settings.header.is_none() {
            problems.push(problem("", "say where the key is: either `header` or a list `from`"));
        }
        if settings.scheme.is_some() && settings.header.is_none() {
            problems.push(problem("/scheme", "a scheme needs `header` beside it"));
        }
        for (index, source) in settings.from.iter().enumerate() {
            if !source.is_one_place() {
                let message = "name one of `header`, `query` and `cookie`; only `header` has a `scheme`";
                problems.push(problem(&format!("/from/{index}"), message));
            }
        }
        problems
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let credential = match credential::find(&self.sources, exchange) {
            Found::One(credential) => credential,
            Found::None => return Ok(self.refuse("missing-credentials", "this request needs an API key")),
            Found::Several => return Ok(self.refuse("ambiguous-credentials", "send one API key, in one place")),
        };
        let Some(key) = self.key_of(&credential.secret) else {
            return Ok(self.refuse("invalid-key", "the API key is not valid"));
        };
        if !self.forward {
            credential.remove(exchange)?;
        }
        exchange.put_metadata_many(&key.metadata)?;
        Ok(Decision::Detach)
    }
}

impl KeyAuth {
    /// The usable key with this secret. Looks at every digest, so that the time taken says
    /// nothing about which of them was near.
    fn key_of(&self, secret: &str) -> Option<&Known> {
        let sent = Digest::of(secret);
        let mut place = u32::MAX;
        for (index, key) in (0u32..).zip(&self.keys) {
            for known in &key.sha256 {
                place.conditional_assign(&index, known.ct_eq(&sent));
            }
        }
        let key = self.keys.get(usize::try_from(place).ok()?)?;
        let expired = key.expires.is_some_and(|expiry| expiry.is_past(clock::now()));
        (!key.disabled && !expired).then_some(key)
    }

    fn refuse(&self, code: &str, message: &str) -> Decision {
        let scheme = self.sources.iter().find_map(|source| source.scheme.as_deref()).unwrap_or("ApiKey");
        let challenge = format!("{scheme} realm=\"gatewright\"");
        Decision::Answer(Reply::error(401, code, message).with_header("www-authenticate", &challenge))
    }
}

export!(KeyAuth: on_request);
