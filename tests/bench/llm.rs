//! What `llm-normalize` costs: requests of several sizes from dialect to dialect, and streams.

use std::net::SocketAddr;
use std::time::Duration;

use crate::costs;
use crate::load::{self, Exchange};
use crate::origin::Origin;
use crate::subject::{Subject, plugin};

/// Upstreams, each with a policy of its name, which is the dialect it speaks.
const DIALECTS: [&str; 6] = ["openai", "openai-responses", "anthropic", "gemini", "bedrock", "cohere"];

/// A client's dialect, the path that says so, and the upstream's dialect.
const PAIRS: [(&str, &str, &str); 9] = [
    ("Chat Completions", "chat/completions", "openai"),
    ("Messages", "messages", "anthropic"),
    ("Chat Completions", "chat/completions", "anthropic"),
    ("Chat Completions", "chat/completions", "gemini"),
    ("Chat Completions", "chat/completions", "bedrock"),
    ("Chat Completions", "chat/completions", "cohere"),
    ("Chat Completions", "chat/completions", "openai-responses"),
    ("Messages", "messages", "openai"),
    ("Responses", "responses", "openai"),
];

/// Streams at once, of `paced` events.
const STREAMS: usize = 64;

/// CPU time of whole requests and of events, and what events lose on their way.
pub(crate) fn translate(origin: &Origin, round: Duration) {
    let nginx = Subject::nginx(origin.address);
    let normalize = plugin("llm-normalize");
    let gateway = Subject::with(&[("llm-normalize", &normalize)], |address, admin| {
        config((address, admin, origin.address), "fresh")
    });
    let warm = Subject::with(&[("llm-normalize", &normalize)], |address, admin| {
        config((address, admin, origin.address), "warm")
    });
    println!("| client | upstream | body | bare route | fresh | warm | fresh beside nginx |");
    println!("|---|---|---|---|---|---|---|");
    for size in [1, 16, 256] {
        for (client, path, dialect) in PAIRS {
            let body = body(path, size);
            let bare = Exchange::post(&format!("/plain/v1/{path}"), &body);
            let translated = Exchange::post(&format!("/{dialect}/v1/{path}"), &body);
            let mut subjects = vec![(&gateway, &bare), (&gateway, &translated), (&warm, &translated)];
            subjects.extend(nginx.as_ref().map(|nginx| (nginx, &bare)));
            let found: Vec<f64> = costs(&subjects, round).into_iter().map(|(cost, _)| cost).collect();
            let [base, fresh, warm, ..] = found[..] else { return };
            let beside = found.get(3).map_or(f64::NAN, |nginx| fresh / nginx);
            let (kib, fresh, warm) = (body.len() >> 10, fresh - base, warm - base);
            println!(
                "| {client} | {dialect} | {kib} KiB | {base:.1} µs | +{fresh:.1} µs | +{warm:.1} µs | {beside:.2}× |"
            );
        }
    }
    println!();
    streams(origin, &gateway);
    first_events(origin, &gateway);
}

/// CPU time of each event, and how long it is on its way, where many streams have one every 20 ms.
fn streams(origin: &Origin, gateway: &Subject) {
    println!("| {STREAMS} streams, an event each 20 ms | CPU time of an event | lag p50 | lag p99 |");
    println!("|---|---|---|---|");
    let paced = |path: &str| {
        Exchange::post(
            path,
            r#"{"model":"paced","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"hi"}]}"#,
        )
    };
    let show = |name: &str, address: SocketAddr, path: &str| {
        let before = gateway.cpu();
        let found = load::paced(address, &paced(path), STREAMS);
        let cost = (gateway.cpu() - before).as_secs_f64() * 1e6 / found.events as f64;
        let [p50, p99] = [found.lag.p50, found.lag.p99].map(|time| time.as_secs_f64() * 1e6);
        println!("| {name} | {cost:.1} µs | {p50:.0} µs | {p99:.0} µs |");
    };
    show("the origin itself", origin.address, "/v1/messages");
    show("bare route", gateway.address, "/plain/v1/messages");
    show("Chat Completions to openai", gateway.address, "/openai/v1/chat/completions");
    show("Chat Completions to anthropic", gateway.address, "/anthropic/v1/chat/completions");
    show("Messages to openai", gateway.address, "/openai/v1/messages");
    println!();
}

/// From the request to the first event of a stream, beside the origin itself.
fn first_events(origin: &Origin, gateway: &Subject) {
    let body = r#"{"model":"fast","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"hi"}]}"#;
    let through = [
        ("the origin itself", origin.address, "/v1/messages"),
        ("bare route", gateway.address, "/plain/v1/messages"),
        ("Messages to anthropic", gateway.address, "/anthropic/v1/messages"),
        ("Chat Completions to anthropic", gateway.address, "/anthropic/v1/chat/completions"),
    ];
    println!("| first event | p50 | p99 | added p50 | added p99 |");
    println!("|---|---|---|---|---|");
    let mut base = None;
    for (name, address, path) in through {
        let found = load::first_events(address, &Exchange::post(path, body), 1_000);
        let base = base.get_or_insert(found);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let [p50, p99] = [(found.p50, base.p50), (found.p99, base.p99)].map(|(a, b)| micros(a) - micros(b));
        println!("| {name} | {:.0} µs | {:.0} µs | {p50:.0} µs | {p99:.0} µs |", micros(found.p50), micros(found.p99));
    }
    println!();
}

/// A request of about so many KiB: the smallest has two short messages, the next one tools and calls of them, and the
/// largest a long conversation.
fn body(path: &str, kib: usize) -> String {
    let text = |bytes: usize| "Tell me something about \\\"gateways\\\", please. ".repeat(bytes.div_ceil(47));
    let messages: Vec<String> = match kib {
        1 => vec![user(&text(800))],
        16 => vec![user(&text(2_000)), assistant(&text(2_000)), user(&text(2_000))],
        _ => (0..32).flat_map(|_| [user(&text(4_000)), assistant(&text(4_000))]).chain([user("Go on.")]).collect(),
    };
    let tools: Vec<String> = (0..if kib == 16 { 12 } else { 0 }).map(|number| tool(path, number)).collect();
    let tools = if tools.is_empty() { String::new() } else { format!(r#","tools":[{}]"#, tools.join(",")) };
    let (messages, bound) = match path {
        "responses" => (format!(r#""input":[{}]"#, messages.join(",")), "max_output_tokens"),
        _ => (format!(r#""messages":[{}]"#, messages.join(",")), "max_tokens"),
    };
    format!(r#"{{"model":"fast","{bound}":200,{messages}{tools}}}"#)
}

fn user(text: &str) -> String {
    format!(r#"{{"role":"user","content":"{text}"}}"#)
}

fn assistant(text: &str) -> String {
    format!(r#"{{"role":"assistant","content":"{text}"}}"#)
}

/// A tool with a schema of some 700 bytes.
fn tool(path: &str, number: usize) -> String {
    let fields: Vec<String> = (0..6)
        .map(|field| format!(r#""field_{field}":{{"type":"string","description":"What the field number {field} is for, in a few words"}}"#))
        .collect();
    let schema = format!(r#"{{"type":"object","properties":{{{}}},"required":["field_0"]}}"#, fields.join(","));
    let name = format!(r#""name":"tool_{number}","description":"Does what the tool number {number} does""#);
    match path {
        "messages" => format!(r#"{{{name},"input_schema":{schema}}}"#),
        "responses" => format!(r#"{{"type":"function",{name},"parameters":{schema},"strict":false}}"#),
        _ => format!(r#"{{"type":"function","function":{{{name},"parameters":{schema}}}}}"#),
    }
}

/// A route to the origin without a policy, and one for each dialect of upstreams.
fn config((address, admin, origin): (SocketAddr, SocketAddr, SocketAddr), isolation: &str) -> String {
    let endpoints = format!("endpoints: [{{ url: \"http://{origin}\" }}]");
    let (mut policies, mut upstreams, mut routes) = (String::new(), String::new(), String::new());
    for dialect in DIALECTS {
        let uses = "grants: { metadata: [llm] }, limits: { deadline: 1s, body_deadline: 1s }";
        let settings = format!("config: {{ dialect: {dialect}, models: {{ fast: m }} }}");
        policies.push_str(&format!(
            "  {dialect}: {{ plugin: llm-normalize, isolation: {isolation}, {uses}, {settings} }}\n"
        ));
        upstreams.push_str(&format!("  {dialect}: {{ {endpoints}, policies: [{dialect}] }}\n"));
    }
    upstreams.push_str(&format!("  plain: {{ {endpoints} }}\n"));
    for upstream in DIALECTS.into_iter().chain(["plain"]) {
        routes.push_str(&format!(
            "- {{ name: {upstream}, match: {{ path: {{ prefix: /{upstream} }} }}, rewrite: {{ prefix: / }}, upstream: {upstream} }}\n"
        ));
    }
    format!(
        "listeners: [{{ address: \"{address}\" }}]\nadmin: {{ address: \"{admin}\" }}\naccess_log: {{ to: \"off\" }}\n\
         policies:\n{policies}upstreams:\n{upstreams}routes:\n{routes}"
    )
}
