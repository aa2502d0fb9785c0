//! Does with a store what the request's header `x-do` tells, and answers with what came of it.
//!
//! `get|delete STORE KEY`, `set STORE KEY VALUE TTL`, `swap STORE KEY VERSION VALUE TTL`, `add STORE KEY DELTA TTL`, where
//! VERSION and TTL may be `-` for none; `large STORE KEY BYTES` sets a value of so many bytes. `trap` at the end traps
//! afterwards.
//!
//! Without `x-do` it reads of the body what is at the JSON pointer `x-pointer`, applies the patch of its settings, and tells
//! in `x-found` what it read.

use gatewright_sdk::kv::{KvError, Store};
use gatewright_sdk::{Body, Decision, Exchange, Failure, Policy, Reply, export, failure};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `keeper`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// A store to open while the policy is configured, which no policy may.
    open_early: Option<String>,
    /// A JSON patch to apply to each body.
    patch: Option<String>,
}

impl Policy for Keeper {
    type Config = Self;

    fn new(settings: Self) -> Result<Self, String> {
        if let Some(store) = &settings.open_early {
            Store::open(store).map_err(|error| error.name().to_owned())?;
        }
        Ok(settings)
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let Some(told) = exchange.request_headers().get("x-do")? else { return Ok(Decision::Next) };
        let words: Vec<&str> = told.split(' ').collect();
        let answer = match perform(&words) {
            Some(result) => result.unwrap_or_else(|error| error.name().to_owned()),
            None => return Err(failure("unknown-deed", told)),
        };
        assert!(words.last() != Some(&"trap"), "told to trap");
        let reply = Reply::new(200);
        reply.set_body("text/plain", answer.as_bytes());
        Ok(Decision::Answer(reply))
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let headers = exchange.request_headers();
        let Some(pointer) = headers.get("x-pointer")? else { return Ok(Decision::Next) };
        headers.append("x-found", &read(content, &pointer)?)?;
        if let Some(patch) = &self.patch {
            content.json_patch(patch)?;
        }
        Ok(Decision::Next)
    }
}

fn read(body: &Body, pointer: &str) -> Result<String, Failure> {
    let [found] = body.json_texts([pointer])?;
    Ok(found.unwrap_or_else(|| "nothing".to_owned()))
}

fn perform(words: &[&str]) -> Option<Result<String, KvError>> {
    let [deed, store, key, rest @ ..] = words else { return None };
    let store = match Store::open(store) {
        Ok(store) => store,
        Err(error) => return Some(Err(error)),
    };
    let number = |text: &str| text.parse::<f64>().ok();
    let ttl = |text: &str| text.parse::<u32>().ok();
    let version = |version: f64| format!("version {version}");
    Some(match (*deed, rest) {
        ("get", []) => store.get(key).map(|entry| match entry {
            Some(entry) => format!("{} {}", String::from_utf8_lossy(&entry.value), version(entry.version)),
            None => "nothing".to_owned(),
        }),
        ("delete", []) => store.delete(key).map(|deleted| deleted.to_string()),
        ("set", [value, time, ..]) => store.set(key, value.as_bytes(), ttl(time)).map(version),
        ("swap", [old, value, time]) => store.swap(key, number(old), value.as_bytes(), ttl(time)).map(version),
        ("add", [delta, time]) => store.add(key, number(delta)?, ttl(time)).map(|sum| sum.to_string()),
        ("large", [bytes]) => store.set(key, &vec![b'x'; bytes.parse().ok()?], None).map(|_| "written".to_owned()),
        _ => return None,
    })
}

export!(Keeper: on_request, on_request_body);
