//! `gatewright status`, `reload` and `upgrade`: asks a running gateway at its admin address.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::check::FAULTY;
use super::{AskArgs, Format, print};
use crate::body::{Body, gather_apart};
use crate::error::Reason;

/// Compiling a large plugin takes seconds, a successor with many of them minutes.
const PATIENCE: Duration = Duration::from_secs(200);
const ANSWER_BYTES_MAX: u64 = 16 << 20;

pub(super) fn status(args: &AskArgs) -> anyhow::Result<u8> {
    let (_, status) = ask(args, Method::GET, "/status")?;
    if args.format == Format::Json {
        return print(&format!("{status:#}"));
    }
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
    let mut lines = vec![format!(
        "gatewright {}, generation {}, since {}, {}",
        text(&status, "version"),
        status.get("generation").unwrap_or(&Value::Null),
        text(&status, "applied_at"),
        short(&text(&status, "hash")),
    )];
    let mut broken = false;
    for plugin in status.get("plugins").and_then(Value::as_array).into_iter().flatten() {
        let (name, hash) = (text(plugin, "name"), text(plugin, "hash"));
        let mut line = match plugin.get("loaded_at").and_then(Value::as_str) {
            Some(loaded) => format!("plugin {name:20} {} loaded {loaded}", short(&hash)),
            None => format!("plugin {name:20} is not in use"),
        };
        if let Some(error) = plugin.get("last_error").and_then(Value::as_str) {
            let (hash, since) = (text(plugin, "refused_hash"), text(plugin, "refused_at"));
            line.push_str(&format!("\n  its newest file ({}) does not serve, since {since}: {error}", short(&hash)));
            broken = true;
        }
        lines.push(line);
    }
    let error = status.get("last_error").filter(|error| !error.is_null());
    if let Some(error) = error {
        lines.push(format!("the newest configuration does not serve, since {}:", text(error, "at")));
        lines.push(faults(error));
    }
    if let Some(kept) = status.get("restored").and_then(Value::as_str) {
        lines.push(format!("what serves is the last good configuration of an earlier run, kept at {kept}"));
    }
    let failure = status.get("upgrade_failure").filter(|failure| !failure.is_null());
    if let Some(failure) = failure {
        lines.push(format!("the newest upgrade failed, at {}: {}", text(failure, "at"), text(failure, "error")));
    }
    print(&lines.join("\n")).map(|code| if error.is_some() || broken { FAULTY } else { code })
}

pub(super) fn reload(args: &AskArgs) -> anyhow::Result<u8> {
    let (code, answer) = ask(args, Method::POST, "/reload")?;
    if args.format == Format::Json {
        print(&format!("{answer:#}"))?;
    } else {
        let result = answer.get("result").and_then(Value::as_str).unwrap_or("?");
        print(&format!("{result}, generation {}", answer.get("generation").unwrap_or(&Value::Null)))?;
        if code == StatusCode::UNPROCESSABLE_ENTITY {
            print(&faults(&answer))?;
        }
    }
    Ok(if code == StatusCode::OK { 0 } else { FAULTY })
}

pub(super) fn upgrade(args: &AskArgs) -> anyhow::Result<u8> {
    let (code, answer) = ask(args, Method::POST, "/upgrade")?;
    if args.format == Format::Json {
        print(&format!("{answer:#}"))?;
    } else if let Some(error) = answer.get("error").and_then(Value::as_str) {
        print(error)?;
    } else {
        print(&format!("handed over to process {}", answer.get("pid").unwrap_or(&Value::Null)))?;
    }
    Ok(if code == StatusCode::OK { 0 } else { 1 })
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn faults(answer: &Value) -> String {
    let mut lines = Vec::new();
    for fault in answer.get("faults").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or("");
        let line = fault.get("line").and_then(Value::as_u64).unwrap_or(0);
        lines.push(format!("  {}:{line}: {}", text("file"), text("message")));
    }
    lines.join("\n")
}

fn ask(args: &AskArgs, method: Method, path: &str) -> anyhow::Result<(StatusCode, Value)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(args.admin).await;
        let stream =
            stream.with_context(|| format!("no gateway at {}: start one, or name its --admin address", args.admin))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "admin connection ended");
            }
        });
        let request = Request::builder().method(method).uri(path).header("host", args.admin.to_string());
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request.body(Empty::<Bytes>::new())?)).await;
        let (parts, body) = answer.context("the gateway does not answer")??.into_parts();
        let body =
            gather_apart(Body::from_upstream(body, PATIENCE, None), ANSWER_BYTES_MAX, Reason::UpstreamTooLarge).await?;
        let Ok(answer) = serde_json::from_slice(body.bytes()) else {
            bail!("{} is no gateway: it answered {}", args.admin, parts.status);
        };
        Ok((parts.status, answer))
    })
}
