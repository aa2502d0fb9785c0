//! Files made of a number.

use arbitrary::Unstructured;
use harness::{Numbers, guest};
use wasm_mutate::WasmMutate;
use wasm_smith::{Component, Config, Module};

use crate::hostile::raw::module::{GOOD, module};

/// What files are made from.
pub(super) struct Corpus {
    /// A policy of a few instructions, as a core module.
    small: Vec<u8>,
    /// One that imports WASI preview 1.
    preview1: Vec<u8>,
    /// A whole policy in Rust.
    whole: Vec<u8>,
}

impl Corpus {
    pub(super) fn new() -> Self {
        let preview1 = wat::parse_str(include_str!("../guests/preview1.wat")).unwrap();
        Self { small: module(&GOOD), preview1, whole: guest("stamp") }
    }

    /// The file of a number, and its kind.
    pub(super) fn file(&self, number: u64) -> (&'static str, Vec<u8>) {
        let mut numbers = Numbers::new(number);
        // A whole policy takes fifty times as long to compile as a small one.
        match numbers.below(64) {
            0..20 => ("policy with any code", self.policy(&mut numbers)),
            20..23 => ("any module", any_module(&mut numbers)),
            23..30 => ("any component", any_component(&mut numbers)),
            30..40 => ("mutated small policy", mutated(&self.small, &mut numbers)),
            40..50 => ("mutated module of preview 1", mutated(&self.preview1, &mut numbers)),
            50 => ("mutated policy", mutated(&self.whole, &mut numbers)),
            51..55 => ("torn small policy", torn(&self.small, &mut numbers)),
            55..59 => ("torn module of preview 1", torn(&self.preview1, &mut numbers)),
            59..61 => ("torn policy", torn(&self.whole, &mut numbers)),
            _ => ("noise", [b"\0asm".as_slice(), &numbers.bytes(200)].concat()),
        }
    }

    /// Imports and exports of a policy, around code of any kind that ends.
    fn policy(&self, numbers: &mut Numbers) -> Vec<u8> {
        let config = Config { module_shape: Some(self.small.clone()), ..config() };
        let bytes = numbers.bytes(4096);
        let mut made = Module::new(config, &mut Unstructured::new(&bytes)).unwrap();
        made.ensure_termination(1_000).unwrap();
        made.to_bytes()
    }
}

/// What the engine has, so that not everything is refused at once.
fn config() -> Config {
    Config {
        bulk_memory_enabled: true,
        reference_types_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        tail_call_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    }
}

fn any_module(numbers: &mut Numbers) -> Vec<u8> {
    let bytes = numbers.bytes(4096);
    Module::new(config(), &mut Unstructured::new(&bytes)).unwrap().to_bytes()
}

fn any_component(numbers: &mut Numbers) -> Vec<u8> {
    let bytes = numbers.bytes(4096);
    Component::new(config(), &mut Unstructured::new(&bytes)).unwrap().to_bytes()
}

/// A few changes that leave it valid, its meaning aside.
fn mutated(module: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = module.to_vec();
    for _ in 0..=numbers.below(4) {
        let mut mutate = WasmMutate::default();
        mutate.seed(numbers.number()).fuel(300).preserve_semantics(false);
        // Not every change applies to every module.
        let changed = mutate.run(&bytes).ok().and_then(|mut all| all.next()).and_then(Result::ok);
        bytes = changed.unwrap_or(bytes);
    }
    bytes
}

/// Bytes written over, cut off, doubled or moved.
fn torn(module: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = module.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len());
        let to = (at + numbers.below(64)).min(bytes.len());
        match numbers.below(5) {
            0 => bytes.truncate(at.max(8)),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let piece = bytes.get(at..to).unwrap_or_default().to_vec();
                let place = numbers.below(bytes.len());
                bytes.splice(place..place, piece);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(numbers.below(256)).unwrap();
                }
            }
        }
    }
    bytes
}
