//! What requests notice while a large plugin compiles.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::large::enlarge;
use crate::load::{self, Exchange, Latencies};
use crate::median;
use crate::origin::Origin;
use crate::subject::{Subject, keys, plugin, routes};

const LARGE_BYTES: usize = 20_000_000;
/// Requests a second: well below what one worker serves.
const RATE: u32 = 2_000;
const QUIET: Duration = Duration::from_secs(10);
const ROUNDS: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(300);

/// The 99th percentile at a fixed rate through key-auth, with and without a plugin of 20 MB that compiles, in turns.
pub(crate) fn while_compiling(origin: &Origin) {
    let small = plugin("key-auth");
    let settings = format!("grants: {{ metadata: [auth] }}, config: {{ {} }}", keys());
    let policies = format!("  keys: {{ plugin: keys, {settings} }}\n  large: {{ plugin: large, {settings} }}\n");
    let subject = Subject::with(&[("keys", &small), ("large", &small)], |address, admin| {
        routes(address, admin, origin.address, (&policies, &[("/large", "large"), ("/", "keys")]))
    });
    let get = Exchange::get("/bytes");
    load::at_rate(subject.address, &get, RATE, &|start: Instant| start.elapsed() > QUIET / 5);
    println!(
        "| {RATE} requests/s through key-auth | p50 | p99 | p99 beside a loop | p99 while 20 MB compile | ratio | compiled in |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let quiet = load::at_rate(subject.address, &get, RATE, &|start: Instant| start.elapsed() > QUIET);
        let looped = beside_a_loop(&subject, &get);
        let large = enlarge(&small, LARGE_BYTES, seed() + round);
        let (busy, took) = compiling(&subject, &get, &large);
        let ratio = busy.p99.as_secs_f64() / quiet.p99.as_secs_f64();
        ratios.push(ratio);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (p50, p99, looped, busy) = (micros(quiet.p50), micros(quiet.p99), micros(looped.p99), micros(busy.p99));
        println!(
            "| round {round} | {p50:.0} µs | {p99:.0} µs | {looped:.0} µs | {busy:.0} µs | {ratio:.2} | {:.1} s |",
            took.as_secs_f64()
        );
    }
    println!(
        "p99 while 20 MB compile, beside quiet: {:.2}×, the median of {ROUNDS} rounds\n",
        median(ratios.into_iter())
    );
}

/// Latencies beside a process that only counts, at the lowest priority: what is lost to it no scheduler gives back.
fn beside_a_loop(subject: &Subject, exchange: &Exchange) -> Latencies {
    let mut child = Command::new("nice").args(["-n", "19", "sh", "-c", "while :; do :; done"]).spawn().unwrap();
    let latencies = load::at_rate(subject.address, exchange, RATE, &|start: Instant| start.elapsed() > QUIET);
    child.kill().unwrap();
    child.wait().unwrap();
    latencies
}

/// Latencies from the change of the plugin until it serves.
fn compiling(subject: &Subject, exchange: &Exchange, large: &[u8]) -> (Latencies, Duration) {
    let before = subject.generation();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| load::at_rate(subject.address, exchange, RATE, &|_| done.load(Ordering::Relaxed)));
        let start = Instant::now();
        subject.replace_plugin("large", large);
        while subject.generation() == before {
            assert!(start.elapsed() < PATIENCE, "the large plugin never served");
            std::thread::sleep(Duration::from_millis(200));
        }
        let took = start.elapsed();
        done.store(true, Ordering::Relaxed);
        (load.join().unwrap(), took)
    })
}

/// No two runs make the same functions, so that none is served from the cache.
fn seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}
