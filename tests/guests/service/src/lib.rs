//! Answers as the path tells it. `service-version-000000` is what it says of itself.

mod bad;
mod good;
mod message;

#[expect(unsafe_code, reason = "generated; the standard documents it")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "tests:service/service", generate_all });
    export!(Service with_types_in self);

    use super::Service;
}

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::types::{IncomingRequest, ResponseOutparam};

struct Service;

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let number = query.parse().unwrap_or(0);
        match path {
            "/version" => message::answer(out, 200, &[], b"service-version-000000"),
            "/echo" => good::echo(&request, out),
            "/count" => good::count(&request, out),
            "/source" => good::source(out, number),
            "/events" => good::events(out, number),
            "/environment" => good::environment(out),
            "/clock" => good::clock(out),
            "/call" => good::call(&request, out),
            "/pass" => good::pass(&request, out),
            "/print" => good::print(out, number),
            "/late" => good::late(out),
            _ => bad::misbehave(path, number, out),
        }
    }
}
