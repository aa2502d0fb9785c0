//! AWS Signature Version 4: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRAILER};
use http::{HeaderMap, Method};

use super::Outgoing;
use super::credential::{Fault, checked};
use crate::body::{Body, gather};
use crate::config::{AwsSigv4Config, UpstreamConfig};
use crate::error::{Error, Reason};

/// Signs requests for one service in one region.
pub(super) struct SigV4 {
    region: String,
    service: String,
    identity: Identity,
    settings: SigningSettings,
    body_max: u64,
    unsigned_payload: bool,
}

/// Bytes of a body that may be gathered in order to be signed.
const BODY_MAX: u64 = 64 << 20;
/// What the signature itself sets: a client's would be signed as if it were ours.
const OWN: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-content-sha256"),
];

impl SigV4 {
    /// A signer as configured.
    ///
    /// # Errors
    /// What is wrong, with a pointer into the upstream.
    pub(super) fn parse(config: &AwsSigv4Config, upstream: &UpstreamConfig) -> Result<Self, Fault> {
        let fault = |at: &str, message: &str| Err((format!("/credential/aws_sigv4{at}"), message.to_owned()));
        let is_plain =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let region = config.region.clone().unwrap_or_default();
        if !is_plain(&region) {
            return fault("/region", "a region is made of letters, digits and hyphens, like `us-east-1`");
        }
        if !is_plain(&config.service) {
            return fault("/service", "a service is made of letters, digits and hyphens, like `bedrock`");
        }
        if config.body.0 > BODY_MAX {
            return fault("/body", "body must be at most 64MiB");
        }
        let is_clear = upstream.endpoints.iter().any(|endpoint| !endpoint.url.starts_with("https:"));
        if config.unsigned_payload && is_clear {
            return fault("/unsigned_payload", "only what TLS protects may go unsigned: write https:// endpoints");
        }
        let text = |at: &str, secret| checked(&format!("/aws_sigv4/{at}"), secret).map(str::to_owned);
        let key = text("access_key_id", &config.access_key_id)?;
        let secret = text("secret_access_key", &config.secret_access_key)?;
        let token = config.session_token.as_ref().map(|token| text("session_token", token)).transpose()?;
        let mut settings = SigningSettings::default();
        let is_s3 = config.service == "s3";
        if is_s3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        if is_s3 || config.unsigned_payload {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        Ok(Self {
            region,
            service: config.service.clone(),
            identity: Credentials::new(key, secret, token, None, "configuration").into(),
            settings,
            body_max: config.body.0,
            unsigned_payload: config.unsigned_payload,
        })
    }

    /// Signs a request to an authority; a body that streams is gathered first, unless it may go unsigned.
    ///
    /// # Errors
    /// `BodyTooLarge` past the bound, what reading the body fails with, and `Internal`.
    pub(super) async fn sign(
        &self,
        authority: &str,
        (outgoing, mut body): (&mut Outgoing, Body),
    ) -> Result<Body, Error> {
        if body.in_memory().is_none() && !body.is_empty() && !self.unsigned_payload {
            let content = gather(body, self.body_max, Reason::BodyTooLarge).await?;
            outgoing.headers.insert(CONTENT_LENGTH, HeaderValue::from(content.bytes().len()));
            outgoing.headers.remove(TRAILER);
            body = Body::full(content);
        }
        let content = body.in_memory();
        let payload = match &content {
            Some(content) => SignableBody::Bytes(content.bytes()),
            None if body.is_empty() => SignableBody::empty(),
            None => SignableBody::UnsignedPayload,
        };
        normalize(&mut outgoing.target);
        for name in OWN {
            outgoing.headers.remove(name);
        }
        let (method, target) = (&outgoing.method, outgoing.target.as_str());
        let signed = self.signature((method, authority, target), (&outgoing.headers, payload), SystemTime::now())?;
        outgoing.headers.extend(signed);
        Ok(body)
    }

    /// What a signature adds to the headers of a request.
    fn signature(
        &self,
        (method, authority, target): (&Method, &str, &str),
        (headers, payload): (&HeaderMap, SignableBody<'_>),
        time: SystemTime,
    ) -> Result<HeaderMap, Error> {
        // A proxy on the way may change what is not signed; what is, AWS wants to be signed.
        let is_signed = |name: &HeaderName| *name == CONTENT_TYPE || name.as_str().starts_with("x-amz");
        let signed = headers.iter().filter(|(name, _)| is_signed(name));
        let signed = signed.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signed = signed.chain([(HOST.as_str(), authority)]);
        let internal = |what: &'static str| Error::new(Reason::Internal, what);
        let params = SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(&self.service)
            .time(time)
            .settings(self.settings.clone())
            .build()
            .map_err(|_| internal("parameters of a signature"))?
            .into();
        let url = format!("https://{authority}{target}");
        let request = SignableRequest::new(method.as_str(), url, signed, payload)
            .map_err(|_| internal("a request that cannot be signed"))?;
        let (added, _) = sign(request, &params).map_err(|_| internal("signature"))?.into_parts();
        let mut headers = HeaderMap::new();
        for header in added.into_parts().0 {
            let name = HeaderName::from_bytes(header.name().as_bytes());
            let value = HeaderValue::from_str(header.value());
            let (Ok(name), Ok(mut value)) = (name, value) else { return Err(internal("header of a signature")) };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

/// Encodes in a path everything but unreserved characters (RFC 3986 §2.3), as AWS's own clients do: `:` of a model's name
/// becomes `%3A`, and `%2F` of an ARN stays. What is encoded once on the wire is what has to be encoded twice for signing.
fn normalize(target: &mut String) {
    let (path, query) = target.split_once('?').map_or((target.as_str(), None), |(path, query)| (path, Some(query)));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'%');
    let query_is_plain = query.is_none_or(|query| !query.contains('+'));
    if path.bytes().all(is_plain) && query_is_plain {
        return;
    }
    let mut normal = String::with_capacity(target.len() + 8);
    for byte in path.bytes() {
        if is_plain(byte) {
            normal.push(char::from(byte));
        } else {
            normal.push_str(&format!("%{byte:02X}"));
        }
    }
    if let Some(query) = query {
        normal.push('?');
        // One reader takes it for a space, another for itself.
        normal.push_str(&query.replace('+', "%20"));
    }
    *target = normal;
}

impl fmt::Debug for SigV4 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("SigV4");
        debug.field("region", &self.region).field("service", &self.service).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_sigv4::http_request::SignableBody;
    use http::{HeaderMap, Method};

    use super::{SigV4, normalize};
    use crate::config::UpstreamConfig;

    fn signer(token: Option<&str>) -> SigV4 {
        let config = serde_json::json!({
            "region": "us-east-1",
            "service": "service",
            "access_key_id": "AKIDEXAMPLE",
            "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            "session_token": token,
        });
        SigV4::parse(&serde_json::from_value(config).unwrap(), &UpstreamConfig::default()).unwrap()
    }

    #[test]
    fn signatures_are_those_that_aws_publishes() {
        // The suite of awslabs/aws-c-auth, tests/aws-signing-test-suite/v4; all of 2015-08-30T12:36:00Z.
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        let utf8 = "/?%E1%88%B4=bar";
        for (name, token, target, signature) in [
            ("get-vanilla", None, "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "get-vanilla-with-session-token",
                Some(token),
                "/",
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                "get-unreserved",
                None,
                "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
            ),
            (
                "get-slashes-normalized",
                None,
                "//example//",
                "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
            ),
            ("get-vanilla-utf8-query", None, utf8, "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        ] {
            let message = (&HeaderMap::new(), SignableBody::empty());
            let signed = signer(token).signature((&Method::GET, "example.amazonaws.com", target), message, time);
            let signed = signed.unwrap();
            let made = signed["authorization"].to_str().unwrap();
            assert!(made.ends_with(&format!("Signature={signature}")), "{name}: {made}");
            assert_eq!(signed.get("x-amz-security-token").map(|value| value.to_str().unwrap()), token, "{name}");
            assert!(signed.values().all(http::HeaderValue::is_sensitive), "{name}");
        }
    }

    #[test]
    fn a_path_is_encoded_once_on_the_wire() {
        for (target, expected) in [
            ("/model/anthropic.claude-v2:1/converse", "/model/anthropic.claude-v2%3A1/converse"),
            ("/model/arn%3Aaws%3Abedrock%2Fx/converse", "/model/arn%3Aaws%3Abedrock%2Fx/converse"),
            ("/a b@c?d=e+f&g=%2B", "/a%20b%40c?d=e%20f&g=%2B"),
            ("/plain?d=e:f", "/plain?d=e:f"),
        ] {
            let mut normal = target.to_owned();
            normalize(&mut normal);
            assert_eq!(normal, expected);
        }
    }
}
