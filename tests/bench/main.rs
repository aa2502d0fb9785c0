//! `make bench`: what the gateway costs, beside nginx doing the same work in the same run.
//!
//! The machine is small and noisy, so what counts is CPU time per request of the process under test, taken from the
//! scheduler's own account, in rounds that alternate between the subjects.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that fails says so and ends"
)]

mod busy;
mod calls;
mod large;
mod llm;
mod load;
mod neighbour;
mod origin;
mod others;
mod proxies;
mod scale;
mod subject;

use std::time::{Duration, Instant};

use load::{Exchange, Latencies};
use origin::Origin;
use subject::Subject;

/// Keep-alive connections of the load.
const CONNECTIONS: usize = 32;
const ROUNDS: usize = 5;
const EIGHT: &str = "key-auth, eight times";
const EIGHT_WARM: &str = "key-auth, eight times, warm";
const PLUGINS: usize = 100;

fn main() {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3.0);
    let round = Duration::from_secs_f64(seconds);
    let origin = Origin::start();
    println!("{}", machine());
    match std::env::args().nth(2).as_deref() {
        Some("calls") => return calls::memory(&origin),
        Some("llm") => return llm::translate(&origin, round),
        Some("busy") => return busy::while_compiling(&origin),
        Some("neighbour") => return neighbour::beside_a_loop(&origin),
        Some("proxies") => return proxies::beside_others(&origin, round),
        Some("reload") => return reload(&origin),
        Some("scale") => return scale::scale(&origin, round),
        Some("routes") => return scale::beside_routes(&origin, round),
        Some(other) => panic!("{other:?} is no part: calls, busy, llm, neighbour, proxies, reload, routes, scale"),
        None => {}
    }
    cost(&origin, round);
    proxies::beside_others(&origin, round);
    llm::translate(&origin, round);
    scale::scale(&origin, round);
    added_latency(&origin, round);
    added_first_event(&origin);
    reload(&origin);
    start(&origin);
    calls::memory(&origin);
    busy::while_compiling(&origin);
    neighbour::beside_a_loop(&origin);
}

/// From nothing to the first connection that is accepted, with many plugins.
fn start(origin: &Origin) {
    let cache = tempfile::tempdir().unwrap();
    for what in ["and an empty cache", "that are all in the cache"] {
        let subject = Subject::with_plugins(origin.address, PLUGINS, cache.path());
        println!("start with {PLUGINS} plugins {what}: {:.2} s", subject.started_in.as_secs_f64());
        drop(subject);
    }
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown CPU").to_owned();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    format!("{model}, {cores} cores; {ROUNDS} rounds, {CONNECTIONS} connections, one worker\n")
}

/// CPU time per request, in rounds over all subjects.
fn cost(origin: &Origin, round: Duration) {
    let get = Exchange::get("/bytes");
    let chat = Exchange::chat();
    let eight_warm = (1..=8).map(|number| format!("keys-{number}-warm")).collect::<Vec<_>>().join(", ");
    let mut subjects: Vec<(&str, Subject, Exchange)> = Vec::new();
    if let Some(nginx) = Subject::nginx(origin.address) {
        subjects.push(("nginx", nginx, get.clone()));
    }
    for (name, policies, upstream, exchange) in [
        ("bare route", "", "plain", &get),
        ("key-auth", "keys", "plain", &get),
        ("key-auth, warm", "keys-warm", "plain", &get),
        (EIGHT, "keys-1, keys-2, keys-3, keys-4, keys-5, keys-6, keys-7, keys-8", "plain", &get),
        (EIGHT_WARM, &eight_warm, "plain", &get),
        ("key-auth, rate-limit", "keys, per-key", "plain", &get),
        ("key-auth, rate-limit, warm", "keys-warm, per-key-warm", "plain", &get),
        ("key-auth, rate-limit, tenant-router", "keys, per-key, tenants", "plain", &get),
        ("key-auth, rate-limit, tenant-router, warm", "keys-warm, per-key-warm, tenants-warm", "plain", &get),
        ("... and llm-normalize, OpenAI to OpenAI", "keys, per-key, tenants", "openai", &chat),
        ("... and llm-normalize, OpenAI to Anthropic", "keys, per-key, tenants", "claude", &chat),
    ] {
        subjects.push((name, Subject::gateway(origin.address, policies, upstream), exchange.clone()));
    }
    println!("| route | CPU time per request | beside nginx | requests/s at one worker |");
    println!("|---|---|---|---|");
    let found = costs(&subjects.iter().map(|(_, subject, exchange)| (subject, exchange)).collect::<Vec<_>>(), round);
    let base = found.first().map(|found| found.0);
    for ((name, _, _), (cost, rate)) in subjects.iter().zip(&found) {
        let ratio = base.map_or(f64::NAN, |base| cost / base);
        println!("| {name} | {cost:.1} µs | {ratio:.2}× | {rate:.0} |");
    }
    let cost_of = |wanted: &str| {
        let found = subjects.iter().zip(&found).find(|((name, _, _), _)| *name == wanted);
        found.map_or(f64::NAN, |(_, found)| found.0)
    };
    for (isolation, name) in [("fresh", EIGHT), ("warm", EIGHT_WARM)] {
        println!("one call of key-auth, {isolation}: {:.2} µs", (cost_of(name) - cost_of("bare route")) / 8.0);
    }
    for (name, subject, _) in &subjects {
        println!("resident after the load, {name}: {} MiB", subject.resident() >> 20);
    }
    println!();
}

/// CPU time per request in microseconds, and requests a second, of each subject: the medians of rounds over all of them.
pub(crate) fn costs(subjects: &[(&Subject, &Exchange)], round: Duration) -> Vec<(f64, f64)> {
    let mut results: Vec<Vec<(f64, f64)>> = vec![Vec::new(); subjects.len()];
    for (subject, exchange) in subjects {
        load::run(subject.address, exchange, CONNECTIONS, round / 4);
    }
    for _ in 0..ROUNDS {
        for ((subject, exchange), results) in subjects.iter().zip(&mut results) {
            let before = subject.cpu();
            let done = load::run(subject.address, exchange, CONNECTIONS, round);
            let used = subject.cpu() - before;
            results.push((used.as_secs_f64() * 1e6 / done as f64, done as f64 / round.as_secs_f64()));
        }
    }
    let medians = |results: &Vec<(f64, f64)>| {
        (median(results.iter().map(|result| result.0)), median(results.iter().map(|result| result.1)))
    };
    results.iter().map(medians).collect()
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Latency at one connection, and what each subject adds to the origin's own.
fn added_latency(origin: &Origin, round: Duration) {
    let get = Exchange::get("/bytes");
    let gateway = Subject::gateway(origin.address, "", "plain");
    let chain = Subject::gateway(origin.address, "keys, per-key, tenants", "plain");
    println!("idle, one route: {} MiB resident\n", gateway.resident() >> 20);
    println!("| one connection | p50 | p99 | added p50 | added p99 |");
    println!("|---|---|---|---|---|");
    let mut base: Option<Latencies> = None;
    let mut show = |name: &str, address| {
        load::latencies(address, &get, round / 4);
        let found = load::latencies(address, &get, round);
        let base = base.get_or_insert(found);
        let added = |a: Duration, b: Duration| a.saturating_sub(b).as_secs_f64() * 1e6;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (p50, p99) = (added(found.p50, base.p50), added(found.p99, base.p99));
        println!("| {name} | {:.0} µs | {:.0} µs | {p50:.0} µs | {p99:.0} µs |", micros(found.p50), micros(found.p99));
    };
    show("the origin itself", origin.address);
    if let Some(nginx) = Subject::nginx(origin.address) {
        show("nginx", nginx.address);
    }
    show("gateway, bare route", gateway.address);
    show("gateway, key-auth, rate-limit, tenant-router", chain.address);
    println!();
}

/// From the request to the first streamed event.
fn added_first_event(origin: &Origin) {
    let stream = Exchange::stream();
    let claude = Subject::gateway(origin.address, "", "claude");
    let plain = Subject::gateway(origin.address, "", "plain");
    let direct = load::first_events(origin.address, &stream, 200);
    println!("| first event of a stream | p50 | added p50 |");
    println!("|---|---|---|");
    let through = [
        ("the origin itself", direct),
        ("gateway, bare route", load::first_events(plain.address, &stream, 200)),
        ("gateway, translated from Anthropic", load::first_events(claude.address, &stream, 200)),
    ];
    for (name, found) in through {
        let added = found.p50.saturating_sub(direct.p50);
        println!("| {name} | {:.0} µs | {:.0} µs |", found.p50.as_secs_f64() * 1e6, added.as_secs_f64() * 1e6);
    }
    println!();
}

/// From the change of a file to the first request that is served by it.
fn reload(origin: &Origin) {
    let subject = Subject::gateway(origin.address, "keys", "plain");
    let mut config = Vec::new();
    let mut plugin = Vec::new();
    for number in 0..10 {
        let start = Instant::now();
        subject.change_config(number);
        config.push(wait(start, || subject.serves(number)));
        let generation = subject.generation();
        let start = Instant::now();
        subject.change_plugin(number);
        plugin.push(wait(start, || subject.generation() > generation));
    }
    for (what, times) in [("configuration", config), ("plugin", plugin)] {
        let p50 = median(times.iter().map(Duration::as_secs_f64));
        let most = times.iter().max().copied().unwrap_or_default().as_secs_f64();
        println!("from a changed {what} to the first request served by it: p50 {p50:.2} s, most {most:.2} s");
    }
}

fn wait(start: Instant, mut done: impl FnMut() -> bool) -> Duration {
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "the change was never served");
        std::thread::sleep(Duration::from_millis(2));
    }
    start.elapsed()
}
