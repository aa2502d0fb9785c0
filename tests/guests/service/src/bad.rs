//! What a component should not do.

use std::hint::black_box;

use crate::bindings::wasi::http::types::{ErrorCode, Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use crate::good::wait;
use crate::message::{answer, begin, write};

/// Does it.
pub fn misbehave(path: &str, number: u64, out: ResponseOutparam) {
    match path {
        "/trap" => panic!("told to trap"),
        "/loop" => spin(),
        "/grow" => grow(),
        "/recurse" => drop(black_box(recurse(1))),
        "/never" => wait(3_600_000),
        "/nothing" => {}
        "/refuse" => ResponseOutparam::set(out, Err(ErrorCode::ConfigurationError)),
        "/handles" => loop {
            std::mem::forget(Fields::new());
        },
        "/status" => answer(out, u16::try_from(number).expect("a status"), &[], b""),
        "/fields" => fields(out, number),
        "/flood" => {
            let fields = Fields::new();
            for _ in 0..100_000 {
                fields.append("x-flood", &[b'f'; 100]).expect("room");
            }
        }
        "/half" => {
            half(out, None);
            panic!("told to trap after half the body");
        }
        "/half-loop" => {
            half(out, None);
            spin();
        }
        "/half-never" => {
            half(out, None);
            wait(3_600_000);
        }
        "/short" => half(out, Some("100")),
        "/dropped" => {
            let body = begin(out, 200, &[]);
            wait(50);
            drop(body);
        }
        "/at-once" => {
            let body = begin(out, 200, &[]);
            write(&body.write().expect("a stream"), b"half of it").expect("a reader");
            panic!("told to trap at once");
        }
        "/empty" => {
            let fields = Fields::new();
            fields.append("content-length", b"100").expect("a header");
            ResponseOutparam::set(out, Ok(OutgoingResponse::new(fields)));
        }
        _ => answer(out, 404, &[], b"no such deed"),
    }
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

fn grow() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(vec![1; 1 << 20]);
        black_box(&held);
    }
}

#[expect(unconditional_recursion, reason = "this is the deed")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth + 1)) + depth)
}

/// Many fields, as many as told.
fn fields(out: ResponseOutparam, count: u64) {
    let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    answer(out, 200, &headers, b"fields");
}

/// Half a body, and nobody who would finish it.
fn half(out: ResponseOutparam, length: Option<&str>) {
    let headers: Vec<(&str, &str)> = length.map(|length| ("content-length", length)).into_iter().collect();
    let body: OutgoingBody = begin(out, 200, &headers);
    let stream = body.write().expect("a stream");
    write(&stream, b"half of it").expect("a reader");
    // The head and this half are on their way to the client.
    wait(50);
    std::mem::forget((stream, body));
}
