//! Stores: what one call writes, the next one reads, within what is granted and configured.

use harness::{Client, Gateway, Protocol, eventually, gatewright};

use super::folder_with;

const STORES: &str = "kv: { shared: {}, small: { entries: 2, bytes: 1KiB }, other: {} }";

fn config(stores: &str, more: &str) -> String {
    format!(
        r#"plugins: {{ folder: plugins }}
{stores}
policies:
  first: {{ plugin: keeper, grants: {{ kv: [shared, small] }}, limits: {{ deadline: 1s }} }}
  second: {{ plugin: keeper, grants: {{ kv: [shared] }}, limits: {{ deadline: 1s }} }}
  {more}
upstreams: {{ none: {{ endpoints: [{{ url: "http://127.0.0.1:1" }}] }} }}
routes:
  - {{ name: first, match: {{ path: {{ exact: /first }} }}, policies: [first], upstream: none }}
  - {{ name: second, match: {{ path: {{ exact: /second }} }}, policies: [second], upstream: none }}
"#
    )
}

fn gateway() -> Gateway {
    Gateway::start_in(folder_with(&["keeper"]), &config(STORES, ""))
}

/// What the keeper at a path says to a deed.
#[track_caller]
fn told(client: &mut Client, path: &str, deed: &str) -> String {
    let reply = client.get(path, &[("x-do", deed)]);
    assert_eq!(reply.status, 200, "{deed}: {}", reply.text());
    reply.text()
}

#[test]
fn what_one_policy_writes_another_reads_on_any_worker() {
    let gateway = gateway();
    let mut clients = Protocol::ALL.map(|protocol| Client::connect(gateway.address(), protocol));
    for (index, client) in clients.iter_mut().enumerate() {
        assert!(told(client, "/first", &format!("set shared k value-{index} -")).starts_with("version "));
    }
    for client in &mut clients {
        assert!(told(client, "/second", "get shared k").starts_with("value-1 version "));
    }
    let [first, second] = &mut clients;
    assert_eq!(told(first, "/second", "delete shared k"), "true");
    assert_eq!(told(second, "/first", "get shared k"), "nothing");
    assert_eq!(told(second, "/first", "delete shared k"), "false");
}

#[test]
fn a_swap_writes_only_over_the_version_it_names() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let first = told(&mut client, "/first", "swap shared k - one -");
    let version = first.strip_prefix("version ").unwrap();
    assert_eq!(told(&mut client, "/first", "swap shared k - two -"), "conflict");
    let second = told(&mut client, "/second", &format!("swap shared k {version} two -"));
    assert_ne!(first, second);
    assert_eq!(told(&mut client, "/first", &format!("swap shared k {version} three -")), "conflict");
    assert_eq!(told(&mut client, "/first", "get shared k"), format!("two {second}"));
    assert_eq!(told(&mut client, "/first", "swap shared k 1.5 three -"), "invalid");
}

#[test]
fn no_addition_is_lost_between_workers() {
    let gateway = gateway();
    let address = gateway.address();
    std::thread::scope(|scope| {
        for path in ["/first", "/second", "/first", "/second"] {
            scope.spawn(move || {
                let mut client = Client::connect(address, Protocol::Http1);
                for _ in 0..200 {
                    told(&mut client, path, "add shared n 2 -");
                }
            });
        }
    });
    let mut client = Client::connect(address, Protocol::Http2);
    assert_eq!(told(&mut client, "/first", "add shared n -600 -"), "1000");
    assert!(told(&mut client, "/first", "get shared n").starts_with("1000 version "));
    assert_eq!(told(&mut client, "/first", "add shared n 0.5 -"), "invalid");
    assert_eq!(told(&mut client, "/first", "add shared n 9007199254740992 -"), "too-large");
    told(&mut client, "/first", "set shared text abc -");
    assert_eq!(told(&mut client, "/first", "add shared text 1 -"), "not-a-number");
}

#[test]
fn an_entry_goes_when_its_time_is_over_and_a_full_store_takes_no_more() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    told(&mut client, "/first", "set small stays v 3600000");
    told(&mut client, "/first", "set small goes v 1");
    eventually("the entry expires", || (told(&mut client, "/first", "get small goes") == "nothing").then_some(()));
    assert!(told(&mut client, "/first", "set small new v -").starts_with("version "), "what expired makes room");
    assert_eq!(told(&mut client, "/first", "set small more v -"), "full");
    assert_eq!(told(&mut client, "/first", "large small new 1100"), "full");
    assert!(told(&mut client, "/first", "get small new").starts_with("v "), "a refused write changes nothing");
    assert_eq!(told(&mut client, "/first", "large shared k 262145"), "too-large");
    assert_eq!(told(&mut client, "/first", "large shared k 262144"), "written");
    let long = "k".repeat(257);
    assert_eq!(told(&mut client, "/first", &format!("get shared {long}")), "invalid");
}

#[test]
fn a_store_that_is_not_granted_is_out_of_reach() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for store in ["other", "small", "unheard-of"] {
        assert_eq!(told(&mut client, "/second", &format!("get {store} k")), "not-granted", "{store}");
    }
}

/// Unlike what a policy writes to its exchange: nobody could take a counter back that others have added to.
#[test]
fn a_write_stays_although_its_call_traps() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let reply = client.get("/first", &[("x-do", "set shared k kept - trap")]);
    assert_eq!(reply.reason(), Some("policy-trapped"));
    assert!(told(&mut client, "/first", "get shared k").starts_with("kept "));
}

#[test]
fn a_reload_keeps_what_is_in_a_store_that_is_still_configured() {
    let gateway = gateway();
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    told(&mut client, "/first", "set shared k kept -");
    told(&mut client, "/first", "set small k too -");
    let file = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let apply = |stores: &str| {
        std::fs::write(&file, text.replace(STORES, stores)).unwrap();
        let reply = gateway.admin_post("/reload");
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    // Tighter bounds hold at once.
    apply("kv: { shared: { entries: 1, ttl: 1h }, small: {}, renamed: {} }");
    assert!(told(&mut client, "/second", "get shared k").starts_with("kept "));
    assert_eq!(told(&mut client, "/second", "set shared l v -"), "full");
    assert!(told(&mut client, "/first", "get small k").starts_with("too "));
}

#[test]
fn what_is_wrong_with_stores_is_said_with_its_line() {
    let cases = [
        (STORES, "third: { plugin: keeper, grants: { kv: [sharde] } }", "unknown store \"sharde\""),
        (STORES, "third: { plugin: keeper }", "uses kv, which is not granted: add `grants: { kv: [NAME] }`"),
        (
            STORES,
            "third: { plugin: keeper, grants: { kv: [shared] }, config: { open_early: shared } }",
            "kv cannot be used at load time",
        ),
        ("kv: { shared: { ttl: 10ms }, small: {} }", "", "ttl must be at least 1s"),
        ("kv: { shared: { bytes: 0 }, small: {} }", "", "bytes must be from 1 to 64GiB"),
        ("kv: { shared: { entries: 0 }, small: {} }", "", "entries"),
    ];
    for (stores, more, said) in cases {
        let folder = folder_with(&["keeper"]);
        let file = folder.path().join("gateway.yaml");
        let text = format!("listeners: [{{ address: \"127.0.0.1:0\" }}]\n{}", config(stores, more));
        std::fs::write(&file, text).unwrap();
        let output = gatewright().arg("check").arg("--config").arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}: {text}");
        assert!(text.contains(said) && text.contains("gateway.yaml:"), "{said} is not in:\n{text}");
    }
}
