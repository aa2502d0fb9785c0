//! What another route notices of a policy that loops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::load::{self, Exchange};
use crate::median;
use crate::origin::Origin;
use crate::subject::{Subject, keys, plugin, routes};

/// Requests a second on the other route.
const RATE: u32 = 1_000;
const ROUNDS: usize = 7;
const PART: Duration = Duration::from_secs(4);
/// Clients of the policy that loops, each with the next request as soon as the last was answered.
const LOOPING: usize = 8;

/// The 99th percentile of a route with and without a neighbour whose policy loops at full load, in turns; two workers.
pub(crate) fn beside_a_loop(origin: &Origin) {
    let policies = format!(
        "  keys: {{ plugin: keys, grants: {{ metadata: [auth] }}, config: {{ {} }} }}\n  \
         loop: {{ plugin: hostile, on_failure: open, grants: {{ limits: true, crypto: true }}, config: {{ do: spin }} }}\n",
        keys()
    );
    // It fails open, so that the load gets the answers it wants.
    let (keys, hostile) = (plugin("key-auth"), harness::guest("hostile"));
    let subject = Subject::with_two_workers(&[("keys", &keys), ("hostile", &hostile)], |address, admin| {
        let config = routes(address, admin, origin.address, (&policies, &[("/loop", "loop"), ("/", "keys")]));
        // Quarantine would end the measurement before it begins.
        format!("{config}plugins: {{ quarantine: {{ faults: 0 }} }}\n")
    });
    let (get, spin) = (Exchange::get("/bytes"), Exchange::get("/loop"));
    load::at_rate(subject.address, &get, RATE, &|start: Instant| start.elapsed() > PART / 4);
    println!("| {RATE} requests/s through key-auth | p50 | p99 | p99 beside a policy that loops | ratio |");
    println!("|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let quiet = load::at_rate(subject.address, &get, RATE, &|start: Instant| start.elapsed() > PART);
        let done = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    load::run(subject.address, &spin, LOOPING, Duration::from_millis(200));
                }
            });
            std::thread::sleep(PART / 8);
            let beside = load::at_rate(subject.address, &get, RATE, &|start: Instant| start.elapsed() > PART);
            done.store(true, Ordering::Relaxed);
            beside
        });
        let ratio = beside.p99.as_secs_f64() / quiet.p99.as_secs_f64();
        ratios.push(ratio);
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (p50, p99, beside) = (micros(quiet.p50), micros(quiet.p99), micros(beside.p99));
        println!("| round {round} | {p50:.0} µs | {p99:.0} µs | {beside:.0} µs | {ratio:.2} |");
    }
    println!("p99 beside a policy that loops: {:.2}×, the median of {ROUNDS} rounds\n", median(ratios.into_iter()));
}
