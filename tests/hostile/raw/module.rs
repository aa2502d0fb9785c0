//! A policy as a core module of a few instructions.

/// What differs from a policy that lets every request pass.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    /// Of `on-request`, which has `$exchange` and two locals; what is left on the stack is where its result is.
    pub(super) handle: &'static str,
    /// Of the allocator, which has `$align` and `$len`.
    pub(super) realloc: &'static str,
    /// Where `describe` has its result.
    pub(super) describe: &'static str,
    pub(super) validate: &'static str,
    pub(super) configure: &'static str,
    /// More definitions.
    pub(super) more: &'static str,
}

const PASS: &str = "(call $drop_exchange (local.get $exchange)) (i32.const 0)";
pub(super) const ALLOCATE: &str = "(local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $len))) (local.get $at)";
pub(crate) const GOOD: Parts = Parts {
    handle: PASS,
    realloc: ALLOCATE,
    describe: "(i32.const 32)",
    validate: "(i32.const 48)",
    configure: "(i32.const 48)",
    more: "",
};

pub(super) const fn handling(handle: &'static str) -> Parts {
    Parts { handle, ..GOOD }
}

/// The module of these parts.
pub(crate) fn module(parts: &Parts) -> Vec<u8> {
    let Parts { handle, realloc, describe, validate, configure, more } = parts;
    let text = format!(
        r#"(module
  (import "gatewright:policy/types@0.1.0" "[method]exchange.path" (func $path (param i32 i32)))
  (import "gatewright:policy/types@0.1.0" "[method]exchange.request-headers" (func $headers (param i32) (result i32)))
  (import "gatewright:policy/types@0.1.0" "[resource-drop]exchange" (func $drop_exchange (param i32)))
  (import "gatewright:policy/types@0.1.0" "[method]fields.get" (func $get (param i32 i32 i32 i32)))
  (import "gatewright:policy/types@0.1.0" "[method]fields.entries" (func $entries (param i32 i32)))
  (import "gatewright:policy/types@0.1.0" "[constructor]reply" (func $reply (param i32) (result i32)))
  (import "gatewright:policy/types@0.1.0" "[resource-drop]reply" (func $drop_reply (param i32)))
  (import "gatewright:policy/types@0.1.0" "[method]reply.set-body" (func $set_body (param i32 i32 i32 i32 i32)))
  (import "gatewright:policy/log@0.1.0" "emit" (func $emit (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (type $nothing (func))
  (global $free (mut i32) (i32.const 4096))
  (global $kept (mut i32) (i32.const 0))
  ;; 0: the result of a phase. 32: a descriptor. 48: an empty list, `ok`. 64: the descriptor's schema. 72: no text.
  (data (i32.const 32) "\40\00\00\00\02\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 64) "{{}}")
  (data (i32.const 72) "\ff\fe\c0\80")
  (data (i32.const 80) "x-who")
  (data (i32.const 88) "text/plain")
  ;; Answers with bytes.
  (func $answer (param $at i32) (param $len i32) (result i32) (local $made i32)
    (local.set $made (call $reply (i32.const 200)))
    (call $set_body (local.get $made) (i32.const 88) (i32.const 10) (local.get $at) (local.get $len))
    (i32.store8 (i32.const 4) (i32.const 2))
    (i32.store (i32.const 8) (local.get $made))
    (i32.const 0))
  ;; Answers with a number.
  (func $say (param $number i32) (result i32)
    (i32.store (i32.const 128) (local.get $number))
    (call $answer (i32.const 128) (i32.const 4)))
  {more}
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $len i32) (result i32) (local $at i32)
    {realloc})
  (func (export "gatewright:policy/lifecycle@0.1.0#describe") (result i32) {describe})
  (func (export "gatewright:policy/lifecycle@0.1.0#validate-config") (param i32 i32) (result i32) {validate})
  (func (export "gatewright:policy/lifecycle@0.1.0#configure") (param i32 i32) (result i32) {configure})
  (func (export "gatewright:policy/on-request@0.1.0#handle") (param $exchange i32) (result i32)
    (local $a i32) (local $b i32)
    {handle}))"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}
