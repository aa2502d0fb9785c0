//! What a component should do.

use crate::bindings::wasi::cli::{environment, stderr, stdout};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, ResponseOutparam, Scheme,
};
use crate::bindings::wasi::random::random;
use crate::message::{PIECE, answer, begin, read, write};

/// Sends the body back as it comes, and the head in headers.
pub fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let method = format!("{:?}", request.method());
    let authority = request.authority().unwrap_or_default();
    let scheme = format!("{:?}", request.scheme());
    let target = request.path_with_query().unwrap_or_default();
    let names: Vec<String> = request.headers().entries().into_iter().map(|(name, _)| name).collect();
    let names = names.join(",");
    let told = request.headers().get("x-told").pop().unwrap_or_default();
    let headers = [
        ("x-method", method.as_str()),
        ("x-authority", &authority),
        ("x-scheme", &scheme),
        ("x-target", &target),
        ("x-names", &names),
        ("x-told", std::str::from_utf8(&told).unwrap_or_default()),
        ("x-gatewright-reason", "made-up"),
    ];
    let body = begin(out, 200, &headers);
    let (from, to) = (request.consume().expect("a body"), body.write().expect("a stream"));
    let input = from.stream().expect("a stream");
    read(&input, |bytes| write(&to, bytes).expect("a reader")).expect("the whole body");
    drop((input, to));
    OutgoingBody::finish(body, None).expect("a whole body");
}

/// Reads the body and says how long it was.
pub fn count(request: &IncomingRequest, out: ResponseOutparam) {
    let from = request.consume().expect("a body");
    let input = from.stream().expect("a stream");
    let mut count = 0;
    read(&input, |bytes| count += bytes.len()).expect("the whole body");
    answer(out, 200, &[], count.to_string().as_bytes());
}

/// So many bytes.
pub fn source(out: ResponseOutparam, count: u64) {
    let body = begin(out, 200, &[("content-length", &count.to_string())]);
    let stream = body.write().expect("a stream");
    let piece = vec![b'x'; PIECE as usize];
    let mut left = count;
    while left > 0 {
        let some = left.min(PIECE);
        write(&stream, &piece[..some as usize]).expect("a reader");
        left -= some;
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("a whole body");
}

/// So many events, 20 ms apart.
pub fn events(out: ResponseOutparam, count: u64) {
    let body = begin(out, 200, &[("content-type", "text/event-stream")]);
    let stream = body.write().expect("a stream");
    for number in 0..count {
        if number > 0 {
            wait(20);
        }
        write(&stream, format!("data: event {number}\n\n").as_bytes()).expect("a reader");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("a whole body");
}

/// Every variable.
pub fn environment(out: ResponseOutparam) {
    let variables: Vec<String> =
        environment::get_environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let arguments = environment::get_arguments().len();
    answer(out, 200, &[], format!("{arguments} arguments, {}", variables.join(" ")).as_bytes());
}

/// A time and a number that nobody knows.
pub fn clock(out: ResponseOutparam) {
    let text = format!("{} {}", wall_clock::now().seconds, random::get_random_u64());
    answer(out, 200, &[], text.as_bytes());
}

/// Calls what `x-call` says, and tells the status, a header and the body of the response, or the error.
pub fn call(request: &IncomingRequest, out: ResponseOutparam) {
    let told = request.headers().get("x-call").pop().unwrap_or_default();
    let told = String::from_utf8(told).unwrap_or_default();
    let text = match ask(&told, None) {
        Ok(response) => {
            let mut body = Vec::new();
            let incoming = response.consume().expect("a body");
            let read = read(&incoming.stream().expect("a stream"), |bytes| body.extend_from_slice(bytes));
            let location = response.headers().get("location").pop().unwrap_or_default();
            let location = String::from_utf8_lossy(&location).into_owned();
            let whole = if read.is_ok() { "whole" } else { "broken" };
            format!("{} {location} {whole} {}", response.status(), String::from_utf8_lossy(&body))
        }
        Err(code) => format!("{code:?}"),
    };
    answer(out, 200, &[], text.as_bytes());
}

/// Sends the request's body on to what `x-call` says, and what comes back to the client, both as they come.
pub fn pass(request: &IncomingRequest, out: ResponseOutparam) {
    let told = request.headers().get("x-call").pop().unwrap_or_default();
    let response = ask(&String::from_utf8(told).unwrap_or_default(), Some(request)).expect("a response");
    let body = begin(out, response.status(), &[]);
    let (from, to) = (response.consume().expect("a body"), body.write().expect("a stream"));
    let input = from.stream().expect("a stream");
    read(&input, |bytes| write(&to, bytes).expect("a reader")).expect("the whole body");
    drop((input, to));
    OutgoingBody::finish(body, None).expect("a whole body");
}

/// `METHOD SCHEME AUTHORITY TARGET`, with the body of another request.
fn ask(told: &str, body: Option<&IncomingRequest>) -> Result<IncomingResponse, ErrorCode> {
    let words: Vec<&str> = told.split(' ').collect();
    let &[scheme, authority, target] = words.as_slice() else { panic!("not told whom to call") };
    let fields = Fields::new();
    fields.append("x-from", b"service").expect("a header");
    let request = OutgoingRequest::new(fields);
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).expect("a scheme");
    request.set_authority(Some(authority)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request.set_path_with_query(Some(target)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    if let Some(incoming) = body {
        request.set_method(&incoming.method()).expect("a method");
        let to = request.body().expect("a body");
        let pending = outgoing_handler::handle(request, None)?;
        let from = incoming.consume().expect("a body");
        let (input, output) = (from.stream().expect("a stream"), to.write().expect("a stream"));
        read(&input, |bytes| write(&output, bytes).expect("a reader")).expect("the whole body");
        drop(output);
        OutgoingBody::finish(to, None)?;
        pending.subscribe().block();
        return pending.get().expect("an answer").expect("the first time");
    }
    let pending = outgoing_handler::handle(request, None)?;
    pending.subscribe().block();
    pending.get().expect("an answer").expect("the first time")
}

/// Prints one line to each stream, then so many more.
pub fn print(out: ResponseOutparam, count: u64) {
    let (output, errors) = (stdout::get_stdout(), stderr::get_stderr());
    write(&output, b"said to the output\n").expect("an output");
    write(&errors, b"said to the errors").expect("an output");
    for _ in 0..count {
        write(&output, &[b'z'; 4095]).expect("an output");
        write(&output, b"\n").expect("an output");
    }
    answer(out, 200, &[], b"printed");
}

/// Goes on after its response.
pub fn late(out: ResponseOutparam) {
    answer(out, 200, &[], b"answered");
    wait(50);
    write(&stdout::get_stdout(), b"worked on\n").expect("an output");
}

/// Waits for so many milliseconds.
pub fn wait(millis: u64) {
    monotonic_clock::subscribe_duration(millis * 1_000_000).block();
}
