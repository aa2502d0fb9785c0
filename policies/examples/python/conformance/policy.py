"""Does what the request's header `x-case` says, phase by phase, as its twin in tests/guests/conformance does.

The classes are named after the contract's interfaces; an error of a `result` is raised as `Err(value)`. There is no
file system at run time: every module has to be imported here, at the top.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Descriptor, Problem
from wit_world.exports.on_event import (
    Ending,
    Event,
    Outcome_Detach,
    Outcome_Finish,
    Outcome_Pass,
    Outcome_Send,
)
from wit_world.imports import clock, limits, log
from wit_world.imports.types import (
    Decision_Answer,
    Decision_Detach,
    Decision_Next,
    Failure,
    Reply,
    Scalar_Boolean,
    Scalar_Number,
    Scalar_Text,
)

SCHEMA = {
    "type": "object",
    "properties": {"greeting": {"type": "string", "description": "What it says of itself in every answer."}},
    "required": ["greeting"],
    "additionalProperties": False,
}

greeting = ""


def header(exchange, name):
    return exchange.request_headers().get(name) or ""


def case_of(exchange):
    return header(exchange, "x-case")


def text(value):
    return "none" if value is None else value


def said(truth):
    return "true" if truth else "false"


def refusal(call, *arguments):
    """What a call was refused with, "ok" if it was not."""
    try:
        call(*arguments)
        return "ok"
    except Err as error:
        value = error.value
        if hasattr(value, "name"):
            return value.name.lower().replace("_", "-")
        return {"NotJson": "not-json", "BadPatch": "bad-patch"}[type(value).__name__.removeprefix("BodyError_")]


class Lifecycle(exports.Lifecycle):
    def describe(self):
        return Descriptor(json.dumps(SCHEMA), [("version", "0.1.0"), ("summary", "Does what it is told")])

    def validate_config(self, config):
        empty = json.loads(config)["greeting"] == ""
        return [Problem("/greeting", "is empty: write a word")] if empty else []

    def configure(self, config):
        global greeting
        greeting = json.loads(config)["greeting"]
        if greeting == "refuse":
            raise Err("told to refuse its settings")


class OnRequest(exports.OnRequest):
    def handle(self, exchange):
        match case_of(exchange):
            case "headers":
                headers(exchange)
            case "answer":
                reply = Reply(403)
                reply.set_error("told-to-refuse", "refused as told")
                reply.headers().set("x-reason", greeting)
                return Decision_Answer(reply)
            case "page":
                return page(exchange)
            case "failure":
                raise Err(Failure("told-to-fail", "detail for the operator"))
            case "trap":
                raise RuntimeError("told to trap")
            case "rewrite":
                exchange.set_method("PUT")
                exchange.set_path("/rewritten", "a=1")
                exchange.set_authority("rewritten.test")
                exchange.set_upstream("other")
                exchange.request_headers().set("x-unknown", refusal(exchange.set_upstream, "elsewhere"))
            case "detach":
                return Decision_Detach()
            case "metadata":
                metadata(exchange)
            case "state":
                exchange.put_state("bytes", bytes([0, 1, 254, 255]))
            case "take" | "reserve" | "peek":
                return limit(exchange)
            case "shared":
                shared(exchange)
            case "log":
                log.emit(log.Level.INFO, "said as told", [("key", "value")])
            case "clock":
                is_now = clock.now() > 1_700_000_000_000 and clock.now().is_integer()
                goes_on = clock.monotonic() <= clock.monotonic()
                exchange.request_headers().set("x-clock", f"{said(is_now)} {said(goes_on)}")
        return Decision_Next()


class OnRequestBody(exports.OnRequestBody):
    def handle(self, exchange, content):
        headers = exchange.request_headers()
        match case_of(exchange):
            case "json":
                headers.set("x-json", " ".join(map(text, content.json_get(["/a/b", "/none"]))))
                content.json_patch('[{"op":"replace","path":"/a/b","value":"patched"}]')
            case "bad-json":
                headers.set("x-error", refusal(content.json_get, ["/a"]))
            case "bad-patch":
                headers.set("x-error", refusal(content.json_patch, '[{"op":"remove","path":"/x"}]'))
            case "replace":
                content.replace(f"{greeting} of {content.len()}: ".encode() + content.read(1, 3))
        return Decision_Next()


class OnResponse(exports.OnResponse):
    def handle(self, exchange):
        headers = exchange.response_headers()
        headers.set("x-conformance", greeting)
        match case_of(exchange):
            case "state":
                headers.set("x-state", ",".join(map(str, exchange.get_state("bytes"))))
            case "status":
                headers.set("x-was", str(exchange.response_status()))
                exchange.set_response_status(203)
            case "late":
                headers.set("x-late", refusal(exchange.set_method, "PUT"))
            case "reserve":
                settled = refusal(limits.settle, "tokens", header(exchange, "x-key"), 3) == "ok"
                other = refusal(limits.settle, "tokens", "another", 3) == "not-reserved"
                headers.set("x-settled", f"{said(settled)} {said(other)}")
            case "answer-response":
                reply = Reply(418)
                reply.set_body("text/plain", b"a teapot")
                return Decision_Answer(reply)
        return Decision_Next()


class OnResponseBody(exports.OnResponseBody):
    def handle(self, exchange, content):
        if case_of(exchange) == "response-body":
            content.replace(f"{greeting}: ".encode() + content.read(0, content.len()))
        return Decision_Next()


class OnEvent(exports.OnEvent):
    def handle(self, exchange, events, ending):
        match case_of(exchange):
            case "events":
                pass
            case "events-detach":
                return Outcome_Detach()
            case "events-failure":
                raise Err(Failure("told-to-fail", ""))
            case _:
                return Outcome_Pass()
        sent = []
        for event in events:
            match event.data:
                case "swallow":
                    pass
                case "rename":
                    sent.append(Event("renamed", event.data + "!"))
                case "stop":
                    return Outcome_Finish([*sent, Event("", "stopped")])
                case _:
                    sent.append(event)
        if ending == Ending.COMPLETE:
            sent.append(Event("", "complete"))
        return Outcome_Send(sent)


class OnLog(exports.OnLog):
    def handle(self, exchange):
        if case_of(exchange) == "log":
            log.emit(log.Level.INFO, f"over with {exchange.response_status()}", [])


def headers(exchange):
    headers = exchange.request_headers()
    seen = [
        text(headers.get("x-one")),
        text(headers.get("x-none")),
        refusal(headers.get, "x-many"),
        "+".join(value.decode() for value in headers.get_all("x-many")),
        "+".join(map(text, headers.get_many(["x-one", "x-none", "x-many"]))),
        str(sum(name == "x-many" for name, _ in headers.entries())),
        refusal(headers.set, "host", "elsewhere.test"),
    ]
    headers.set("x-seen", " ".join(seen))
    headers.set("X-Set", greeting)
    headers.append("x-many", "added")
    headers.remove("x-gone")


def page(exchange):
    parts = [
        greeting,
        exchange.method(),
        exchange.scheme(),
        exchange.path(),
        exchange.query() or "",
        exchange.property("route.name").value,
        said(exchange.property("no.such") is None),
        said(exchange.id() != ""),
    ]
    reply = Reply(200)
    reply.set_body("text/plain", " ".join(parts).encode())
    return Decision_Answer(reply)


def metadata(exchange):
    values = {"number": Scalar_Number(1.5), "boolean": Scalar_Boolean(True), "text": Scalar_Text("caf\u00e9")}
    for name, value in values.items():
        exchange.put_metadata(f"conformance.{name}", value)
    same = all(exchange.get_metadata(f"conformance.{name}") == value for name, value in values.items())
    same = same and exchange.get_metadata("conformance.none") is None
    foreign = refusal(exchange.put_metadata, "auth.principal", Scalar_Text("root"))
    exchange.request_headers().set("x-metadata", f"{said(same)} {foreign}")


def limit(exchange):
    """Says what became of a charge to a bucket of its own."""

    def charge(bucket, burst, cost):
        return [limits.Charge(bucket, limits.Rate(burst, 3_600_000, burst), header(exchange, "x-key"), cost)]

    match case_of(exchange):
        case "take":
            [verdict] = limits.take(charge("requests", 2, 1))
        case "reserve":
            [verdict] = limits.reserve(charge("tokens", 100, 40))
        case _:
            [verdict] = limits.peek(charge("tokens", 100, 0))
    words = f"{said(verdict.allowed)} {verdict.limit} {verdict.remaining}"
    if not verdict.allowed:
        reply = Reply(429)
        reply.set_body("text/plain", f"{words} {said(verdict.retry_after_ms > 0)}".encode())
        return Decision_Answer(reply)
    exchange.request_headers().set("x-limit", words)
    return Decision_Next()


def shared(exchange):
    """Draws on a bucket of the operator's, and on one that nobody declared."""
    key = header(exchange, "x-key")
    [verdict] = limits.take([limits.Charge("declared", None, key, 1)])
    unknown = refusal(limits.take, [limits.Charge("undeclared", None, key, 1)]) == "unknown-bucket"
    exchange.request_headers().set("x-limit", f"{verdict.remaining} {said(unknown)}")
