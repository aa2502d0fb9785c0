//! One request with its response, as the chain sees it.

mod canonical;
mod certificate;
mod fields;
mod journal;
mod key;
mod reply;
mod request;
mod scalar;
mod shape;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

pub(crate) use canonical::FORWARDED_CLIENT_CERT;
pub use canonical::{Peer, TlsFacts, canonical, is_authority, path_reading};
pub use certificate::{Certificate, is_trust_domain};
pub use fields::{FieldsError, Section, announced_trailers, is_owned, is_trailer};
pub(crate) use fields::{append, one, set, writable, writable_name};
pub use journal::WriteError;
pub use key::cookie;
pub use reply::{Reply, ReplyBody, error_reply};
pub use request::Request;
pub use scalar::Scalar;
pub use shape::api_at;

use crate::provider::Provider;
use crate::services::Holdings;
use journal::{Undo, WaitingHeader};

/// One request with its response.
#[derive(Debug)]
pub struct Exchange {
    /// Unique; in logs and in `x-request-id`.
    pub id: String,
    /// What the client wants, in its one canonical form.
    pub request: Request,
    /// What it is going to get, once there is something.
    pub response: Option<ResponseHead>,
    /// Who is asking.
    pub peer: Arc<Peer>,
    /// The route's name; empty before there is one.
    pub route: Arc<str>,
    /// Parameters of the route's path.
    pub parameters: Vec<(String, String)>,
    /// The names of the upstreams that a policy may choose.
    pub choices: Arc<[Arc<str>]>,
    /// The upstream's name: the route's, or what a policy chose.
    pub upstream: Arc<str>,
    /// The address of the endpoint of the newest attempt.
    pub endpoint: Option<Arc<str>>,
    /// The provider of models that the upstream of this attempt is.
    pub provider: Option<Arc<Provider>>,
    /// Attempts so far.
    pub attempt: u32,
    /// How far it has come.
    pub stage: Stage,
    /// What policies hold of the limits.
    pub holdings: Holdings,
    /// Time in each policy call.
    pub timings: Vec<Timing>,
    metadata: Vec<(String, Scalar)>,
    state: Vec<(u32, String, Vec<u8>)>,
    detached: Vec<u32>,
    waiting: Vec<WaitingHeader>,
    journal: Option<Vec<Undo>>,
}

/// Status and headers of a response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// From 200 to 599, or 101.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
}

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The request can still change.
    Request,
    /// The request is gone; the response can change.
    Response,
    /// The response's headers are gone.
    Streaming,
    /// Everything is over.
    Done,
}

/// The time of one policy call.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The policy.
    pub policy: Arc<str>,
    /// The phase.
    pub phase: &'static str,
    /// The time.
    pub took: Duration,
}

impl Exchange {
    /// A new exchange for a request.
    #[must_use]
    pub fn new(id: String, request: Request, peer: Arc<Peer>) -> Self {
        let none: Arc<str> = Arc::from("");
        Self {
            id,
            request,
            response: None,
            peer,
            route: none.clone(),
            parameters: Vec::new(),
            choices: Arc::new([]),
            upstream: none,
            endpoint: None,
            provider: None,
            attempt: 0,
            stage: Stage::Request,
            holdings: Holdings::default(),
            timings: Vec::new(),
            metadata: Vec::new(),
            state: Vec::new(),
            detached: Vec::new(),
            waiting: Vec::new(),
            journal: None,
        }
    }

    /// Stands for an exchange that was lost with a call that was cut off.
    #[must_use]
    pub fn lost() -> Self {
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let peer = Peer { address: nowhere, local: nowhere, tls: None, forwards_certificate: false };
        Self::new(String::new(), Request::lost(), Arc::new(peer))
    }

    /// The header section that `section` names, if it exists.
    #[must_use]
    pub fn fields(&self, section: Section) -> Option<&HeaderMap> {
        match section {
            Section::Request => Some(&self.request.headers),
            Section::Response => self.response.as_ref().map(|response| &response.headers),
        }
    }

    /// Whether the policy asked not to be called again.
    #[must_use]
    pub fn is_detached(&self, policy: u32) -> bool {
        self.detached.contains(&policy)
    }

    /// Does not call the policy again.
    pub fn detach(&mut self, policy: u32) {
        self.detached.push(policy);
    }

    /// Starts once more with the request as it was, and forgets what these policies kept of the attempt before.
    pub fn begin_attempt(&mut self, request: Option<&Request>, policies: impl Iterator<Item = u32>) {
        if let Some(request) = request {
            self.request.clone_from(request);
        }
        self.response = None;
        self.stage = Stage::Request;
        for policy in policies {
            self.detached.retain(|other| *other != policy);
            self.state.retain(|(other, ..)| *other != policy);
            self.waiting.retain(|waiting| waiting.policy != policy);
        }
    }

    /// What the gateway knows and the message does not say.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Scalar> {
        let tls = self.peer.tls.as_ref();
        let text = |text: &str| Some(Scalar::Text(text.to_owned()));
        match name {
            "client.address" => text(&self.request.client.to_string()),
            "client.port" => Some(Scalar::Number(f64::from(self.peer.address.port()))),
            "http.version" => text(self.request.version_text()),
            "tls.version" => text(tls?.version),
            "tls.sni" => text(tls?.server_name.as_deref()?),
            "tls.peer-subject" => text(tls?.peer_subject.as_deref()?),
            "tls.peer-distinguished-name" => text(&self.peer.certificate()?.subject),
            "tls.peer-fingerprint" => text(&self.peer.certificate()?.fingerprint),
            "tls.peer-san-dns" => Certificate::list(&self.peer.certificate()?.dns).map(Scalar::Text),
            "tls.peer-san-uri" => Certificate::list(&self.peer.certificate()?.uris).map(Scalar::Text),
            "tls.peer-san-email" => Certificate::list(&self.peer.certificate()?.emails).map(Scalar::Text),
            "tls.peer-spiffe-id" => text(self.peer.certificate()?.spiffe()?.1),
            "route.name" => text(&self.route),
            "upstream.name" => text(&self.upstream),
            "upstream.endpoint" => text(self.endpoint.as_deref()?),
            "upstream.provider" => text(&self.provider.as_ref()?.name),
            "upstream.dialect" => text(self.provider.as_ref()?.dialect.name()),
            "upstream.path-prefix" => text(&self.provider.as_ref()?.path_prefix),
            "upstream.older-max-tokens" => Some(Scalar::Boolean(self.provider.as_ref()?.older_max_tokens)),
            "upstream.thoughts" => text(self.provider.as_ref()?.thoughts.name()),
            "attempt" => Some(Scalar::Number(f64::from(self.attempt))),
            _ => {
                let parameter = name.strip_prefix("path.")?;
                text(&self.parameters.iter().find(|(name, _)| name == parameter)?.1)
            }
        }
    }
}
