//! Whether a request is sent once more: only if that is safe, worth it, and within the upstream's budget.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method};

use crate::config::{FallbackConfig, RetriesConfig, RetryOn};
use crate::error::Reason;
use crate::grpc;
use crate::upstream::{self, Failed, Upstream};

/// The tries of one request at one upstream.
#[derive(Debug)]
pub(super) struct Tries {
    /// How often it was sent again.
    repeated: u32,
    /// Where it was sent.
    pub(super) tried: Vec<Arc<str>>,
}

/// What a try came to.
pub(super) type Tried = Result<upstream::Answer, Box<Failed>>;

impl Tries {
    pub(super) fn new(upstream: &Upstream) -> Self {
        upstream.count_request();
        Self { repeated: 0, tried: Vec::new() }
    }

    /// How long to wait before the request is sent once more; none if it is not.
    ///
    /// `is_kept`: its body can still be sent. `endpoint`: where it was. `left`: the time that it still has.
    pub(super) fn again(
        &mut self,
        upstream: &Upstream,
        tried: &Tried,
        (method, is_kept): (&Method, bool),
        (endpoint, left): (Option<&Arc<str>>, Duration),
    ) -> Option<Duration> {
        let config = &upstream.config.retries;
        if self.repeated >= config.count || !Terms::from(config).goes_on(tried, method, is_kept) || is_unplaced(tried) {
            return None;
        }
        self.tried.extend(endpoint.cloned());
        let is_elsewhere = upstream.endpoints().iter().any(|endpoint| !self.tried.contains(&endpoint.address));
        let pause = if is_elsewhere { Duration::ZERO } else { self.pause(config, tried)? };
        if pause >= left || !upstream.may_repeat() {
            return None;
        }
        self.repeated += 1;
        Some(pause)
    }

    /// The wait before a second try at an endpoint: what it asks for, or twice as much each time, half of it random.
    fn pause(&self, config: &RetriesConfig, tried: &Tried) -> Option<Duration> {
        let asked = tried.as_ref().ok().and_then(|answer| retry_after(answer.response.headers(), SystemTime::now()));
        let pause = asked.unwrap_or_else(|| {
            let whole = config.backoff.0 * 2_u32.saturating_pow(self.repeated);
            whole.min(config.wait_max.0).mul_f64(0.5 + fastrand::f64() / 2.0)
        });
        (pause <= config.wait_max.0).then_some(pause)
    }
}

/// What is sent once more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    on: &'a [RetryOn],
    statuses: &'a [u16],
    methods: &'a [String],
}

impl<'a> From<&'a RetriesConfig> for Terms<'a> {
    fn from(config: &'a RetriesConfig) -> Self {
        Self { on: &config.on, statuses: &config.statuses, methods: &config.methods }
    }
}

impl<'a> From<&'a FallbackConfig> for Terms<'a> {
    fn from(config: &'a FallbackConfig) -> Self {
        Self { on: &config.on, statuses: &config.statuses, methods: &config.methods }
    }
}

impl Terms<'_> {
    /// Whether a request is to be sent once more, after this try. `is_kept`: its body can still be sent.
    pub(super) fn goes_on(self, tried: &Tried, method: &Method, is_kept: bool) -> bool {
        self.is_worth_it(tried) && self.is_safe(tried, method, is_kept)
    }

    fn is_worth_it(self, tried: &Tried) -> bool {
        let on = |kind: RetryOn| self.on.contains(&kind);
        match tried {
            Ok(answer) => {
                let status = grpc::http_status(answer.response.status(), answer.response.headers());
                self.statuses.contains(&status.as_u16())
            }
            Err(failed) if failed.unsent.is_some() => on(RetryOn::Connect),
            Err(failed) => match failed.error.reason {
                Reason::UpstreamBroken => on(RetryOn::Reset),
                Reason::UpstreamTimeout => on(RetryOn::Timeout),
                _ => false,
            },
        }
    }

    /// RFC 9110 §9.2.2: what was perhaps received is repeated only where that changes nothing.
    fn is_safe(self, tried: &Tried, method: &Method, is_kept: bool) -> bool {
        match tried {
            Err(failed) if failed.unsent.is_some() => true,
            Err(failed) if failed.refused => is_kept,
            _ => is_kept && self.methods.iter().any(|other| other == method.as_str()),
        }
    }
}

/// Whether the upstream had no endpoint or no credential for the request, and so will have none at once.
fn is_unplaced(tried: &Tried) -> bool {
    let lasting = [Reason::UpstreamUnhealthy, Reason::CredentialUnavailable];
    matches!(tried, Err(failed) if lasting.contains(&failed.error.reason))
}

/// How long a peer asks to wait (RFC 9110 §10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER).map(HeaderValue::to_str)?.ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::header::RETRY_AFTER;
    use http::{HeaderMap, HeaderValue};

    use super::retry_after;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_by_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, seconds) in [
            ("2", Some(2)),
            (" 120 ", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
