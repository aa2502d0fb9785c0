//! Does what the request's header `x-case` says, phase by phase: the pattern for the examples in other languages, of
//! which the outer tests ask exactly the same.

use gatewright_sdk::{
    Body, BodyError, Decision, Ending, Event, Exchange, Failure, HeaderError, Outcome, Policy, Problem, Reply, Scalar,
    WriteError, clock, export, failure, limits, log, problem,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Settings of `conformance`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What it says of itself in every answer.
    greeting: String,
}

/// The policy.
pub struct Conformance(Settings);

impl Policy for Conformance {
    type Config = Settings;
    const SUMMARY: &'static str = "Does what it is told";

    fn new(settings: Settings) -> Result<Self, String> {
        if settings.greeting == "refuse" {
            return Err("told to refuse its settings".to_owned());
        }
        Ok(Self(settings))
    }

    fn validate(settings: &Settings) -> Vec<Problem> {
        let is_empty = settings.greeting.is_empty();
        is_empty.then(|| problem("/greeting", "is empty: write a word")).into_iter().collect()
    }

    fn on_request(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        match case(exchange).as_str() {
            "headers" => self.headers(exchange)?,
            "answer" => {
                let reply = Reply::error(403, "told-to-refuse", "refused as told");
                return Ok(Decision::Answer(reply.with_header("x-reason", &self.0.greeting)));
            }
            "page" => return Ok(self.page(exchange)),
            "failure" => return Err(failure("told-to-fail", "detail for the operator")),
            "trap" => panic!("told to trap"),
            "rewrite" => rewrite(exchange)?,
            "detach" => return Ok(Decision::Detach),
            "metadata" => metadata(exchange)?,
            "state" => exchange.put_state("bytes", &[0, 1, 254, 255])?,
            "take" | "reserve" | "peek" => return limit(exchange),
            "shared" => shared(exchange)?,
            "log" => log::emit(log::Level::Info, "said as told", &[("key".to_owned(), "value".to_owned())]),
            "clock" => clock(exchange)?,
            _ => {}
        }
        Ok(Decision::Next)
    }

    fn on_request_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        let headers = exchange.request_headers();
        match case(exchange).as_str() {
            "json" => {
                let [text, absent] = content.json_texts(["/a/b", "/none"])?;
                let texts = format!("{} {}", text.as_deref().unwrap_or("none"), absent.as_deref().unwrap_or("none"));
                headers.set("x-json", &texts)?;
                content.json_patch(r#"[{"op":"replace","path":"/a/b","value":"patched"}]"#)?;
            }
            "bad-json" => headers.set("x-error", body_error(content.json_get(&["/a".to_owned()])))?,
            "bad-patch" => {
                headers.set("x-error", body_error(content.json_patch(r#"[{"op":"remove","path":"/x"}]"#)))?
            }
            "replace" => {
                let text =
                    [format!("{} of {}: ", self.0.greeting, content.len()).as_bytes(), &content.read(1, 3)].concat();
                content.replace(&text)?;
            }
            _ => {}
        }
        Ok(Decision::Next)
    }

    fn on_response(&self, exchange: &Exchange) -> Result<Decision, Failure> {
        let Some(headers) = exchange.response_headers() else { return Err(failure("no-response", "")) };
        headers.set("x-conformance", &self.0.greeting)?;
        match case(exchange).as_str() {
            "state" => {
                let bytes = exchange.get_state("bytes").unwrap_or_default();
                let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
                headers.set("x-state", &numbers.join(","))?;
            }
            "status" => {
                headers.set("x-was", &exchange.response_status().unwrap_or_default().to_string())?;
                exchange.set_response_status(203)?;
            }
            "late" => headers.set("x-late", write_error(exchange.set_method("PUT")))?,
            "reserve" => {
                let key = key(exchange);
                let settled = limits::settle("tokens", &key, 3).is_ok();
                let other = limits::settle("tokens", "another", 3) == Err(limits::LimitError::NotReserved);
                headers.set("x-settled", &format!("{settled} {other}"))?;
            }
            "answer-response" => {
                let reply = Reply::new(418);
                reply.set_body("text/plain", b"a teapot");
                return Ok(Decision::Answer(reply));
            }
            _ => {}
        }
        Ok(Decision::Next)
    }

    fn on_response_body(&self, exchange: &Exchange, content: &Body) -> Result<Decision, Failure> {
        if case(exchange) == "response-body" {
            content.replace(&[format!("{}: ", self.0.greeting).as_bytes(), &content.read_all()].concat())?;
        }
        Ok(Decision::Next)
    }

    fn on_event(&self, exchange: &Exchange, events: Vec<Event>, ending: Ending) -> Result<Outcome, Failure> {
        match case(exchange).as_str() {
            "events" => {}
            "events-detach" => return Ok(Outcome::Detach),
            "events-failure" => return Err(failure("told-to-fail", "")),
            _ => return Ok(Outcome::Pass),
        }
        let mut sent = Vec::new();
        for event in events {
            match event.data.as_str() {
                "swallow" => {}
                "rename" => sent.push(Event { name: "renamed".to_owned(), data: event.data + "!" }),
                "stop" => {
                    sent.push(Event { name: String::new(), data: "stopped".to_owned() });
                    return Ok(Outcome::Finish(sent));
                }
                _ => sent.push(event),
            }
        }
        if ending == Ending::Complete {
            sent.push(Event { name: String::new(), data: "complete".to_owned() });
        }
        Ok(Outcome::Send(sent))
    }

    fn on_log(&self, exchange: &Exchange) {
        if case(exchange) == "log" {
            let status = exchange.response_status().unwrap_or_default();
            log::emit(log::Level::Info, &format!("over with {status}"), &[]);
        }
    }
}

fn case(exchange: &Exchange) -> String {
    exchange.request_headers().get("x-case").ok().flatten().unwrap_or_default()
}

fn key(exchange: &Exchange) -> String {
    exchange.request_headers().get("x-key").ok().flatten().unwrap_or_default()
}

impl Conformance {
    fn headers(&self, exchange: &Exchange) -> Result<(), Failure> {
        let headers = exchange.request_headers();
        let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        let all: Vec<String> =
            headers.get_all("x-many").iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        let wanted = ["x-one".to_owned(), "x-none".to_owned(), "x-many".to_owned()];
        let many: Vec<String> = headers.get_many(&wanted).into_iter().map(text).collect();
        let entries = headers.entries().iter().filter(|(name, _)| name == "x-many").count();
        let seen = [
            text(headers.get("x-one")?),
            text(headers.get("x-none")?),
            header_error(headers.get("x-many")).to_owned(),
            all.join("+"),
            many.join("+"),
            entries.to_string(),
            header_error(headers.set("host", "elsewhere.test")).to_owned(),
        ];
        headers.set("x-seen", &seen.join(" "))?;
        headers.set("X-Set", &self.0.greeting)?;
        headers.append("x-many", "added")?;
        headers.remove("x-gone")?;
        Ok(())
    }

    fn page(&self, exchange: &Exchange) -> Decision {
        let parts = [
            self.0.greeting.clone(),
            exchange.method(),
            exchange.scheme(),
            exchange.path(),
            exchange.query().unwrap_or_default(),
            exchange.property_text("route.name").unwrap_or_default(),
            exchange.property("no.such").is_none().to_string(),
            (!exchange.id().is_empty()).to_string(),
        ];
        let reply = Reply::new(200);
        reply.set_body("text/plain", parts.join(" ").as_bytes());
        Decision::Answer(reply)
    }
}

fn rewrite(exchange: &Exchange) -> Result<(), Failure> {
    exchange.set_method("PUT")?;
    exchange.set_path("/rewritten", Some("a=1"))?;
    exchange.set_authority("rewritten.test")?;
    exchange.set_upstream("other")?;
    let unknown = write_error(exchange.set_upstream("elsewhere"));
    exchange.request_headers().set("x-unknown", unknown)?;
    Ok(())
}

fn metadata(exchange: &Exchange) -> Result<(), Failure> {
    exchange.put_metadata("conformance.number", &Scalar::Number(1.5))?;
    exchange.put_metadata("conformance.boolean", &Scalar::Boolean(true))?;
    exchange.put_metadata_text("conformance.text", "caf\u{e9}")?;
    let same = matches!(exchange.get_metadata("conformance.number"), Some(Scalar::Number(1.5)))
        && matches!(exchange.get_metadata("conformance.boolean"), Some(Scalar::Boolean(true)))
        && exchange.metadata_text("conformance.text").as_deref() == Some("caf\u{e9}")
        && exchange.get_metadata("conformance.none").is_none();
    let foreign = write_error(exchange.put_metadata_text("auth.principal", "root"));
    exchange.request_headers().set("x-metadata", &format!("{same} {foreign}"))?;
    Ok(())
}

/// Says what became of a charge to a bucket of its own.
fn limit(exchange: &Exchange) -> Result<Decision, Failure> {
    let hour = 3_600_000;
    let charge = |bucket: &str, burst, cost| limits::Charge {
        bucket: bucket.to_owned(),
        limit: Some(limits::Rate { tokens: burst, period_ms: hour, burst }),
        key: key(exchange),
        cost,
    };
    let verdicts = match case(exchange).as_str() {
        "take" => limits::take(&[charge("requests", 2, 1)]),
        "reserve" => limits::reserve(&[charge("tokens", 100, 40)]),
        _ => limits::peek(&[charge("tokens", 100, 0)]),
    };
    let verdicts = verdicts.map_err(|_| failure("limits", "no verdict"))?;
    let [verdict] = verdicts.as_slice() else { return Err(failure("limits", "not one verdict")) };
    let said = format!("{} {} {}", verdict.allowed, verdict.limit, verdict.remaining);
    if !verdict.allowed {
        let reply = Reply::new(429);
        reply.set_body("text/plain", format!("{said} {}", verdict.retry_after_ms > 0).as_bytes());
        return Ok(Decision::Answer(reply));
    }
    exchange.request_headers().set("x-limit", &said)?;
    Ok(Decision::Next)
}

/// Draws on a bucket of the operator's, and on one that nobody declared.
fn shared(exchange: &Exchange) -> Result<(), Failure> {
    let charge = |bucket: &str| limits::Charge { bucket: bucket.to_owned(), limit: None, key: key(exchange), cost: 1 };
    let remaining = match limits::take(&[charge("declared")]) {
        Ok(verdicts) => verdicts.first().map_or(0, |verdict| verdict.remaining),
        Err(_) => return Err(failure("limits", "no verdict")),
    };
    let unknown = matches!(limits::take(&[charge("undeclared")]), Err(limits::LimitError::UnknownBucket));
    exchange.request_headers().set("x-limit", &format!("{remaining} {unknown}"))?;
    Ok(())
}

fn clock(exchange: &Exchange) -> Result<(), Failure> {
    let is_now = clock::now() > 1_700_000_000_000.0 && clock::now().fract() == 0.0;
    let goes_on = clock::monotonic() <= clock::monotonic();
    exchange.request_headers().set("x-clock", &format!("{is_now} {goes_on}"))?;
    Ok(())
}

fn header_error<T>(result: Result<T, HeaderError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(HeaderError::Repeated) => "repeated",
        Err(HeaderError::NotText) => "not-text",
        Err(HeaderError::Refused) => "refused",
        Err(HeaderError::TooMany) => "too-many",
    }
}

fn write_error<T>(result: Result<T, WriteError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(WriteError::Invalid) => "invalid",
        Err(WriteError::NotFound) => "not-found",
        Err(WriteError::NotGranted) => "not-granted",
        Err(WriteError::TooLarge) => "too-large",
        Err(WriteError::TooLate) => "too-late",
    }
}

fn body_error<T>(result: Result<T, BodyError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(BodyError::NotJson(_)) => "not-json",
        Err(BodyError::BadPatch(_)) => "bad-patch",
        Err(BodyError::TooLarge) => "too-large",
        Err(BodyError::Encoded) => "encoded",
    }
}

export!(Conformance: on_request, on_request_body, on_response, on_response_body, on_event, on_log);
