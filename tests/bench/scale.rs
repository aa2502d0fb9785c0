//! Whether a call costs the same however many policies and plugins there are, and in which language they are.

use std::fmt::Write as _;
use std::time::Duration;

use crate::costs;
use crate::load::Exchange;
use crate::origin::Origin;
use crate::subject::{Subject, keys, marked, plugin, routes};

/// The most plugins.
const PLUGINS: usize = 1_000;
const ROUTES: [usize; 3] = [10, 1_000, 10_000];
const BOTH: &[&str] = &["fresh", "warm"];

/// Chains of equal policies, a chain of four, and a request beside so many plugins.
pub(crate) fn scale(origin: &Origin, round: Duration) {
    let get = Exchange::get("/bytes");
    let mut subjects = vec![("bare".to_owned(), 0, Subject::gateway(origin.address, "", "plain"))];
    for (isolation, suffix) in [("fresh", ""), ("warm", "-warm")] {
        let four = ["keys", "per-key", "tenants", "keys-1"].map(|name| format!("{name}{suffix}")).join(", ");
        let name = format!("key-auth, rate-limit, tenant-router, key-auth, {isolation}");
        subjects.push((name, 1, Subject::gateway(origin.address, &four, "plain")));
        for count in [1, 8, 64] {
            let subject = equal_policies(origin, count, isolation);
            subjects.push((format!("key-auth, {isolation}, {count} policies in a chain"), count, subject));
        }
    }
    let found = costs(&subjects.iter().map(|(_, _, subject)| (subject, &get)).collect::<Vec<_>>(), round);
    let bare = found.first().map_or(f64::NAN, |found| found.0);
    println!("| chain | CPU time per policy over the bare route |");
    println!("|---|---|");
    for ((name, count, _), (cost, _)) in subjects.iter().zip(&found).skip(1) {
        let count = u32::try_from(*count).unwrap();
        println!("| {name} | {:.2} µs |", (cost - bare) / f64::from(count));
    }
    println!();
    drop(subjects);
    beside_plugins(origin, round);
    beside_routes(origin, round);
    languages(origin, round);
}

fn equal_policies(origin: &Origin, count: usize, isolation: &str) -> Subject {
    let mut policies = String::new();
    for number in 1..=count {
        let settings = format!("isolation: {isolation}, grants: {{ metadata: [auth] }}, config: {{ {} }}", keys());
        writeln!(policies, "  keys-{number}: {{ plugin: keys, {settings} }}").unwrap();
    }
    let chain = (1..=count).map(|number| format!("keys-{number}")).collect::<Vec<_>>().join(", ");
    Subject::with(&[("keys", &plugin("key-auth"))], |address, admin| {
        routes(address, admin, origin.address, (&policies, &[("/", &chain)]))
    })
}

/// A request through one policy, with one plugin loaded and with many.
fn beside_plugins(origin: &Origin, round: Duration) {
    let Some(small) = harness::example("c") else { return };
    let get = Exchange::get("/bytes");
    let key = format!("  keys: {{ plugin: keys, grants: {{ metadata: [auth] }}, config: {{ {} }} }}\n", keys());
    let mut subjects: Vec<(usize, Subject)> = Vec::new();
    for count in [1, PLUGINS] {
        let mut plugins = vec![("keys".to_owned(), plugin("key-auth"))];
        let mut policies = key.clone();
        for number in 1..count {
            plugins.push((format!("p{number}"), marked(small.clone(), number)));
            let grants = "grants: { limits: true, metadata: [conformance] }";
            writeln!(policies, "  p{number}: {{ plugin: p{number}, {grants}, config: {{ greeting: hi }} }}").unwrap();
        }
        let plugins: Vec<_> = plugins.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let subject = Subject::with(&plugins, |address, admin| {
            routes(address, admin, origin.address, (&policies, &[("/", "keys")]))
        });
        subjects.push((count, subject));
    }
    let found = costs(&subjects.iter().map(|(_, subject)| (subject, &get)).collect::<Vec<_>>(), round);
    for ((count, subject), (cost, _)) in subjects.iter().zip(&found) {
        let resident = subject.resident() >> 20;
        println!("a request through key-auth, {count} plugins loaded: {cost:.1} µs, {resident} MiB resident");
    }
    println!();
}

/// A request that takes the last of so many routes: a third of them exact, a third prefixes, a third templates, on ten hosts.
pub(crate) fn beside_routes(origin: &Origin, round: Duration) {
    let get = Exchange::get("/last/bytes");
    let mut subjects: Vec<(usize, Subject)> = Vec::new();
    for count in ROUTES {
        let subject = Subject::with(&[], |address, admin| {
            let mut config = routes(address, admin, origin.address, ("  {}\n", &[("/last", "")]));
            for number in 0..count - 1 {
                let path = match number % 3 {
                    0 => format!("exact: \"/group-{number}/bytes\""),
                    1 => format!("prefix: \"/group-{number}\""),
                    _ => format!("template: \"/group-{number}/{{id}}/x\""),
                };
                let hosts = if number % 10 < 5 { String::new() } else { format!("hosts: [h{}.test], ", number % 10) };
                let matches = format!("{{ {hosts}path: {{ {path} }} }}");
                writeln!(config, "- {{ name: r{number}, match: {matches}, upstream: plain }}").unwrap();
            }
            config
        });
        subjects.push((count, subject));
    }
    let found = costs(&subjects.iter().map(|(_, subject)| (subject, &get)).collect::<Vec<_>>(), round);
    for ((count, subject), (cost, _)) in subjects.iter().zip(&found) {
        let (started, resident) = (subject.started_in.as_secs_f64(), subject.resident() >> 20);
        println!(
            "a request on one of {count} routes: {cost:.1} µs, {resident} MiB resident, started in {started:.2} s"
        );
    }
    println!();
}

/// The policies in other languages, by call.
fn languages(origin: &Origin, round: Duration) {
    let get = Exchange::get("/bytes");
    let bare = Subject::gateway(origin.address, "", "plain");
    let mut subjects = vec![("bare".to_owned(), bare)];
    // The policy in C frees nothing, and so is not for warm instances.
    for (language, isolations) in [("c", &["fresh"][..]), ("javascript", BOTH), ("python", BOTH)] {
        let Some(file) = harness::example(language) else { continue };
        for isolation in isolations {
            let limits = "limits: { deadline: 5s, body_deadline: 5s, memory: 128MiB }";
            let grants = "grants: { limits: true, metadata: [conformance] }";
            let policy = format!(
                "  only: {{ plugin: only, isolation: {isolation}, {limits}, {grants}, config: {{ greeting: hi }} }}\n"
            );
            let subject = Subject::with(&[("only", &file)], |address, admin| {
                routes(address, admin, origin.address, (&policy, &[("/", "only")]))
            });
            subjects.push((format!("{language}, {isolation}"), subject));
        }
    }
    let before: Vec<_> = subjects.iter().map(|(_, subject)| subject.calls()).collect();
    let requests_before: Vec<_> = subjects.iter().map(|(_, subject)| subject.requests()).collect();
    let found = costs(&subjects.iter().map(|(_, subject)| (subject, &get)).collect::<Vec<_>>(), round);
    let bare = found.first().map_or(f64::NAN, |found| found.0);
    let all = subjects.iter().zip(&found).zip(before.iter().zip(&requests_before));
    for (((name, subject), (cost, _)), (calls, requests)) in all.skip(1) {
        let calls = (subject.calls() - calls) / (subject.requests() - requests);
        println!("one call of the policy in {name}: {:.1} µs ({calls:.0} calls a request)", (cost - bare) / calls);
    }
    println!();
}
