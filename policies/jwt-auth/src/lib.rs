//! Lets a request pass only with a valid JSON Web Token.

mod claims;
mod refusal;

use std::collections::BTreeMap;

use gatewright_sdk::{
    Decision, Exchange, Failure, HeaderError, Policy, Problem, Scalar, crypto, export, failure, problem,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use claims::{ClaimPath, Claims};
use refusal::Refusal;

/// Settings of `jwt-auth`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The verifier, one of `verifiers:` in the gateway's configuration.
    verifier: String,
    /// Where the token is.
    #[serde(default)]
    from: Source,
    /// The claim that names the principal.
    #[serde(default = "ClaimPath::subject")]
    principal: ClaimPath,
    /// The claim that names the tenant.
    tenant: Option<ClaimPath>,
    /// Claims that must have one of the listed values; of a list, any entry may.
    #[serde(default)]
    required: BTreeMap<ClaimPath, Vec<Value>>,
    /// Scopes that the token must all have, in `scope` or `scp`.
    #[serde(default)]
    scopes: Vec<String>,
    /// Claims that become the metadata `auth.claim.NAME`.
    #[serde(default)]
    metadata: Vec<ClaimPath>,
    /// Headers for the upstream, each with the claim it holds. What the client sent under these names is removed.
    #[serde(default)]
    headers: BTreeMap<String, ClaimPath>,
    /// Let a request without a token pass. A token that is not valid is refused all the same.
    #[serde(default)]
    optional: bool,
    /// Leave the token in the request that goes to the upstream.
    #[serde(default)]
    forward: bool,
}

/// Where a request carries its token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Source {
    /// The header.
    header: String,
    /// The scheme before the token; "" if there is none.
    scheme: String,
}

impl Default for Source {
    fn default() -> Self {
        Self { header: "authorization".to_owned(), scheme: "Bearer".to_owned() }
    }
}

/// The policy.
pub struct JwtAuth(Settings);

impl Policy for JwtAuth {
    type Config = Settings;
    const SUMMARY: &'static str = "Lets a request pass only with a valid JSON Web Token";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, claim) in settings.metadata.iter().enumerate() {
            if claim.metadata_name().is_none() {
                let message = "the name has other characters than `a-z 0-9 - _ .` or is too long for metadata";
                problems.push(problem(&format!("/metadata/{index}"), message));
            }
        }
        for name in settings.headers.keys() {
            if name.eq_ignore_ascii_case(&settings.from.header) {
                problems.push(problem("/headers", "the token's own header cannot hold a claim"));
            }
        }
        problems
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        // Whatever happens below, the upstream never sees these as the client wrote them.
        for name in self.0.headers.keys() {
            exchange.request_headers().remove(name)?;
        }
        let token = match self.token(exchange) {
            Ok(Some(token)) => token,
            Ok(None) if self.0.optional => return Ok(Decision::Detach),
            Ok(None) => return Ok(self.refuse(&Refusal::Missing)),
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        let claims = match self.verify(&token)? {
            Ok(claims) => claims,
            Err(refusal) => return Ok(self.refuse(&refusal)),
        };
        match self.admit(exchange, &claims)? {
            Ok(()) => Ok(Decision::Detach),
            Err(refusal) => Ok(self.refuse(&refusal)),
        }
    }
}

impl JwtAuth {
    fn token(&self, exchange: &Exchange) -> Result<Option<String>, Refusal> {
        let Source { header, scheme } = &self.0.from;
        let value = match exchange.request_headers().get(header) {
            Ok(Some(value)) => value,
            Ok(None) => return Ok(None),
            Err(HeaderError::Repeated) => return Err(Refusal::Ambiguous),
            Err(_) => return Err(Refusal::Invalid("the token is not text")),
        };
        if scheme.is_empty() {
            return Ok(Some(value));
        }
        match value.split_once(' ') {
            Some((sent, token)) if sent.eq_ignore_ascii_case(scheme) => Ok(Some(token.trim().to_owned())),
            _ => Ok(None),
        }
    }

    /// The claims of a token, else why the client is refused, else why nobody can tell.
    fn verify(&self, token: &str) -> Result<Result<Claims, Refusal>, Failure> {
        use crypto::JwtError;
        let because = match crypto::verify_jwt(&self.0.verifier, token) {
            Ok(claims) => return Ok(Claims::parse(&claims).ok_or(Refusal::Invalid("the claims are not an object"))),
            Err(JwtError::KeysUnavailable) => {
                return Err(failure("keys-unavailable", format!("no keys for verifier {:?} yet", self.0.verifier)));
            }
            Err(JwtError::UnknownVerifier) => {
                return Err(failure(
                    "unknown-verifier",
                    format!("no verifier {:?} in the configuration", self.0.verifier),
                ));
            }
            Err(JwtError::Expired) => "the token has expired",
            Err(JwtError::NotYetValid) => "the token is not valid yet",
            Err(JwtError::Malformed) => "the token is malformed",
            Err(JwtError::WrongIssuer | JwtError::WrongAudience) => "the token is not meant for this service",
            Err(JwtError::UnknownKey | JwtError::AlgorithmRefused | JwtError::BadSignature) => {
                "the signature is not valid"
            }
        };
        Ok(Err(Refusal::Invalid(because)))
    }

    /// Holds the claims against the settings, then passes on what is wanted of them.
    fn admit(&self, exchange: &Exchange, claims: &Claims) -> Result<Result<(), Refusal>, Failure> {
        let settings = &self.0;
        let names = claims.text(&settings.principal).and_then(|principal| {
            let tenant = settings.tenant.as_ref().map_or(Ok(None), |claim| claims.text(claim))?;
            Ok((principal.ok_or(Refusal::Invalid("the token names nobody"))?, tenant))
        });
        let (principal, tenant) = match names {
            Ok(names) => names,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(claim) = settings.required.iter().find(|(claim, allowed)| !claims.has_one_of(claim, allowed)) {
            return Ok(Err(Refusal::Claim(claim.0.to_string())));
        }
        if settings.scopes.iter().any(|scope| !claims.has_scope(scope)) {
            return Ok(Err(Refusal::Scope(settings.scopes.join(" "))));
        }
        if let Err(refusal) = self.pass_on(exchange, claims)? {
            return Ok(Err(refusal));
        }
        let texts = [("principal", Some(principal)), ("method", Some("jwt".to_owned())), ("tenant", tenant)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((format!("auth.{name}"), Scalar::Text(text?))));
        exchange.put_metadata_many(&texts.collect::<Vec<_>>())?;
        Ok(Ok(()))
    }

    fn pass_on(&self, exchange: &Exchange, claims: &Claims) -> Result<Result<(), Refusal>, Failure> {
        for claim in &self.0.metadata {
            match (claims.scalar(claim), claim.metadata_name()) {
                (Ok(Some(value)), Some(name)) => exchange.put_metadata(&name, &value)?,
                (Ok(_), _) => {}
                (Err(refusal), _) => return Ok(Err(refusal)),
            }
        }
        let headers = exchange.request_headers();
        for (name, claim) in &self.0.headers {
            match claims.printed(claim) {
                Ok(Some(value)) => headers.set(name, &value)?,
                Ok(None) => {}
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        if !self.0.forward {
            headers.remove(&self.0.from.header)?;
        }
        Ok(Ok(()))
    }

    fn refuse(&self, refusal: &Refusal) -> Decision {
        Decision::Answer(refusal.reply(&self.0.from.scheme))
    }
}

export!(JwtAuth: on_request);
