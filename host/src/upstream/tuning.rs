//! Bounds of what an upstream's configuration may say about balancing, checks, ejection and retries.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::config::{BalanceConfig, Balancing, HealthCheck, HealthConfig, HttpCheck, UpstreamConfig};

type Fault = (String, String);

/// Everything that is out of bounds, with a pointer into the upstream.
pub(super) fn faults(config: &UpstreamConfig) -> Vec<Fault> {
    let mut faults = Vec::new();
    balance(&config.balance, &mut faults);
    if let Some(health) = &config.health {
        check(health, &mut faults);
    }
    let mut bound = |at: &str, fits: bool, message: &str| {
        if !fits {
            faults.push((at.to_owned(), message.to_owned()));
        }
    };
    let (outliers, retries, dns) = (&config.outliers, &config.retries, &config.dns);
    let (tenth, hour) = (Duration::from_millis(100), Duration::from_secs(3600));
    bound("/outliers/ejection", (tenth..=hour).contains(&outliers.ejection.0), "ejection must be from 100ms to 1h");
    bound("/outliers/probes", (1..=100).contains(&outliers.probes), "probes must be from 1 to 100");
    bound("/outliers/failed_percent", outliers.failed_percent <= 100, "failed_percent must be at most 100");
    bound("/outliers/ejected_max", outliers.ejected_max <= 100, "ejected_max must be at most 100");
    bound("/outliers/statuses", statuses(&outliers.statuses, 400), "statuses must be from 400 to 599");
    bound("/retries/statuses", statuses(&retries.statuses, 400), "statuses must be from 400 to 599");
    bound("/retries/count", retries.count <= 10, "count must be at most 10");
    bound("/retries/budget_percent", retries.budget_percent <= 100, "budget_percent must be at most 100");
    bound("/retries/wait_max", retries.wait_max.0 <= hour, "wait_max must be at most 1h");
    bound("/retries/body", retries.body.0 <= 64 << 20, "body must be at most 64MiB");
    let is_method = |method: &String| Method::from_bytes(method.as_bytes()).is_ok();
    bound("/retries/methods", retries.methods.iter().all(is_method), "methods must be methods");
    bound("/dns/refresh_min", dns.refresh_min.0 >= tenth, "refresh_min must be at least 100ms");
    bound("/dns/refresh_max", dns.refresh_max >= dns.refresh_min, "refresh_max must be at least refresh_min");
    bound("/dns/timeout", (tenth..=hour).contains(&dns.timeout.0), "timeout must be from 100ms to 1h");
    faults
}

fn statuses(statuses: &[u16], min: u16) -> bool {
    statuses.iter().all(|status| (min..=599).contains(status))
}

fn balance(config: &BalanceConfig, faults: &mut Vec<Fault>) {
    let mut fault = |at: &str, message: String| faults.push((format!("/balance{at}"), message));
    let hashes = matches!(config.by, Balancing::RingHash | Balancing::Maglev);
    match (&config.hash, hashes) {
        (None, true) => fault("", "ring_hash and maglev need `hash`: say what of a request is hashed".to_owned()),
        (Some(_), false) => fault("/hash", "`hash` needs `by: ring_hash` or `by: maglev`".to_owned()),
        (Some(key), true) => key.fault().into_iter().for_each(|message| fault("/hash", message)),
        (None, false) => {}
    }
    if let Some(subset) = &config.subset {
        subset.from.fault().into_iter().for_each(|message| fault("/subset/from", message));
    }
    if let Some(affinity) = &config.affinity {
        if !is_token(&affinity.cookie) {
            fault("/affinity/cookie", format!("{:?} is no name that a cookie could have", affinity.cookie));
        }
        if affinity.ttl.is_some_and(|ttl| ttl.0 > Duration::from_secs(720 * 3600)) {
            fault("/affinity/ttl", "ttl must be at most 720h".to_owned());
        }
    }
    if config.panic_below > 100 {
        fault("/panic_below", "panic_below must be at most 100".to_owned());
    }
    if config.slow_start.0 > Duration::from_secs(3600) {
        fault("/slow_start", "slow_start must be at most 1h".to_owned());
    }
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

fn check(config: &HealthConfig, faults: &mut Vec<Fault>) {
    let mut fault = |at: &str, message: &str| faults.push((format!("/health{at}"), message.to_owned()));
    let (tenth, hour) = (Duration::from_millis(100), Duration::from_secs(3600));
    if !(tenth..=hour).contains(&config.interval.0) {
        fault("/interval", "interval must be from 100ms to 1h");
    }
    if config.timeout.0.is_zero() || config.timeout.0 > hour {
        fault("/timeout", "timeout must be from 1ms to 1h");
    }
    let times = 1..=100;
    if !times.contains(&config.unhealthy_after) || !times.contains(&config.healthy_after) {
        fault("", "unhealthy_after and healthy_after must be from 1 to 100");
    }
    let HealthCheck::Http(HttpCheck { path, host, headers, statuses }) = &config.check else { return };
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        fault("/check/http/path", "path must start with a slash, and have nothing that is to be percent-encoded");
    }
    if host.as_ref().is_some_and(|host| host.parse::<http::uri::Authority>().is_err()) {
        fault("/check/http/host", "host must be a name or an address, perhaps with a port");
    }
    for (name, value) in headers {
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err() {
            fault("/check/http/headers", "headers must be names and values that a header may have");
        }
    }
    if statuses.iter().any(|status| StatusCode::from_u16(*status).is_err() || !(200..600).contains(status)) {
        fault("/check/http/statuses", "statuses must be from 200 to 599");
    }
}
