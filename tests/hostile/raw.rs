//! Components that break the rules of the component model, or the bounds that no language lets one reach.
//!
//! Each is a core module of a few instructions around one deed, so that nothing but the deed is wrong with it.

mod deeds;
pub(crate) mod module;

use std::fmt::Write as _;

use harness::{Client, Gateway, Origin, Protocol};
use tempfile::TempDir;

use super::files::{GRANTED, check};
use deeds::deeds;
use module::{GOOD, Parts, handling, module};

/// A gateway with a route `/NAME` for each module. All of them run in fresh instances but those that are named `warm-…`.
fn gateway_with(modules: &[(&str, Parts)], origin: &Origin) -> Gateway {
    let folder: TempDir = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let (mut policies, mut routes) = (String::new(), String::new());
    for (name, parts) in modules {
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), module(parts)).unwrap();
        let isolation = if name.starts_with("warm-") { "warm" } else { "fresh" };
        let limits = "limits: { deadline: 250ms, memory: 1MiB }";
        writeln!(policies, "  {name}: {{ plugin: {name}, isolation: {isolation}, {limits} }}").unwrap();
        let path = format!("{{ path: {{ exact: /{name} }} }}");
        writeln!(routes, "  - {{ name: {name}, match: {path}, policies: [{name}], upstream: origin }}").unwrap();
    }
    let url = origin.url();
    let config = format!(
        "plugins: {{ folder: plugins }}\npolicies:\n{policies}upstreams:\n  origin: {{ endpoints: [{{ url: {url:?} }}] }}\n\
         routes:\n{routes}  - {{ name: calm, match: {{ path: {{ exact: /calm }} }}, upstream: origin }}\n"
    );
    Gateway::start_in(folder, &config)
}

#[test]
fn each_broken_rule_ends_only_its_own_request() {
    let origin = Origin::ok();
    let deeds = deeds();
    assert!(deeds.len() >= 25, "{}", deeds.len());
    let modules: Vec<_> = deeds.iter().map(|(name, parts, _)| (*name, *parts)).collect();
    let gateway = gateway_with(&modules, &origin);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        for (name, _, code) in &deeds {
            let reply = client.get(&format!("/{name}"), &[]);
            assert_eq!(
                (reply.status, reply.reason()),
                (500, Some(*code)),
                "{name} over {protocol:?}: {}",
                reply.text()
            );
            // The same connection serves on.
            assert_eq!(client.get("/calm", &[]).text(), "ok", "after {name}");
        }
    }
    let panicked: Vec<_> = gateway.process.stderr.all().into_iter().filter(|line| line.contains("panicked")).collect();
    assert!(panicked.is_empty(), "{panicked:?}");
}

/// The number of an answer.
fn number(body: &[u8]) -> u32 {
    u32::from_le_bytes(body.try_into().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(body))))
}

#[test]
fn memory_and_tables_grow_to_their_bound_and_not_a_page_further() {
    let origin = Origin::ok();
    let by_page = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (call $drop_exchange (local.get $exchange)) (call $say (memory.size))";
    let at_once = "(local.set $a (memory.grow (i32.const 15))) (local.set $b (memory.grow (i32.const 1)))
        (i32.store8 (i32.const 0x0fffff) (i32.const 1))
        (call $drop_exchange (local.get $exchange))
        (call $say (i32.add (i32.eq (local.get $a) (i32.const 1)) (i32.eq (local.get $b) (i32.const -1))))";
    let table = "(loop $more
          (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 1)) (i32.const -1))))
        (call $drop_exchange (local.get $exchange)) (call $say (table.size $table))";
    let modules = [("pages", handling(by_page)), ("at-once", handling(at_once)), ("table", handling(table))];
    let gateway = gateway_with(&modules, &origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    // 1 MiB is 16 pages; 15 more are granted at once, one more is not.
    for (name, expected) in [("pages", 16), ("at-once", 2), ("table", 20_000)] {
        for _ in 0..3 {
            assert_eq!(number(&client.get(&format!("/{name}"), &[]).body), expected, "{name}");
        }
    }
}

const COUNT: &str = "(call $drop_exchange (local.get $exchange))
    (global.set $kept (i32.add (global.get $kept) (i32.const 1)))
    (call $say (global.get $kept))";

#[test]
fn what_a_call_leaves_behind_is_gone_in_the_next_unless_it_is_kept_warm() {
    let origin = Origin::ok();
    let counting = Parts { configure: "(global.set $kept (i32.const 7)) (i32.const 48)", ..handling(COUNT) };
    let gateway = gateway_with(&[("counts", counting), ("warm-counts", counting)], &origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let ask = |client: &mut Client, path: &str| number(&client.get(path, &[]).body);
    let fresh: Vec<u32> = (0..5).map(|_| ask(&mut client, "/counts")).collect();
    assert_eq!(fresh, [8; 5], "every call starts from what `configure` left");
    let warm: Vec<u32> = (0..5).map(|_| ask(&mut client, "/warm-counts")).collect();
    assert_eq!(warm, [8, 9, 10, 11, 12], "one connection stays on one worker");
}

#[test]
fn a_handle_that_is_kept_past_its_call_never_shows_the_request_it_was_for() {
    let origin = Origin::ok();
    // The first call keeps the request's headers; later ones ask them who it is.
    let keeping = "(if (i32.eqz (global.get $kept)) (then (global.set $kept (call $headers (local.get $exchange)))))
        (call $drop_exchange (local.get $exchange))
        (call $get (global.get $kept) (i32.const 80) (i32.const 5) (i32.const 160))
        (call $answer (i32.load (i32.const 168)) (i32.load (i32.const 172)))";
    let gateway = gateway_with(&[("keeps", handling(keeping)), ("warm-keeps", handling(keeping))], &origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for path in ["/keeps", "/warm-keeps"] {
        for who in ["first", "second", "third"] {
            let reply = client.get(path, &[("x-who", who)]);
            let refused = path == "/warm-keeps" && reply.reason() == Some("policy-trapped");
            assert!(reply.text() == who || refused, "{path}, {who}: {}", reply.text());
        }
    }
}

#[test]
fn a_lie_at_load_time_is_refused_with_its_reason() {
    let starting = |body: &str| -> &'static str { format!("(func $start {body}) (start $start)").leak() };
    let huge =
        "(i32.store (i32.const 40) (i32.const 64)) (i32.store (i32.const 44) (i32.const 0x0fffffff)) (i32.const 32)";
    let cases = [
        ("describe past memory", Parts { describe: "(i32.const 0x7ffffff0)", ..GOOD }, "describe"),
        ("describe unaligned", Parts { describe: "(i32.const 33)", ..GOOD }, "describe"),
        ("describe with many attributes", Parts { describe: huge, ..GOOD }, "describe"),
        (
            "a schema that is no text",
            Parts { describe: "(i32.store (i32.const 32) (i32.const 72)) (i32.const 32)", ..GOOD },
            "describe",
        ),
        (
            "a schema that is no JSON",
            Parts { describe: "(i32.store (i32.const 32) (i32.const 80)) (i32.const 32)", ..GOOD },
            "not JSON",
        ),
        (
            "describe grows",
            Parts {
                describe: "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
                ..GOOD
            },
            "describe",
        ),
        (
            "many problems",
            Parts { validate: "(i32.store (i32.const 164) (i32.const 0x0fffffff)) (i32.const 160)", ..GOOD },
            "validate-config",
        ),
        (
            "configure of no case",
            Parts { configure: "(i32.store8 (i32.const 160) (i32.const 5)) (i32.const 160)", ..GOOD },
            "configure",
        ),
        ("a start that traps", Parts { more: starting("(unreachable)"), ..GOOD }, ""),
        ("a start that loops", Parts { more: starting("(loop $for_ever (br $for_ever))"), ..GOOD }, ""),
        (
            "a start that takes memory",
            Parts {
                more: starting(
                    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
                ),
                ..GOOD
            },
            "",
        ),
    ];
    for (name, parts, reason) in cases {
        let (output, text) = check(&module(&parts), GRANTED);
        assert_eq!(output.status.code(), Some(2), "{name}: {text}");
        assert!(text.contains(reason) && text.contains("gateway.yaml:4:"), "{name}: {text}");
        assert!(!text.contains("panicked"), "{name}: {text}");
    }
    let (output, text) = check(&module(&GOOD), GRANTED);
    assert!(output.status.success(), "{text}");
}
