//! What memory concurrent calls hold.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::load::{Exchange, Held};
use crate::origin::Origin;
use crate::subject::Subject;

/// Calls that wait at once.
const CALLS: usize = 400;
/// Policies that each keep one instance.
const KEPT: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory of each concurrent call: a small policy in Rust that waits for an upstream, and an instance in JavaScript.
pub(crate) fn memory(origin: &Origin) {
    println!("| at once | KiB each | in 1 GiB |");
    println!("|---|---|---|");
    let show = |what: &str, bytes: f64| {
        println!("| {what} | {:.0} | {:.0} |", bytes / 1024.0, f64::from(1 << 30) / bytes);
    };
    let bare = waiting(origin, "[]", &Exchange::get("/held"), 0);
    show("requests that wait, without a policy", bare);
    let told = Exchange::get_with("/", "x-do: send plain GET /held timeout=9000\r\n");
    let called = waiting(origin, "[caller]", &told, CALLS);
    show("requests that wait in a call of a Rust policy", called);
    show("of which the call", called - bare);
    if let Some(bytes) = kept(origin) {
        show("warm instances in JavaScript", bytes);
    }
    println!();
}

/// Resident bytes of each of many requests that wait for the origin, and hold so many instances.
fn waiting(origin: &Origin, policies: &str, exchange: &Exchange, instances: usize) -> f64 {
    let caller = harness::guest("caller");
    let subject = Subject::with(&[("caller", &caller)], |address, admin| {
        let grants = "grants: { http: [plain], kv: [news], secrets: [], limits: true }, limits: { deadline: 10s, http_timeout: 9s, http_requests: 1000 }";
        config((address, admin, origin.address), (&format!("  caller: {{ plugin: caller, {grants} }}\n"), policies))
    });
    // The first request is the one that everything is set up for.
    let until = Instant::now() + PATIENCE;
    let held = Held::start(subject.address, exchange, 1);
    wait("the first waits", until, || origin.holds() == 1);
    origin.let_go();
    held.finish();
    let before = subject.resident();
    let held = Held::start(subject.address, exchange, CALLS);
    wait("all wait", until, || origin.holds() == CALLS);
    assert_eq!(subject.figure("gatewright_instances"), f64::from(u32::try_from(instances).unwrap()));
    let bytes = subject.resident() - before;
    origin.let_go();
    held.finish();
    bytes as f64 / CALLS as f64
}

/// Resident bytes of each warm instance of the policy in JavaScript, if it can be built here.
fn kept(origin: &Origin) -> Option<f64> {
    let plugin = harness::example("javascript")?;
    let policies = |count: usize| (0..count).map(|number| format!("js-{number}")).collect::<Vec<_>>();
    let uses: String = policies(KEPT + 1)
        .iter()
        .map(|name| {
            let limits = "limits: { deadline: 1s, memory: 64MiB }, grants: { limits: true, metadata: [conformance] }";
            format!("  {name}: {{ plugin: js, isolation: warm, {limits}, config: {{ greeting: hello }} }}\n")
        })
        .collect();
    let subject = Subject::with(&[("js", &plugin)], |address, admin| {
        let mut config = config((address, admin, origin.address), (&uses, &format!("[js-{KEPT}]")));
        let all = policies(KEPT).join(", ");
        config.push_str(&format!(
            "  - {{ name: all, match: {{ path: {{ prefix: /all }} }}, policies: [{all}], upstream: plain }}\n"
        ));
        config
    });
    assert_eq!(harness::http_get(subject.address, "/").status, 200);
    let before = (subject.resident(), subject.figure("gatewright_kept_instances"));
    assert_eq!(harness::http_get(subject.address, "/all").status, 200);
    let after = (subject.resident(), subject.figure("gatewright_kept_instances"));
    Some((after.0 - before.0) as f64 / (after.1 - before.1))
}

fn config((address, admin, origin): (SocketAddr, SocketAddr, SocketAddr), (uses, policies): (&str, &str)) -> String {
    format!(
        "listeners: [{{ address: \"{address}\" }}]\nadmin: {{ address: \"{admin}\" }}\naccess_log: {{ to: \"off\" }}\n\
         kv: {{ news: {{}} }}\nlimits: {{ declared: {{ tokens: 5, per: 1h }} }}\npolicies:\n{uses}\
         upstreams: {{ plain: {{ endpoints: [{{ url: \"http://{origin}\" }}] }} }}\n\
         routes:\n  - {{ name: bench, policies: {policies}, upstream: plain }}\n"
    )
}

fn wait(what: &str, until: Instant, mut done: impl FnMut() -> bool) {
    while !done() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
