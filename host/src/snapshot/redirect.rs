//! Where a request is sent instead: the location of a redirect.

use http::header::{HeaderValue, LOCATION};

use super::rewrite::{Faults, PathRewrite};
use crate::config::{MatchConfig, RedirectConfig, RedirectQuery, RedirectScheme};
use crate::error::{Error, Reason};
use crate::exchange::{Reply, Request, is_authority};

/// An answer that sends the client elsewhere.
#[derive(Debug)]
pub struct Redirect {
    status: u16,
    scheme: Option<&'static str>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<PathRewrite>,
    query: RedirectQuery,
}

impl Redirect {
    /// A redirect as configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the redirect.
    pub(super) fn parse(config: &RedirectConfig, matches: &MatchConfig) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut path = None;
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            faults.push(("/status".to_owned(), "a redirect is 301, 302, 303, 307 or 308".to_owned()));
        }
        if config.path.is_some() && config.prefix.is_some() {
            faults.push((String::new(), "it has both `path` and `prefix`".to_owned()));
        }
        match PathRewrite::parse(config.path.as_deref(), config.prefix.as_deref(), matches) {
            Ok(found) => path = found,
            Err(fault) => faults.push(fault),
        }
        let host = config.host.as_ref().map(|host| host.to_ascii_lowercase());
        let has_port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        if let Some(host) = host.as_ref().filter(|host| !is_authority(host) || has_port(host)) {
            faults.push(("/host".to_owned(), format!("{host:?} is no host: write a name without a port")));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let scheme = config.scheme.map(|scheme| match scheme {
            RedirectScheme::Http => "http",
            RedirectScheme::Https => "https",
        });
        Ok(Self { status: config.status, scheme, host, port: config.port, path, query: config.query })
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// `RewriteFailed` for a location that would lead to another host than is meant.
    pub fn answer(&self, request: &Request) -> Result<Reply, Error> {
        let failed = |why| Error::new(Reason::RewriteFailed, why);
        let path = self.path.as_ref().and_then(|path| path.apply(&request.path));
        let path = path.as_deref().unwrap_or(&request.path);
        // RFC 3986 §4.2: such a path alone would be read as a host.
        if !path.starts_with('/') || path.starts_with("//") || path.starts_with("/\\") {
            return Err(failed("the path could be read as a host"));
        }
        let mut location = self.origin(request);
        location.push_str(path);
        if let Some(query) = request.query.as_ref().filter(|_| self.query == RedirectQuery::Keep) {
            location.push('?');
            location.push_str(query);
        }
        let mut reply = Reply::new(self.status);
        let location = HeaderValue::from_str(&location).map_err(|_| failed("the location is no header value"))?;
        reply.headers.insert(LOCATION, location);
        Ok(reply)
    }

    /// The start of the location; nothing where the client stays where it is (RFC 9110 §10.2.2).
    fn origin(&self, request: &Request) -> String {
        if self.scheme.is_none() && self.host.is_none() && self.port.is_none() {
            return String::new();
        }
        let scheme = self.scheme.unwrap_or(request.scheme);
        let host = self.host.as_deref().unwrap_or_else(|| request.host());
        match self.port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }
}
