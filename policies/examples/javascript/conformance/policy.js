// Does what the request's header `x-case` says, phase by phase, as its twin in tests/guests/conformance does.
// The names of the exports are those of the contract's interfaces in camel case; a `result` is a return or a throw.
import { now, monotonic } from "gatewright:policy/clock@0.1.0";
import { peek, reserve, settle, take } from "gatewright:policy/limits@0.1.0";
import { emit } from "gatewright:policy/log@0.1.0";
import { Reply } from "gatewright:policy/types@0.1.0";

let greeting = "";

const next = { tag: "next" };
const answer = (reply) => ({ tag: "answer", val: reply });
const failure = (code, detail) => ({ code, detail });
const text = (value) => value ?? "none";

const header = (exchange, name) => exchange.requestHeaders().get(name) ?? "";
const caseOf = (exchange) => header(exchange, "x-case");

// What a call was refused with, "ok" if it was not. An error of the contract is thrown as the `payload`.
function refusal(call) {
  try {
    call();
    return "ok";
  } catch (error) {
    const payload = error?.payload ?? error;
    return payload.tag ?? payload;
  }
}

// QuickJS has no TextEncoder; what is written here is ASCII, and bytes that are passed on stay as they are.
const bytes = (ascii) => Uint8Array.from(ascii, (character) => character.charCodeAt(0));

function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

// An interface of one function.
const phase = (handle) => ({ handle });

export const lifecycle = {
  describe: () => ({
    configSchema: JSON.stringify({
      type: "object",
      properties: { greeting: { type: "string", description: "What it says of itself in every answer." } },
      required: ["greeting"],
      additionalProperties: false,
    }),
    attributes: [["version", "0.1.0"], ["summary", "Does what it is told"]],
  }),
  validateConfig: (config) =>
    JSON.parse(config).greeting === "" ? [{ at: "/greeting", message: "is empty: write a word" }] : [],
  configure(config) {
    greeting = JSON.parse(config).greeting;
    if (greeting === "refuse") throw "told to refuse its settings";
  },
};

export const onRequest = phase((exchange) => {
  switch (caseOf(exchange)) {
    case "headers":
      headers(exchange);
      break;
    case "answer": {
      const reply = new Reply(403);
      reply.setError("told-to-refuse", "refused as told");
      reply.headers().set("x-reason", greeting);
      return answer(reply);
    }
    case "page":
      return page(exchange);
    case "failure":
      throw failure("told-to-fail", "detail for the operator");
    case "trap":
      throw new Error("told to trap");
    case "rewrite":
      exchange.setMethod("PUT");
      exchange.setPath("/rewritten", "a=1");
      exchange.setAuthority("rewritten.test");
      exchange.setUpstream("other");
      exchange.requestHeaders().set("x-unknown", refusal(() => exchange.setUpstream("elsewhere")));
      break;
    case "detach":
      return { tag: "detach" };
    case "metadata":
      metadata(exchange);
      break;
    case "state":
      exchange.putState("bytes", Uint8Array.of(0, 1, 254, 255));
      break;
    case "take":
    case "reserve":
    case "peek":
      return limit(exchange);
    case "shared":
      shared(exchange);
      break;
    case "log":
      emit("info", "said as told", [["key", "value"]]);
      break;
    case "wasi":
      // Only where WASI is linked; without it `Date.now()` traps.
      exchange.requestHeaders().set("x-now", `${Date.now()}`);
      break;
    case "clock": {
      const isNow = now() > 1_700_000_000_000 && Number.isInteger(now());
      exchange.requestHeaders().set("x-clock", `${isNow} ${monotonic() <= monotonic()}`);
      break;
    }
  }
  return next;
});

export const onRequestBody = phase((exchange, content) => {
  const headers = exchange.requestHeaders();
  switch (caseOf(exchange)) {
    case "json":
      headers.set("x-json", content.jsonGet(["/a/b", "/none"]).map(text).join(" "));
      content.jsonPatch('[{"op":"replace","path":"/a/b","value":"patched"}]');
      break;
    case "bad-json":
      headers.set("x-error", refusal(() => content.jsonGet(["/a"])));
      break;
    case "bad-patch":
      headers.set("x-error", refusal(() => content.jsonPatch('[{"op":"remove","path":"/x"}]')));
      break;
    case "replace":
      content.replace(joined(bytes(`${greeting} of ${content.len()}: `), content.read(1, 3)));
      break;
  }
  return next;
});

export const onResponse = phase((exchange) => {
  const headers = exchange.responseHeaders();
  headers.set("x-conformance", greeting);
  switch (caseOf(exchange)) {
    case "state":
      headers.set("x-state", exchange.getState("bytes").join(","));
      break;
    case "status":
      headers.set("x-was", `${exchange.responseStatus()}`);
      exchange.setResponseStatus(203);
      break;
    case "late":
      headers.set("x-late", refusal(() => exchange.setMethod("PUT")));
      break;
    case "reserve": {
      const settled = refusal(() => settle("tokens", header(exchange, "x-key"), 3)) === "ok";
      const other = refusal(() => settle("tokens", "another", 3)) === "not-reserved";
      headers.set("x-settled", `${settled} ${other}`);
      break;
    }
    case "answer-response": {
      const reply = new Reply(418);
      reply.setBody("text/plain", bytes("a teapot"));
      return answer(reply);
    }
  }
  return next;
});

export const onResponseBody = phase((exchange, content) => {
  if (caseOf(exchange) === "response-body") {
    content.replace(joined(bytes(`${greeting}: `), content.read(0, content.len())));
  }
  return next;
});

export const onEvent = phase((exchange, events, ending) => {
  switch (caseOf(exchange)) {
    case "events":
      break;
    case "events-detach":
      return { tag: "detach" };
    case "events-failure":
      throw failure("told-to-fail", "");
    default:
      return { tag: "pass" };
  }
  const sent = [];
  for (const event of events) {
    if (event.data === "swallow") continue;
    if (event.data === "rename") sent.push({ name: "renamed", data: `${event.data}!` });
    else if (event.data === "stop") return { tag: "finish", val: [...sent, { name: "", data: "stopped" }] };
    else sent.push(event);
  }
  if (ending === "complete") sent.push({ name: "", data: "complete" });
  return { tag: "send", val: sent };
});

export const onLog = phase((exchange) => {
  if (caseOf(exchange) === "log") emit("info", `over with ${exchange.responseStatus()}`, []);
});

function headers(exchange) {
  const headers = exchange.requestHeaders();
  const seen = [
    text(headers.get("x-one")),
    text(headers.get("x-none")),
    refusal(() => headers.get("x-many")),
    headers.getAll("x-many").map((value) => String.fromCharCode(...value)).join("+"),
    headers.getMany(["x-one", "x-none", "x-many"]).map(text).join("+"),
    headers.entries().filter(([name]) => name === "x-many").length,
    refusal(() => headers.set("host", "elsewhere.test")),
  ];
  headers.set("x-seen", seen.join(" "));
  headers.set("X-Set", greeting);
  headers.append("x-many", "added");
  headers.remove("x-gone");
}

function page(exchange) {
  const parts = [
    greeting,
    exchange.method(),
    exchange.scheme(),
    exchange.path(),
    exchange.query() ?? "",
    exchange.property("route.name").val,
    exchange.property("no.such") == null,
    exchange.id() !== "",
  ];
  const reply = new Reply(200);
  reply.setBody("text/plain", bytes(parts.join(" ")));
  return answer(reply);
}

function metadata(exchange) {
  exchange.putMetadata("conformance.number", { tag: "number", val: 1.5 });
  exchange.putMetadata("conformance.boolean", { tag: "boolean", val: true });
  exchange.putMetadata("conformance.text", { tag: "text", val: "caf\u00e9" });
  const read = (name) => exchange.getMetadata(`conformance.${name}`)?.val;
  const same =
    read("number") === 1.5 && read("boolean") === true && read("text") === "caf\u00e9" && read("none") == null;
  const foreign = refusal(() => exchange.putMetadata("auth.principal", { tag: "text", val: "root" }));
  exchange.requestHeaders().set("x-metadata", `${same} ${foreign}`);
}

// Says what became of a charge to a bucket of its own.
function limit(exchange) {
  const charge = (bucket, burst, cost) => [
    { bucket, limit: { tokens: burst, periodMs: 3_600_000, burst }, key: header(exchange, "x-key"), cost },
  ];
  const calls = {
    take: () => take(charge("requests", 2, 1)),
    reserve: () => reserve(charge("tokens", 100, 40)),
    peek: () => peek(charge("tokens", 100, 0)),
  };
  const [verdict] = calls[caseOf(exchange)]();
  const said = `${verdict.allowed} ${verdict.limit} ${verdict.remaining}`;
  if (!verdict.allowed) {
    const reply = new Reply(429);
    reply.setBody("text/plain", bytes(`${said} ${verdict.retryAfterMs > 0}`));
    return answer(reply);
  }
  exchange.requestHeaders().set("x-limit", said);
  return next;
}

// Draws on a bucket of the operator's, and on one that nobody declared.
function shared(exchange) {
  const charge = (bucket) => [{ bucket, limit: undefined, key: header(exchange, "x-key"), cost: 1 }];
  const [{ remaining }] = take(charge("declared"));
  const unknown = refusal(() => take(charge("undeclared"))) === "unknown-bucket";
  exchange.requestHeaders().set("x-limit", `${remaining} ${unknown}`);
}
