//! Calls upstreams as the request's header `x-do` tells, and answers with what came of it.
//!
//! `send UPSTREAM METHOD PATH OPTION...` with the options `timeout=MS`, `body=TEXT`, `body-bytes=COUNT`, `header=NAME:VALUE`,
//! `secret=NAME:SECRET` (with the prefix `Bearer `), `show=NAME` (a header of the response) and `json=POINTER`;
//! `parallel UPSTREAM PATH COUNT` starts so many and waits for each in reverse; `forget UPSTREAM PATH` starts one and lets it
//! go; `twice UPSTREAM PATH` waits twice; `flood UPSTREAM` makes requests without end; `owned UPSTREAM` tells which headers it
//! could set that are the gateway's; `read KEY` answers with an entry of the store `news`, `property NAME` with a property.
//!
//! The job `refresh` puts what `origin` answers at `/job` into that store, where `runs` counts; `fail`, `trap` and `spin` do
//! so, and `hold` tries what needs an exchange.

use gatewright_sdk::http::{HttpError, Outbound, Response};
use gatewright_sdk::kv::Store;
use gatewright_sdk::secrets::Secret;
use gatewright_sdk::{Decision, Exchange, Failure, Policy, Reply, export, failure, limits};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `caller`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    /// An upstream to call while the policy is configured, which no policy may.
    call_early: Option<String>,
}

impl Policy for Caller {
    type Config = Self;

    fn new(settings: Self) -> Result<Self, String> {
        if let Some(upstream) = &settings.call_early {
            Outbound::new(upstream, "GET", "/").send().map_err(|error| error.name().to_owned())?;
        }
        Ok(settings)
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let Some(told) = exchange.request_headers().get("x-do")? else { return Ok(Decision::Next) };
        let words: Vec<&str> = told.split(' ').collect();
        let answer = match words.as_slice() {
            ["property", name] => Some(exchange.property_text(name).unwrap_or_else(|| "none".to_owned())),
            words => perform(words),
        };
        let answer = answer.ok_or_else(|| failure("unknown-deed", told.as_str()))?;
        let reply = Reply::new(200);
        reply.set_body("text/plain", answer.as_bytes());
        Ok(Decision::Answer(reply))
    }

    fn on_schedule(&self, job: &str) -> Result<(), Failure> {
        let store = Store::open("news")?;
        store.add(&format!("runs-{job}"), 1.0, None)?;
        match job {
            "refresh" => {
                let response = Outbound::new("origin", "GET", "/job").send()?;
                store.set("latest", &response.body(), None)?;
            }
            "fail" => return Err(failure("told-to-fail", "detail-for-the-operator")),
            "trap" => panic!("told to trap"),
            "spin" => loop {
                std::hint::black_box(());
            },
            "hold" => {
                limits::enter("bucket", "key", 1).map_err(|error| failure("limits", error.name()))?;
            }
            _ => return Err(failure("unknown-job", job)),
        }
        Ok(())
    }
}

fn perform(words: &[&str]) -> Option<String> {
    Some(match words {
        ["send", upstream, method, path, options @ ..] => send(&Outbound::new(upstream, method, path), options),
        ["parallel", upstream, path, count] => parallel(upstream, path, count.parse().ok()?),
        ["forget", upstream, path] => {
            shown(Outbound::new(upstream, "GET", path).start().map(|_| "forgotten".to_owned()))
        }
        ["twice", upstream, path] => {
            let pending = Outbound::new(upstream, "GET", path).start().ok()?;
            drop(pending.wait());
            shown(pending.wait().map(|response| text(&response)))
        }
        ["flood", upstream] => {
            let requests: Vec<_> = (0..1_000).map(|_| Outbound::new(upstream, "GET", "/")).collect();
            requests.len().to_string()
        }
        ["owned", upstream] => owned(upstream),
        ["read", key] => match Store::open("news").and_then(|store| store.get(key)) {
            Ok(Some(entry)) => String::from_utf8_lossy(&entry.value).into_owned(),
            Ok(None) => "nothing".to_owned(),
            Err(error) => error.name().to_owned(),
        },
        _ => return None,
    })
}

fn shown(result: Result<String, HttpError>) -> String {
    result.unwrap_or_else(|error| error.name().to_owned())
}

fn text(response: &Response) -> String {
    format!("{} {}", response.status(), String::from_utf8_lossy(&response.body()))
}

fn send(request: &Outbound, options: &[&str]) -> String {
    let mut show = None;
    let mut pointer = None;
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let (left, right) = value.split_once(':').unwrap_or((value, ""));
        let refused = match name {
            "timeout" => {
                request.set_timeout(value.parse().unwrap_or(0));
                false
            }
            "body" => request.set_body(value.as_bytes()).is_err(),
            "body-bytes" => match request.set_body(&vec![b'x'; value.parse().unwrap_or(0)]) {
                Ok(()) => false,
                Err(error) => return error.name().to_owned(),
            },
            "header" => request.set_header(left, right).is_err(),
            "secret" => match Secret::open(right) {
                Ok(secret) => request.set_header_secret(left, "Bearer ", &secret).is_err(),
                Err(error) => return error.name().to_owned(),
            },
            "show" => {
                show = Some(value);
                false
            }
            "json" => {
                pointer = Some(value.to_owned());
                false
            }
            _ => true,
        };
        if refused {
            return format!("{option} refused");
        }
    }
    let response = match request.send() {
        Ok(response) => response,
        Err(error) => return error.name().to_owned(),
    };
    if let Some(pointer) = pointer {
        return format!("{:?}", response.json_get(&[pointer]));
    }
    match show {
        None => text(&response),
        Some(name) => {
            let headers = response.headers();
            let written = headers.set("x-mine", "1").is_ok() || headers.remove(name).is_ok();
            format!("{} {:?} {written}", response.status(), headers.get(name).ok().flatten())
        }
    }
}

fn parallel(upstream: &str, path: &str, count: usize) -> String {
    let started: Vec<_> =
        (0..count).map(|number| Outbound::new(upstream, "GET", &format!("{path}{number}")).start()).collect();
    let mut ended: Vec<String> = started
        .into_iter()
        .rev()
        .map(|pending| shown(pending.and_then(|pending| pending.wait()).map(|response| text(&response))))
        .collect();
    ended.reverse();
    ended.join(",")
}

fn owned(upstream: &str) -> String {
    let request = Outbound::new(upstream, "GET", "/");
    let names =
        ["host", "Content-Length", "transfer-encoding", "connection", "te", "upgrade", "expect", ":path", "", "a b"];
    let mut accepted: Vec<&str> = names.into_iter().filter(|name| request.set_header(name, "1").is_ok()).collect();
    accepted
        .extend(["a\r\nx-forged: 1", "a\0"].into_iter().filter(|value| request.set_header("x-plain", value).is_ok()));
    format!("accepted: {accepted:?}")
}

export!(Caller: on_request, on_schedule);
