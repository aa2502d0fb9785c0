//! Deeds in a phase that decides.

use std::cell::Cell;
use std::hint::black_box;

use gatewright_sdk::{
    Body, Decision, Exchange, Failure, Reply, Scalar, crypto, failure, limits, log, metrics, secrets,
};

/// Does one.
pub fn perform(deed: &str, exchange: &Exchange, content: Option<&Body>) -> Result<Decision, Failure> {
    match deed {
        "spin" => spin(),
        "panic" => panic!("told to panic"),
        "recurse" => drop(black_box(recurse(1))),
        "grow" => grow(),
        "random" => drop(crypto::random(100_000)),
        "failure" => return Err(failure("told-to-fail", "detail-for-the-operator")),
        "garbage-failure" => return Err(failure("Not A Token\r\nx-forged: 1", "detail-for-the-operator")),
        "write-then-panic" => write_then_panic(exchange, content),
        "headers" => endless_headers(exchange),
        "handles" => handles(exchange),
        "replies" => replies(),
        "secrets" => drop(black_box((0..1_000).map(|_| secrets::Secret::open("flood")).collect::<Vec<_>>())),
        "dropped-reply" => drop(Reply::error(418, "dropped", "nobody sees this")),
        "logs" => (0..2_000).for_each(|_| log::emit(log::Level::Warn, &"flood ".repeat(1_000), &[])),
        "series" => series(),
        "names" => drop(exchange.request_headers().get_many(&vec!["x-large".to_owned(); 40_000])),
        "charges" => charges(),
        "ahead" => ahead(exchange)?,
        _ => return probe(deed, exchange, content),
    }
    Ok(Decision::Next)
}

/// Deeds that answer.
fn probe(deed: &str, exchange: &Exchange, content: Option<&Body>) -> Result<Decision, Failure> {
    let answer = match deed {
        "large-header" => refused(&exchange.request_headers().set("x-large", &"v".repeat(1_000_000))),
        "owned-headers" => owned_headers(exchange),
        "bad-paths" => bad_paths(exchange),
        "unknown-upstream" => refused(&exchange.set_upstream("elsewhere")),
        "state" => state(exchange),
        "metadata" => metadata(exchange),
        "huge-reply" => "x".repeat(2 << 20),
        "huge-page" => "x".repeat(900 << 10),
        "patch-bomb" => content.map(patch_bomb).unwrap_or_default(),
        "slow-pointers" => content.map(slow_pointers).unwrap_or_default(),
        "slow-patch" => content.map(slow_patch).unwrap_or_default(),
        "pointers" => content.map(pointers).unwrap_or_default(),
        "grow-some" => {
            drop(black_box(vec![1_u8; 6 << 20]));
            "grown".to_owned()
        }
        "leak" => {
            (0..600).for_each(|_| std::mem::forget(exchange.request_headers()));
            "leaked".to_owned()
        }
        "stash" => stash(),
        "search" => search().to_string(),
        "work" => work().to_owned(),
        "tally" => tally().to_string(),
        "large-body" => content.map(large_body).unwrap_or_default(),
        _ => return Err(failure("unknown-deed", deed)),
    };
    let reply = Reply::new(200);
    reply.set_body("text/plain", answer.as_bytes());
    Ok(Decision::Answer(reply))
}

/// A pattern that is nowhere in the module itself.
fn pattern() -> [u8; 16] {
    std::array::from_fn(|index| black_box(0xa5) ^ u8::try_from(index * 7).unwrap_or(0))
}

/// Leaves the pattern on the heap and deep in the stack.
fn stash() -> String {
    fn below(depth: u32) {
        let frame = black_box([pattern(); 8]);
        if depth > 0 {
            below(depth - 1);
        }
        black_box(frame);
    }
    below(40);
    let heap: Vec<u8> = pattern().repeat(64);
    std::mem::forget(black_box(heap));
    "stashed".to_owned()
}

/// How often the pattern is anywhere in memory, but for the copy that is searched for.
#[expect(unsafe_code, reason = "a guest may look wherever it likes in its own memory")]
fn search() -> usize {
    let wanted = pattern();
    let bytes = core::arch::wasm32::memory_size::<0>() << 16;
    let own = wanted.as_ptr().addr();
    (1..bytes - wanted.len())
        .filter(|at| at.abs_diff(own) > 4096)
        // SAFETY: every address is within the memory, which nothing else uses meanwhile.
        .filter(|at| {
            wanted.iter().enumerate().all(|(index, byte)| unsafe {
                std::ptr::with_exposed_provenance::<u8>(at + index).read_volatile() == *byte
            })
        })
        .count()
}

/// How often this instance was asked.
fn tally() -> u32 {
    thread_local! {
        static ASKED: Cell<u32> = const { Cell::new(0) };
    }
    ASKED.set(ASKED.get() + 1);
    ASKED.get()
}

/// Never ends.
pub fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Takes its time, and ends well.
fn work() -> &'static str {
    for turn in 0..20_000_000_u32 {
        black_box(turn);
    }
    "worked"
}

/// Takes memory until there is none.
pub fn grow() {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(black_box(vec![1; 1 << 20]));
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if black_box(depth) == 0 {
        return 0;
    }
    black_box(recurse(depth + 1)) + frame.iter().sum::<u64>()
}

fn refused<T, E>(result: &Result<T, E>) -> String {
    if result.is_ok() { "accepted" } else { "refused" }.to_owned()
}

/// Nothing of this may reach the upstream.
fn write_then_panic(exchange: &Exchange, content: Option<&Body>) -> ! {
    let headers = exchange.request_headers();
    let written = [
        headers.set("x-written", "by a policy that failed").is_ok(),
        headers.append("x-kept", "one more").is_ok(),
        headers.remove("x-do").is_ok(),
        exchange.set_method("DELETE").is_ok(),
        exchange.set_path("/written", Some("written=1")).is_ok(),
        exchange.set_authority("written.test").is_ok(),
        exchange.set_upstream("other").is_ok(),
        exchange.put_metadata("hostile.written", &Scalar::Boolean(true)).is_ok(),
        exchange.put_state("written", b"1").is_ok(),
        exchange.set_response_header("x-written", "by a policy that failed").is_ok(),
        content.is_none_or(|content| content.replace(b"written").is_ok()),
    ];
    panic!("told to panic after writing: {written:?}")
}

/// Sets headers of a response that is not there yet, and says how that went in one of them.
fn ahead(exchange: &Exchange) -> Result<(), Failure> {
    exchange.set_response_header("x-ahead", "first")?;
    let owned = refused(&exchange.set_response_header("connection", "close"));
    let many = (0..100).filter(|number| exchange.set_response_header(&format!("x-{number}"), "1").is_ok()).count();
    let asked = exchange.request_header("x-do")?.unwrap_or_default();
    exchange.set_response_header("x-ahead", &format!("owned: {owned}, many: {many}, asked: {asked}"))?;
    Ok(())
}

/// Adds fields for ever, although the section has long been full.
fn endless_headers(exchange: &Exchange) -> ! {
    let headers = exchange.request_headers();
    let mut number = 0u64;
    loop {
        black_box(headers.append(&format!("x-{number}"), "1").is_ok());
        number += 1;
    }
}

fn handles(exchange: &Exchange) {
    let handles: Vec<_> = (0..100_000).map(|_| exchange.request_headers()).collect();
    black_box(handles);
}

fn replies() {
    let replies: Vec<_> = (0..1_000).map(|_| Reply::new(200)).collect();
    black_box(replies);
}

fn series() {
    for number in 0..2_000u32 {
        metrics::add("hostile_series", &[("number".to_owned(), number.to_string())], 1);
    }
}

fn charges() {
    let rate = limits::Rate { tokens: 1, period_ms: 1, burst: 1 };
    let charge = limits::Charge { bucket: "b".to_owned(), limit: Some(rate), key: "k".to_owned(), cost: 1 };
    drop(limits::take(&vec![charge; 10_000]));
}

/// The fields of the contract's `refused` that were accepted all the same.
fn owned_headers(exchange: &Exchange) -> String {
    let names = [
        "host",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
        "expect",
        "x-gatewright-reason",
        "",
        "a b",
        "a\r\nb",
        ":path",
    ];
    let headers = exchange.request_headers();
    let reply = Reply::new(200);
    let mut accepted = Vec::new();
    for name in names {
        let taken = headers.set(name, "1").is_ok()
            || headers.append(name, "1").is_ok()
            || headers.remove(name).is_ok()
            || reply.headers().set(name, "1").is_ok();
        accepted.extend(taken.then_some(name));
    }
    for value in ["a\r\nx-forged: 1", "a\nb", "a\0b", "\r"] {
        accepted.extend(headers.set("x-plain", value).is_ok().then_some(value));
    }
    format!("{} tried, accepted: {accepted:?}", names.len())
}

fn bad_paths(exchange: &Exchange) -> String {
    let paths = [
        "",
        "no-slash",
        "/a b",
        "/a\r\nx-forged: 1",
        "/a\nGET /b HTTP/1.1",
        "/a#b",
        "/a?b",
        "/\u{e9}",
        "/a\0",
        "/a\\b",
        "http://elsewhere.test/",
    ];
    let mut accepted: Vec<String> =
        paths.iter().filter(|path| exchange.set_path(path, None).is_ok()).map(|path| (*path).to_owned()).collect();
    for query in ["a b", "a\r\nb", "a#b", "\u{e9}"] {
        accepted.extend(exchange.set_path("/a", Some(query)).is_ok().then(|| query.to_owned()));
    }
    let long = format!("/{}", "a".repeat(9_000));
    accepted.extend(exchange.set_path(&long, None).is_ok().then_some(long));
    for method in ["", "CONNECT", "GE T", "GET\r\n", &"M".repeat(40)] {
        accepted.extend(exchange.set_method(method).is_ok().then(|| method.to_owned()));
    }
    for authority in ["", "a b", "user@host", "host/path", "a\r\nb", "a,b"] {
        accepted.extend(exchange.set_authority(authority).is_ok().then(|| authority.to_owned()));
    }
    format!("{} tried, accepted: {accepted:?}", paths.len())
}

/// How much of its own memory an exchange takes.
fn state(exchange: &Exchange) -> String {
    let large = exchange.put_state("large", &vec![0; 300 << 10]).is_ok();
    let keys = (0..1_000).filter(|number| exchange.put_state(&format!("k{number}"), b"1").is_ok()).count();
    format!("large: {large}, keys: {keys}")
}

fn metadata(exchange: &Exchange) -> String {
    let put = |name: &str, value: &str| exchange.put_metadata(name, &Scalar::Text(value.to_owned())).is_ok();
    let foreign = put("auth.principal", "root");
    let nameless = put("nameless", "1") || put(".x", "1") || put("hostile.", "1") || put("hostile.UP", "1");
    let large = put("hostile.large", &"x".repeat(20 << 10));
    let names = (0..1_000).filter(|number| put(&format!("hostile.n{number}"), "1")).count();
    format!("foreign: {foreign}, nameless: {nameless}, large: {large}, names: {names}")
}

/// Doubles a document with each of 40 operations.
fn patch_bomb(content: &Body) -> String {
    let doubled: Vec<String> =
        (0..40).map(|number| format!(r#"{{"op":"copy","from":"","path":"/n{number}"}}"#)).collect();
    refused(&content.json_patch(&format!("[{}]", doubled.join(","))))
}

/// A document of 1 MiB in which it takes a while to find nothing.
fn fill(content: &Body) -> bool {
    let document = format!("[{}1]", "1,".repeat(512 << 10));
    content.replace(document.as_bytes()).is_ok()
}

/// Asks for the whole of it very many times at once.
fn pointers(content: &Body) -> String {
    assert!(fill(content));
    refused(&content.json_get(&vec![String::new(); 200_000]))
}

/// Lets the host look for nothing very many times at once.
fn slow_pointers(content: &Body) -> String {
    assert!(fill(content));
    refused(&content.json_get(&vec!["/x".to_owned(); 200_000]))
}

/// As `slow_pointers`, with a patch that does not change the size.
fn slow_patch(content: &Body) -> String {
    assert!(fill(content));
    let operation = r#"{"op":"replace","path":"/0","value":2}"#;
    refused(&content.json_patch(&format!("[{}]", vec![operation; 20_000].join(","))))
}

fn large_body(content: &Body) -> String {
    refused(&content.replace(&vec![b'x'; 11 << 20]))
}
