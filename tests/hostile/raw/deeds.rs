//! Deeds in `on-request`.

use super::module::{ALLOCATE, GOOD, Parts, handling};

const PATH: &str = "(global.set $kept (i32.const 1)) (call $path (local.get $exchange) (i32.const 16)) ";

/// A module, and the reason code of what becomes of a request to it.
type Deed = (&'static str, Parts, &'static str);

const TRAPPED: &str = "policy-trapped";

/// Every deed.
pub(super) fn deeds() -> Vec<Deed> {
    [results(), handles(), memory(), arguments(), instructions()].concat()
}

/// Gives the exchange back, then goes on.
fn dropping(code: &str) -> &'static str {
    format!("(call $drop_exchange (local.get $exchange)) {code}").leak()
}

/// Fails with a code that is where `rest` says.
fn failing(rest: &str) -> Parts {
    let failure = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4)";
    handling(dropping(&format!("{failure} {rest} (i32.const 0)")))
}

/// Does it when the host wants memory for the path: only once a request is there, as it would be refused at load time.
fn allocating(deed: &str) -> Parts {
    Parts {
        realloc: format!("(if (global.get $kept) (then {deed})) {ALLOCATE}").leak(),
        ..handling(format!("{PATH}{}", dropping("(i32.const 0)")).leak())
    }
}

/// Does it when the host gives a result's memory back.
fn releasing(body: &str) -> Parts {
    let name = "cabi_post_gatewright:policy/on-request@0.1.0#handle";
    Parts { more: format!("(func (export {name:?}) (param i32) {body})").leak(), ..GOOD }
}

/// What a phase returns.
fn results() -> Vec<Deed> {
    vec![
        ("result-past-memory", handling(dropping("(i32.const 0x7fffffff)")), TRAPPED),
        ("result-unaligned", handling(dropping("(i32.const 2)")), TRAPPED),
        ("result-of-no-case", handling(dropping("(i32.store8 (i32.const 0) (i32.const 9)) (i32.const 0)")), TRAPPED),
        ("decision-of-no-case", handling(dropping("(i32.store8 (i32.const 4) (i32.const 7)) (i32.const 0)")), TRAPPED),
        (
            "answer-without-a-reply",
            handling(dropping(
                "(i32.store8 (i32.const 4) (i32.const 2)) (i32.store (i32.const 8) (i32.const 12345)) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "answer-with-a-dropped-reply",
            handling(dropping(
                "(drop (call $say (i32.const 1))) (call $drop_reply (i32.load (i32.const 8))) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "answer-with-the-exchange",
            handling(
                "(i32.store8 (i32.const 4) (i32.const 2)) (i32.store (i32.const 8) (local.get $exchange)) (i32.const 0)",
            ),
            TRAPPED,
        ),
        ("failure-past-memory", failing("(i32.const 0x7ffffff0)) (i32.store (i32.const 8) (i32.const 100))"), TRAPPED),
        ("failure-not-text", failing("(i32.const 72)) (i32.store (i32.const 8) (i32.const 4))"), TRAPPED),
        ("failure-huge", failing("(i32.const 0)) (i32.store (i32.const 8) (i32.const 0x7fffffff))"), TRAPPED),
    ]
}

/// What is done with handles.
fn handles() -> Vec<Deed> {
    vec![
        ("keeps-the-exchange", handling("(i32.const 0)"), TRAPPED),
        ("drops-twice", handling(dropping("(call $drop_exchange (local.get $exchange)) (i32.const 0)")), TRAPPED),
        (
            "uses-what-it-dropped",
            handling(dropping("(call $path (local.get $exchange) (i32.const 16)) (i32.const 0)")),
            TRAPPED,
        ),
        ("makes-a-handle-up", handling("(call $path (i32.const 4242) (i32.const 16)) (i32.const 0)"), TRAPPED),
        (
            "takes-a-reply-for-an-exchange",
            handling("(call $path (call $reply (i32.const 200)) (i32.const 16)) (i32.const 0)"),
            TRAPPED,
        ),
    ]
}

/// What is done while the host moves values in and out.
fn memory() -> Vec<Deed> {
    vec![
        ("allocates-past-memory", allocating("(return (i32.const 0x7ffffff0))"), TRAPPED),
        (
            "allocates-unaligned",
            Parts {
                handle: "(global.set $kept (i32.const 1))
                    (call $entries (call $headers (local.get $exchange)) (i32.const 16)) (i32.const 0)",
                ..allocating("(return (i32.const 4097))")
            },
            TRAPPED,
        ),
        (
            "calls-out-while-allocating",
            allocating("(call $emit (i32.const 2) (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 0))"),
            TRAPPED,
        ),
        ("allocates-for-ever", allocating("(loop $for_ever (br $for_ever))"), "policy-deadline"),
        ("releases-for-ever", releasing("(loop $for_ever (br $for_ever))"), "policy-deadline"),
        ("traps-while-releasing", releasing("(unreachable)"), TRAPPED),
        ("calls-out-while-releasing", releasing("(call $drop_exchange (i32.const 1))"), TRAPPED),
    ]
}

/// What the host is called with.
fn arguments() -> Vec<Deed> {
    vec![
        (
            "passes-what-is-past-memory",
            handling(dropping(
                "(call $emit (i32.const 2) (i32.const 0x7ffffff0) (i32.const 64) (i32.const 0) (i32.const 0)) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "passes-too-much",
            handling(dropping(
                "(call $emit (i32.const 2) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0)) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "passes-many-attributes",
            handling(dropping(
                "(call $emit (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0x0fffffff)) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "passes-no-text",
            handling(dropping(
                "(call $emit (i32.const 2) (i32.const 72) (i32.const 4) (i32.const 0) (i32.const 0)) (i32.const 0)",
            )),
            TRAPPED,
        ),
        (
            "passes-no-level",
            handling(dropping(
                "(call $emit (i32.const 9) (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 0)) (i32.const 0)",
            )),
            TRAPPED,
        ),
    ]
}

/// What WebAssembly itself stops.
fn instructions() -> Vec<Deed> {
    vec![
        (
            "has-its-result-written-past-memory",
            handling("(call $path (local.get $exchange) (i32.const 0x7ffffff0)) (i32.const 0)"),
            TRAPPED,
        ),
        ("loads-past-memory", handling("(i32.load (i32.const 0x7ffffff0))"), TRAPPED),
        ("divides-by-zero", handling("(i32.div_u (i32.const 1) (local.get $a))"), TRAPPED),
        ("calls-nothing", handling("(call_indirect (type $nothing) (i32.const 0)) (i32.const 0)"), TRAPPED),
        (
            "recurses",
            Parts { more: "(func $deeper (call $deeper) (call $deeper))", ..handling("(call $deeper) (i32.const 0)") },
            TRAPPED,
        ),
        ("loops", handling("(loop $for_ever (br $for_ever)) (i32.const 0)"), "policy-deadline"),
        (
            "logs-for-ever",
            handling(
                "(loop $for_ever
                   (call $emit (i32.const 0) (i32.const 80) (i32.const 5) (i32.const 0) (i32.const 0)) (br $for_ever))
                 (i32.const 0)",
            ),
            "policy-deadline",
        ),
        (
            "opens-handles-for-ever",
            handling("(loop $for_ever (drop (call $headers (local.get $exchange))) (br $for_ever)) (i32.const 0)"),
            TRAPPED,
        ),
        (
            "traps-where-memory-ends",
            handling("(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable))) (i32.const 0)"),
            "policy-memory",
        ),
    ]
}
