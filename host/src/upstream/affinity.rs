//! Keeps a client on an endpoint, by a cookie that only the gateway can make.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use crate::config::AffinityConfig;

/// Makes and reads the cookies of an upstream.
#[derive(Debug)]
pub struct Affinity {
    upstream: String,
    cookie: String,
    /// How long a cookie is good for.
    ttl: Duration,
    /// Whether the browser keeps it past its session.
    lasting: bool,
    key: hmac::Key,
}

/// A cookie of a session is no longer good after this.
const SESSION: Duration = Duration::from_secs(24 * 3600);
/// The endpoint, when it ends, and the signature.
const COOKIE_BYTES: usize = 8 + 8 + SIGNATURE;
const SIGNATURE: usize = 16;

impl Affinity {
    pub(super) fn new(upstream: &str, config: &AffinityConfig) -> Self {
        Self {
            upstream: upstream.to_owned(),
            cookie: config.cookie.clone(),
            ttl: config.ttl.map_or(SESSION, |ttl| ttl.0),
            lasting: config.ttl.is_some(),
            key: hmac::Key::new(hmac::HMAC_SHA256, process_key()),
        }
    }

    /// Signs with a secret from here on.
    pub(super) fn sign_with(&mut self, secret: &[u8]) {
        self.key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    }

    /// The cookie's name.
    #[must_use]
    pub fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The endpoint that a cookie's value names, if the gateway made it and it is still good.
    #[must_use]
    pub fn read(&self, value: &str) -> Option<u64> {
        let bytes: [u8; COOKIE_BYTES] = URL_SAFE_NO_PAD.decode(value).ok()?.try_into().ok()?;
        let (said, signature) = bytes.split_at_checked(16)?;
        let right = self.signature(said);
        // The signature is cut short, so that `hmac::verify` does not fit.
        if aws_lc_rs::constant_time::verify_slices_are_equal(right.get(..SIGNATURE)?, signature).is_err() {
            return None;
        }
        let (endpoint, until) = said.split_at_checked(8)?;
        let until = u64::from_be_bytes(until.try_into().ok()?);
        (now() < until).then(|| endpoint.try_into().ok().map(u64::from_be_bytes)).flatten()
    }

    /// A `Set-Cookie` (RFC 6265 §4.1) that names an endpoint. `secure` where the client came by TLS.
    #[must_use]
    pub fn write(&self, endpoint: u64, secure: bool) -> Option<HeaderValue> {
        let mut said = endpoint.to_be_bytes().to_vec();
        said.extend((now() + self.ttl.as_secs()).to_be_bytes());
        let signature = self.signature(&said);
        said.extend(signature.get(..SIGNATURE)?);
        let value = URL_SAFE_NO_PAD.encode(said);
        let secure = if secure { "; Secure" } else { "" };
        let age = if self.lasting { format!("; Max-Age={}", self.ttl.as_secs()) } else { String::new() };
        let text = format!("{}={value}; Path=/{age}; HttpOnly; SameSite=Lax{secure}", self.cookie);
        HeaderValue::from_str(&text).ok()
    }

    /// A cookie of one upstream means nothing to another.
    fn signature(&self, said: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(self.upstream.as_bytes());
        context.update(&[0]);
        context.update(said);
        context.sign().as_ref().to_vec()
    }
}

/// A key that is made once a process: cookies outlive reloads.
fn process_key() -> &'static [u8] {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    KEY.get_or_init(|| {
        let mut random = [0; 32];
        if rand::fill(&mut random).is_err() {
            tracing::warn!("no random bytes: cookies of affinity can be made by others");
        }
        random
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::Affinity;
    use crate::config::{AffinityConfig, Period};

    fn affinity(upstream: &str, ttl: Option<Period>) -> Affinity {
        let config = AffinityConfig { cookie: "at".to_owned(), ttl, secret: None };
        let mut affinity = Affinity::new(upstream, &config);
        affinity.sign_with(b"secret");
        affinity
    }

    fn value(affinity: &Affinity) -> String {
        let cookie = affinity.write(7, true).unwrap().to_str().unwrap().to_owned();
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        cookie.strip_prefix("at=").unwrap().split_once(';').unwrap().0.to_owned()
    }

    #[test]
    fn only_the_gateway_can_name_an_endpoint() {
        let one = affinity("one", None);
        let value = value(&one);
        assert_eq!(one.read(&value), Some(7));
        assert_eq!(affinity("two", None).read(&value), None, "another upstream's");
        for index in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(one.read(&String::from_utf8(forged).unwrap()), None, "{index}");
        }
        for nonsense in ["", "AAAA", "=", value.get(1..).unwrap(), &format!("{value}A")] {
            assert_eq!(one.read(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_cookie_is_good_for_its_time() {
        let over = affinity("one", Some(Period::seconds(0)));
        assert_eq!(over.read(&value(&over)), None);
    }
}
