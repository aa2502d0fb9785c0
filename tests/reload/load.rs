//! What is under way ends on what it began with, and old generations go.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use harness::{DEADLINE, Gateway, Origin, Wire, eventually};

use super::{answer, config, figure, save, stamp, stamped, stamping};

/// An origin that answers `/slow` when it is told to, streams `/events` one event each time it is told, and anything
/// else at once.
fn paced_origin() -> (mpsc::Sender<()>, mpsc::Receiver<()>, Origin) {
    let (tell, told) = mpsc::channel::<()>();
    let (reached, is_reached) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            if request.line.contains("/slow") {
                reached.send(()).unwrap();
                told.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(DEADLINE).unwrap();
            }
            if !request.line.contains("/events") {
                conversation.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                continue;
            }
            conversation
                .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            for () in told.iter() {
                conversation.send("c\r\ndata: tick\n\n\r\n");
            }
            conversation.send("0\r\n\r\n");
        }
    });
    (tell, is_reached, origin)
}

fn swap_both(gateway: &Gateway, origin: &Origin) {
    save(&gateway.folder().join("plugins/stamp.wasm"), stamp(1));
    save(&gateway.folder().join("gateway.yaml"), config(&origin.url(), "second"));
    eventually("the swap", || (answer(gateway) == stamped(1, "second")).then_some(()));
}

#[test]
fn a_request_under_way_ends_on_what_it_began_with() {
    let (tell, is_reached, origin) = paced_origin();
    let gateway = stamping(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /slow HTTP/1.1\r\nhost: a.test\r\n\r\n");
    is_reached.recv_timeout(DEADLINE).unwrap();
    swap_both(&gateway, &origin);
    tell.send(()).unwrap();
    let reply = wire.reply();
    let first = stamped(0, "first");
    assert_eq!(reply.header("x-stamp-asked"), Some(first.as_str()));
    assert_eq!(reply.header("x-stamp-answered"), Some(first.as_str()));
    wire.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(wire.reply().header("x-stamp-answered"), Some(stamped(1, "second").as_str()));
}

#[test]
fn a_stream_under_way_ends_on_what_it_began_with_and_its_generation_goes() {
    let (tell, _is_reached, origin) = paced_origin();
    let gateway = stamping(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /events HTTP/1.1\r\nhost: a.test\r\n\r\n");
    let expected = format!("data: tick {}\n\n", stamped(0, "first"));
    let tick = |wire: &mut Wire| {
        tell.send(()).unwrap();
        let mut event = Vec::new();
        while event.len() < expected.len() {
            event.extend(wire.chunk().unwrap());
        }
        assert_eq!(String::from_utf8(event).unwrap(), expected);
    };
    assert_eq!(wire.read_head().unwrap().status, 200);
    tick(&mut wire);
    swap_both(&gateway, &origin);
    for _ in 0..3 {
        tick(&mut wire);
    }
    eventually("one generation for the stream and one for the rest", || {
        (figure(&gateway, "gatewright_generations") == 2.0).then_some(())
    });
    drop(tell);
    assert_eq!(wire.chunk(), None);
    eventually("the old generation is gone", || (figure(&gateway, "gatewright_generations") == 1.0).then_some(()));
}
