//! How the gateway makes itself known to an upstream: the last that is done to each try of a request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING};
use zeroize::Zeroizing;

use super::sigv4::SigV4;
use super::token::TokenSource;
use super::{Chosen, Failed, Outgoing, Picked, Upstream};
use crate::body::Body;
use crate::config::{CredentialConfig, SecretText, UpstreamConfig, UpstreamCredential};
use crate::error::Error;
use crate::telemetry::Metrics;

/// What is put into each try of a request.
#[derive(Debug)]
pub(super) enum Credential {
    /// A header, whose value is marked as sensitive.
    Header(HeaderName, HeaderValue),
    /// A parameter of the query.
    Query(Parameter),
    /// A signature.
    Signature(Box<SigV4>),
    /// A bearer token that is fetched.
    Token(Arc<TokenSource>),
}

/// A parameter of the query, which no log shows.
pub(super) struct Parameter {
    name: String,
    /// The name and the value as they go out.
    pair: Zeroizing<String>,
}

/// A fault, with a pointer into the upstream.
pub(super) type Fault = (String, String);

/// Where clients write their keys: whatever stands there is not the upstream's to see.
const CLIENTS: [&str; 5] = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token"];

/// What says where a message goes and where it ends.
const FRAMING: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, TE];

impl Credential {
    /// The credential that an upstream's configuration asks for, and a hash of the files that it was made with.
    ///
    /// # Errors
    /// What is wrong, with a pointer into the upstream.
    pub(super) fn parse(
        name: &str,
        config: &UpstreamConfig,
        folder: &Path,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<(Self, u64)>, Fault> {
        let Some(credential) = config.credential.as_ref().and_then(UpstreamCredential::way) else { return Ok(None) };
        let fault = |at: &str, message: String| (format!("/credential{at}"), message);
        if config.component.is_some() {
            return Err(fault("", "a component has no use for a credential: take one of them away".to_owned()));
        }
        let mut files = DefaultHasher::new();
        let made = match credential {
            CredentialConfig::Bearer(key) => {
                let value = Zeroizing::new(format!("Bearer {}", checked("/bearer", key)?));
                Self::Header(AUTHORIZATION, header_value("/bearer", &value)?)
            }
            CredentialConfig::Header { name, value } => {
                let header = HeaderName::from_bytes(name.as_bytes());
                let header = header.map_err(|_| fault("/header/name", format!("{name:?} is no header name")))?;
                if FRAMING.contains(&header) {
                    return Err(fault("/header/name", format!("{name:?} is the gateway's own")));
                }
                Self::Header(header, header_value("/header/value", checked("/header/value", value)?)?)
            }
            CredentialConfig::Query { name, value } => {
                if name.is_empty() {
                    return Err(fault("/query/name", "a parameter needs a name".to_owned()));
                }
                Self::Query(Parameter::new(name, checked("/query/value", value)?))
            }
            CredentialConfig::AwsSigv4(aws) => Self::Signature(Box::new(SigV4::parse(aws, config)?)),
            CredentialConfig::GoogleServiceAccount(_) | CredentialConfig::AzureEntra(_) => {
                let (source, bytes) = TokenSource::parse(name, credential, (folder, metrics))?;
                bytes.hash(&mut files);
                Self::Token(Arc::new(source))
            }
        };
        if let Some(name) = made.header()
            && config.headers.keys().any(|other| other.eq_ignore_ascii_case(name.as_str()))
        {
            return Err(fault("", format!("`headers` sets {:?} as well: take one of them away", name.as_str())));
        }
        Ok(Some((made, files.finish())))
    }

    /// The header that it sets.
    fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name, _) => Some(name),
            Self::Query(_) => None,
            Self::Signature(_) | Self::Token(_) => Some(&AUTHORIZATION),
        }
    }
}

impl Upstream {
    /// The request with the credential in it, if there is one. `authority`: the endpoint's.
    ///
    /// # Errors
    /// `CredentialUnavailable`; for a body that has to be signed what gathering it failed with.
    pub(super) async fn authorize(
        &self,
        authority: &str,
        (mut outgoing, body): (Outgoing, Body),
    ) -> Result<(Outgoing, Body), Box<Failed>> {
        let Some(credential) = &self.credential else { return Ok((outgoing, body)) };
        for name in CLIENTS {
            // What the operator sets stays.
            if !self.headers.iter().any(|(other, _)| other.as_str() == name) {
                outgoing.headers.remove(name);
            }
        }
        match credential {
            Credential::Header(name, value) => drop(outgoing.headers.insert(name.clone(), value.clone())),
            Credential::Query(parameter) => parameter.put(&mut outgoing.target),
            Credential::Token(source) => match source.value().await {
                Ok(value) => drop(outgoing.headers.insert(AUTHORIZATION, value)),
                Err(error) => return Err(Failed::unplaced(error, body)),
            },
            Credential::Signature(signer) => {
                let authority = outgoing.authority.as_deref().unwrap_or(authority).to_owned();
                let signed = signer.sign(&authority, (&mut outgoing, body)).await;
                return signed.map(|body| (outgoing, body)).map_err(|error: Error| Box::new(error.into()));
            }
        }
        Ok((outgoing, body))
    }

    /// The same upstream, with the token that another one fetched with the same credential.
    #[must_use]
    pub fn keeping_token(mut self, other: &Self) -> Self {
        let same = self.config.credential == other.config.credential && self.files == other.files;
        if let (true, Some(Credential::Token(token)), Some(Credential::Token(kept))) =
            (same, &mut self.credential, &other.credential)
        {
            token.clone_from(kept);
        }
        self
    }

    /// How its access token stands, if it needs one: `valid`, `failing` (the last one serves, and the next cannot be
    /// fetched), `fetching` (there is none yet) or `unavailable`.
    #[must_use]
    pub fn token(&self) -> Option<&'static str> {
        match &self.credential {
            Some(Credential::Token(source)) => Some(source.word()),
            _ => None,
        }
    }

    /// Fetches a token if one is due, without waiting.
    pub(super) fn refresh_token(&self) {
        if let Some(Credential::Token(source)) = &self.credential {
            source.refresh();
        }
    }
}

impl Picked {
    /// The endpoint's authority; a component has none, and no credential that would name it.
    pub(super) fn authority(&self) -> &str {
        match &self.0 {
            Chosen::Endpoint(admission) => admission.endpoint.authority.as_str(),
            Chosen::Handler(_) => "",
        }
    }
}

/// The headers that are set on every request.
pub(super) fn headers(config: &UpstreamConfig, faults: &mut Vec<Fault>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    for (name, value) in &config.headers {
        let at = format!("/headers/{name}");
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.push((name, value));
            }
            (Err(_), _) => faults.push((at, format!("{name:?} is no header name"))),
            (_, Err(_)) => faults.push((at, format!("the value of {name:?} has a character that no header may have"))),
        }
    }
    headers
}

/// A secret that has bytes.
pub(super) fn checked<'a>(at: &str, secret: &'a SecretText) -> Result<&'a str, Fault> {
    match secret.reveal().trim_ascii() {
        "" => Err((format!("/credential{at}"), "it is empty".to_owned())),
        text => Ok(text),
    }
}

/// A header's value, marked as sensitive.
fn header_value(at: &str, text: &str) -> Result<HeaderValue, Fault> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| (format!("/credential{at}"), "it has a character that no header may have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Parameter {
    fn new(name: &str, value: &str) -> Self {
        let pair = form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        Self { name: name.to_owned(), pair: Zeroizing::new(pair) }
    }

    /// Puts it in place of what a target has under its name.
    fn put(&self, target: &mut String) {
        let (path, query) = target.split_once('?').unwrap_or((target.as_str(), ""));
        let is_other = |pair: &&str| {
            !pair.is_empty() && form_urlencoded::parse(pair.as_bytes()).all(|(name, _)| *name != *self.name)
        };
        let mut all: Vec<&str> = query.split('&').filter(is_other).collect();
        all.push(&self.pair);
        *target = format!("{path}?{}", all.join("&"));
    }
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parameter").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Parameter;

    #[test]
    fn a_parameter_takes_the_place_of_those_with_its_name() {
        let parameter = Parameter::new("key", "a&b=c d");
        for (target, expected) in [
            ("/v1", "/v1?key=a%26b%3Dc+d"),
            ("/v1?", "/v1?key=a%26b%3Dc+d"),
            ("/v1?key=mine", "/v1?key=a%26b%3Dc+d"),
            ("/v1?a=1&%6Bey=x&b=%20&key", "/v1?a=1&b=%20&key=a%26b%3Dc+d"),
            ("/v1?Key=1&monkey=2", "/v1?Key=1&monkey=2&key=a%26b%3Dc+d"),
        ] {
            let mut put = target.to_owned();
            parameter.put(&mut put);
            assert_eq!(put, expected, "{target}");
        }
    }
}
