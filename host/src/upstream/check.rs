//! Asks endpoints whether they are well.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::{Outgoing, Upstream};
use crate::body::{Body, gather_apart};
use crate::config::{GrpcCheck, HealthCheck, HealthConfig, HttpCheck};
use crate::error::{Error, Reason};

/// What an endpoint's checks came to.
#[derive(Debug, Default)]
pub(super) struct Checks {
    due: Option<Instant>,
    under_way: bool,
    /// Checks in a row with the newest outcome.
    in_a_row: u32,
    well: Option<bool>,
}

/// What a check's answer may say.
const ANSWER_MAX: u64 = 64 << 10;
const AGENT: HeaderValue = HeaderValue::from_static(concat!("gatewright-health/", env!("CARGO_PKG_VERSION")));

impl Upstream {
    /// Starts what is due of looking names up, fetching tokens and checking endpoints, without waiting.
    pub fn tend(self: &Arc<Self>) {
        self.refresh_names();
        self.refresh_token();
        let Some(health) = &self.config.health else { return };
        for endpoint in self.endpoints() {
            if endpoint.checks.lock().start(health) {
                let upstream = self.clone();
                tokio::spawn(async move { upstream.check(&endpoint, &upstream.config.health).await });
            }
        }
    }

    async fn check(&self, endpoint: &Arc<Endpoint>, health: &Option<HealthConfig>) {
        let Some(health) = health else { return };
        let _ends = Ends(endpoint);
        let checked = tokio::time::timeout(health.timeout.0, self.ask(endpoint, &health.check)).await;
        let answer = checked.unwrap_or_else(|_| Err(Error::from(Reason::UpstreamTimeout)));
        let Some(well) = endpoint.checks.lock().note(answer.is_ok(), health) else { return };
        let (upstream, address) = (&*self.name, &*endpoint.address);
        match &answer {
            Ok(()) => tracing::info!(upstream, address, "endpoint is well"),
            Err(error) => tracing::warn!(upstream, address, %error, "endpoint is not well"),
        }
        endpoint.standing.checked(well);
    }

    async fn ask(&self, endpoint: &Arc<Endpoint>, check: &HealthCheck) -> Result<(), Error> {
        match check {
            HealthCheck::Tcp => endpoint.knock().await,
            HealthCheck::Http(check) => self.ask_http(endpoint, check).await,
            HealthCheck::Grpc(check) => self.ask_grpc(endpoint, check).await,
        }
    }

    async fn ask_http(&self, endpoint: &Arc<Endpoint>, check: &HttpCheck) -> Result<(), Error> {
        let mut headers = self.headers_of_check();
        for (name, value) in &check.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let (target, authority) = (check.path.clone(), check.host.clone());
        let outgoing = Outgoing { method: Method::GET, target, authority, headers, proxied: None };
        let (status, ..) = self.exchange(endpoint, outgoing, Bytes::new()).await?;
        let fits =
            if check.statuses.is_empty() { status.is_success() } else { check.statuses.contains(&status.as_u16()) };
        if fits { Ok(()) } else { Err(Error::new(Reason::UpstreamBroken, format!("status {}", status.as_u16()))) }
    }

    /// <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>
    async fn ask_grpc(&self, endpoint: &Arc<Endpoint>, check: &GrpcCheck) -> Result<(), Error> {
        let mut headers = self.headers_of_check();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let body = question(&check.service);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let target = "/grpc.health.v1.Health/Check".to_owned();
        let outgoing = Outgoing { method: Method::POST, target, authority: None, headers, proxied: None };
        let (status, headers, answer) = self.exchange(endpoint, outgoing, body).await?;
        let wrong = |what: String| Err(Error::new(Reason::UpstreamBroken, what));
        if status != StatusCode::OK {
            return wrong(format!("status {}", status.as_u16()));
        }
        // An error comes without a message, its status among the headers.
        if let Some(status) = headers.get("grpc-status").filter(|status| *status != "0") {
            return wrong(format!("grpc-status {}", String::from_utf8_lossy(status.as_bytes())));
        }
        match serving(answer) {
            Some(SERVING) => Ok(()),
            Some(other) => wrong(format!("serving status {other}")),
            None => wrong("no health answer".to_owned()),
        }
    }

    fn headers_of_check(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, AGENT);
        headers.extend(self.headers.iter().cloned());
        headers
    }

    async fn exchange(
        &self,
        endpoint: &Arc<Endpoint>,
        outgoing: Outgoing,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Error> {
        let message = (outgoing, Body::full(body));
        let (outgoing, body) = self.authorize(endpoint.authority.as_str(), message).await.map_err(Error::from)?;
        let (response, release) = endpoint.send(outgoing, body).await?.into_response(endpoint);
        let (parts, source) = response.into_parts();
        let body = Body::from_upstream(source, self.config.timeouts.idle.0, Some(release));
        let bytes = gather_apart(body, ANSWER_MAX, Reason::UpstreamTooLarge).await?.into_bytes();
        Ok((parts.status, parts.headers, bytes))
    }
}

impl Checks {
    /// Whether a check is due; it counts as under way then.
    fn start(&mut self, health: &HealthConfig) -> bool {
        let now = Instant::now();
        // Endpoints that came at the same time are not asked at the same time for ever.
        let due = *self.due.get_or_insert(now);
        if self.under_way || now < due {
            return false;
        }
        self.under_way = true;
        self.due = Some(now + health.interval.0 - jitter(health.interval.0));
        true
    }

    /// Whether the endpoint is well from here on, if that is new.
    fn note(&mut self, well: bool, health: &HealthConfig) -> Option<bool> {
        let was = self.well.unwrap_or(true);
        if well == was {
            self.in_a_row = 0;
            // The first look at an endpoint is worth a word.
            return self.well.replace(well).is_none().then_some(well);
        }
        self.in_a_row += 1;
        let needed = if well { health.healthy_after } else { health.unhealthy_after };
        if self.in_a_row < needed.max(1) {
            return None;
        }
        self.in_a_row = 0;
        self.well = Some(well);
        Some(well)
    }
}

/// Up to a tenth of a period, another one each time.
fn jitter(period: Duration) -> Duration {
    period.mul_f64(fastrand::f64() / 10.0)
}

/// A check under way; the next may start when it is gone.
struct Ends<'a>(&'a Endpoint);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.checks.lock().under_way = false;
    }
}

/// `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// A gRPC message of `HealthCheckRequest { service = 1 }`.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(1 << 3 | 2);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put(message);
    framed.freeze()
}

/// The field `status = 1` of a framed `HealthCheckResponse`; 0 where it is left out.
fn serving(mut framed: Bytes) -> Option<u64> {
    // Compressed messages were not asked for.
    if framed.try_get_u8().ok()? != 0 {
        return None;
    }
    let length = usize::try_from(framed.try_get_u32().ok()?).ok()?;
    let mut message = framed.get(..length)?;
    let mut status = 0;
    while message.has_remaining() {
        let tag = get_varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, 0) => status = get_varint(&mut message)?,
            (_, 0) => drop(get_varint(&mut message)?),
            (_, 2) => {
                let length = usize::try_from(get_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn put_varint(out: &mut BytesMut, mut number: u64) {
    while let byte @ 0x80.. = number {
        out.put_u8((byte & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8((number & 0x7f) as u8);
}

fn get_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Checks, question, serving};
    use crate::config::{HealthCheck, HealthConfig, Period};

    #[test]
    fn grpc_health_messages_are_as_protobuf_has_them() {
        assert_eq!(&question("")[..], b"\0\0\0\0\0");
        assert_eq!(&question("a.B")[..], b"\0\0\0\0\x05\x0a\x03a.B");
        for (framed, status) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x06\x12\x02hi\x08\x01", Some(1)),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x05\x08\x01", None),
            (b"\0\0\0\0\x02\x08\xff", None),
            (b"\0\0", None),
        ] {
            assert_eq!(serving(Bytes::from_static(framed)), status, "{framed:?}");
        }
    }

    #[test]
    fn an_endpoint_changes_its_state_after_so_many_checks_in_a_row() {
        let second = Period::seconds(1);
        let (unhealthy_after, healthy_after) = (3, 2);
        let health =
            HealthConfig { check: HealthCheck::Tcp, interval: second, timeout: second, unhealthy_after, healthy_after };
        let mut checks = Checks::default();
        let outcomes = [true, false, false, true, false, false, false, false, true, false, true, true];
        let told: Vec<_> = outcomes.map(|well| checks.note(well, &health)).to_vec();
        let mut expected = vec![None; 12];
        (expected[0], expected[6], expected[11]) = (Some(true), Some(false), Some(true));
        assert_eq!(told, expected);
    }
}
