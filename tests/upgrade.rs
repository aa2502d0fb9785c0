//! A new process takes over while traffic flows: nothing fails, and where the new one cannot serve the old one does.

mod traffic;

use std::os::unix::net::UnixStream;

use harness::{Gateway, Origin, Process, Wire, eventually, gatewright, http_get};

use traffic::{Traffic, mixed_origin};

fn config(origin: &Origin, label: &str, more: &str) -> String {
    format!(
        "{more}\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\nadmin: {{ address: \"127.0.0.1:0\" }}\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}], headers: {{ x-label: {label:?} }} }} }}\n\
         routes: [{{ name: all, upstream: origin, websocket: true }}]\n",
        origin.url()
    )
}

fn write(gateway: &Gateway, text: &str) {
    std::fs::write(gateway.folder().join("gateway.yaml"), text).unwrap();
}

/// The newest label that an upstream was sent.
fn label(gateway: &Gateway, origin: &Origin) -> String {
    assert_eq!(http_get(gateway.address(), "/x").status, 200);
    origin.take().requests.last().unwrap().values("x-label").join("|")
}

/// Reloads and upgrades under load: each upgrade is one more generation of processes.
fn change_under_load(reloads: usize, upgrades: usize, requests: u64) {
    let origin = mixed_origin();
    let gateway = Gateway::start(&config(&origin, "0", ""));
    let traffic = Traffic::start(gateway.address());
    traffic.wait_for_all();
    for index in 1..=reloads {
        write(&gateway, &config(&origin, &index.to_string(), ""));
        assert_eq!(gateway.admin_post("/reload").status, 200);
        if index * upgrades / reloads > (index - 1) * upgrades / reloads {
            let answer = gateway.admin_post("/upgrade");
            assert_eq!(answer.status, 200, "{}", answer.text());
            traffic.wait_for_all();
        }
    }
    while traffic.requests() < requests {
        traffic.wait_for_all();
    }
    let report = traffic.stop();
    assert_eq!(report.failures, [""; 0], "{report:?}");
    assert!(report.requests >= requests, "{report:?}");
    // Whoever keeps a connection was told to leave it, each time.
    assert!(report.moved >= upgrades as u64, "{report:?}");
    show(&format!("{reloads} reloads, {upgrades} upgrades: 0 of {} requests failed", report.requests));
    assert_eq!(label(&gateway, &origin), reloads.to_string());
}

#[expect(clippy::print_stderr, reason = "the long form shows its figures")]
fn show(text: &str) {
    eprintln!("{text}");
}

#[test]
fn nothing_fails_over_reloads_and_upgrades() {
    change_under_load(20, 3, 1);
}

#[test]
fn soak_of_a_thousand_reloads_and_twenty_upgrades() {
    if std::env::var_os("GATEWRIGHT_SOAK").is_some() {
        change_under_load(1_000, 20, 1_000_000);
    }
}

#[test]
fn a_successor_that_cannot_serve_changes_nothing_and_says_why() {
    let origin = Origin::ok();
    let gateway = Gateway::start(&config(&origin, "first", ""));
    write(&gateway, "routes: [{ name: all, upstream: nowhere }]\n");
    let answer = gateway.admin_post("/upgrade");
    assert_eq!(answer.status, 422);
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("nowhere") && error.contains("gateway.yaml:1"), "{error}");
    assert_eq!(gateway.admin_get("/status").json()["upgrade_failure"]["error"], error.as_str());
    let output = gatewright().args(["status", "--admin", &gateway.admin.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the newest upgrade failed") && text.contains("nowhere"), "{text}");
    assert_eq!((label(&gateway, &origin), gateway.admin_get("/ready").status), ("first".to_owned(), 200));
    // By the signal as well, and then one that can.
    gateway.process.upgrade();
    gateway.process.stderr.wait_for("the second failure", {
        let mut failures = 0;
        move |line| {
            failures += usize::from(line.contains("upgrade failed"));
            (failures == 2).then_some(())
        }
    });
    write(&gateway, &config(&origin, "second", ""));
    let output = gatewright().args(["upgrade", "--admin", &gateway.admin.to_string()]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("handed over to process "), "{text}");
    assert_eq!(label(&gateway, &origin), "second");
    assert!(gateway.admin_get("/status").json()["upgrade_failure"].is_null());
}

#[test]
fn what_is_under_way_ends_in_the_old_process() {
    let origin = mixed_origin();
    let gateway = Gateway::start(&config(&origin, "first", ""));
    let mut idle = Wire::connect(gateway.address());
    idle.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(idle.reply().status, 200);
    let mut stream = Wire::connect(gateway.address());
    stream.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(stream.read_head().unwrap().status, 200);
    gateway.process.upgrade();
    gateway.process.stderr.wait_for("the old one drains", |line| line.contains("\"draining\"").then_some(()));
    idle.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let reply = idle.reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    let mut events = 0;
    while stream.chunk().is_some() {
        events += 1;
    }
    assert_eq!(events, traffic::EVENTS);
    assert_eq!(http_get(gateway.address(), "/x").header("connection"), Some("close"), "the client asked for it");
    // Until the last of its workers has let go, the old process may take a connection as well.
    eventually("a connection that is kept", || {
        let mut fresh = Wire::connect(gateway.address());
        fresh.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        fresh.reply().header("connection").is_none().then_some(())
    });
    gateway.process.stderr.wait_for("the old one's end", |line| line.contains("\"stopped\"").then_some(()));
}

#[test]
fn the_file_of_a_unix_socket_goes_over_too() {
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    let text = format!(
        "listeners: [{{ address: 127.0.0.1:0 }}, {{ address: \"unix:{}\" }}]\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        path.display(),
        origin.url()
    );
    let gateway = Gateway::start_in(folder, &text);
    for _ in 0..2 {
        assert_eq!(gateway.admin_post("/upgrade").status, 200);
        let stopped = || gateway.process.stderr.all().iter().filter(|line| line.contains("\"stopped\"")).count();
        eventually("the old one's end", || (stopped() > 0).then_some(()));
        UnixStream::connect(&path).unwrap();
        assert_eq!(http_get(gateway.address(), "/x").status, 200);
    }
}

/// An environment that names a predecessor where there is none is no reason to hang.
#[test]
fn a_process_without_a_predecessor_says_so() {
    let mut command = gatewright();
    command.args(["run", "--config", "none.yaml"]).env("GATEWRIGHT_HANDOVER", "stdin");
    let mut process = Process::start(command);
    assert!(!process.wait().success());
    let text = process.stderr.all().join("\n");
    assert!(text.contains("predecessor"), "{text}");
}
