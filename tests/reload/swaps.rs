//! Swaps under load: no request notices, and each is answered by one version.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Client, Origin, Protocol, eventually};

use super::{answer, config, figure, save, stamp, stamped, stamping};

/// Whether the long forms are asked for.
pub(super) fn is_soak() -> bool {
    std::env::var_os("GATEWRIGHT_SOAK").is_some_and(|soak| soak == "1")
}

/// Asks on one connection until told to stop, and checks that one version made all of each answer.
fn keep_asking(address: SocketAddr, protocol: Protocol, path: &str, (stop, asked): (&AtomicBool, &AtomicUsize)) {
    let mut client = Client::connect(address, protocol);
    while !stop.load(Ordering::Relaxed) {
        let reply = client.get(path, &[]);
        assert_eq!(reply.status, 200, "{reply:?}");
        let stamp = reply.header("x-stamp-answered").unwrap();
        assert_eq!(reply.header("x-stamp-asked"), Some(stamp), "two versions in one exchange");
        if path == "/events" {
            assert_eq!(reply.text(), format!("data: one {stamp}\n\ndata: two {stamp}\n\n").repeat(20));
        } else {
            assert_eq!(reply.text(), "ok");
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers `/events` with forty events, anything else with `ok`.
fn origin() -> Origin {
    let events = "data: one\n\ndata: two\n\n";
    let chunk = format!("{:x}\r\n{events}\r\n", events.len());
    Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            if request.line.contains("/events") {
                conversation
                    .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
                for _ in 0..20 {
                    conversation.send(&chunk);
                }
                conversation.send("0\r\n\r\n");
            } else {
                conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    })
}

#[test]
fn swapping_a_hundred_times_under_load_fails_no_request() {
    let swaps = if is_soak() { 100 } else { 10 };
    let origin = origin();
    let gateway = stamping(&origin);
    let address = gateway.address();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for protocol in Protocol::ALL {
            for path in ["/", "/events"] {
                let state = (&stop, &asked);
                clients.push(scope.spawn(move || keep_asking(address, protocol, path, state)));
            }
        }
        for swap in 1..=swaps {
            let label = format!("swap-{swap}");
            save(&gateway.folder().join("plugins/stamp.wasm"), stamp(swap));
            save(&gateway.folder().join("gateway.yaml"), config(&origin.url(), &label));
            eventually("the swap", || {
                // A client that failed has ended; there is no use in going on.
                let is_over = clients.iter().any(std::thread::ScopedJoinHandle::is_finished);
                (is_over || answer(&gateway) == stamped(swap, &label)).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked > 10 * swaps, "only {asked} requests in {swaps} swaps");
    eventually("the old generations are gone", || (figure(&gateway, "gatewright_generations") == 1.0).then_some(()));
}
