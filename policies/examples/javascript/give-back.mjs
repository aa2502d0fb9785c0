// node give-back.mjs IN.wasm OUT.wasm: has a component's phases give back what they are lent.
//
// A phase borrows the exchange, and the body where there is one, and must drop both before it returns. What
// componentize-qjs 0.4.5 makes drops them only when the host releases the results, which is too late ("borrow handles
// still remain at the end of the call") and not allowed ("cannot leave component instance"), nor can a script do it.
// Here each phase is wrapped in a function that calls it and then drops, and releasing its results does nothing: what
// that would free is freed with the instance. With a version that drops in time, leave this out.
import { readFileSync, writeFileSync } from "node:fs";

// Each phase: how many parameters its core function has, and which of them are borrowed.
const phases = {
  "on-request": [1, ["exchange"]],
  "on-request-body": [2, ["exchange", "body"]],
  "on-response": [1, ["exchange"]],
  "on-response-body": [2, ["exchange", "body"]],
  "on-event": [4, ["exchange"]],
  "on-log": [1, ["exchange"]],
};

const text = (bytes) => Buffer.from(bytes).toString("utf8");

// An unsigned number in LEB128.
function leb(number) {
  const bytes = [];
  do {
    bytes.push((number & 0x7f) | (number > 0x7f ? 0x80 : 0));
    number >>>= 7;
  } while (number > 0);
  return bytes;
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  byte() {
    return this.bytes[this.at++];
  }
  number() {
    for (let number = 0, shift = 0; ; shift += 7) {
      const byte = this.byte();
      number |= (byte & 0x7f) << shift;
      if (byte < 0x80) return number >>> 0;
    }
  }
  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  name() {
    return text(this.take(this.number()));
  }
  rest() {
    return this.bytes.subarray(this.at);
  }
}

function sections(bytes) {
  const reader = new Reader(bytes);
  reader.take(8);
  const found = [];
  while (reader.at < bytes.length) found.push({ id: reader.byte(), bytes: reader.take(reader.number()) });
  return found;
}

const assemble = (bytes, found) =>
  Buffer.concat([bytes.subarray(0, 8), ...found.flatMap((one) => [Buffer.from([one.id, ...leb(one.bytes.length)]), one.bytes])]);

// A component with its core modules (section 1) and nested components (section 4) rewritten.
function component(bytes) {
  const rewrite = { 1: coreModule, 4: component };
  return assemble(bytes, sections(bytes).map((one) => ({ id: one.id, bytes: rewrite[one.id]?.(one.bytes) ?? one.bytes })));
}

// The imported functions, by name; in a module of bindings only functions, tables, memories and globals are imported.
function imports(section) {
  const reader = new Reader(section);
  const functions = [];
  for (let left = reader.number(); left > 0; left--) {
    const [module, name, kind] = [reader.name(), reader.name(), reader.byte()];
    if (kind === 0) functions.push(`${module} ${name}`);
    if (kind === 0) reader.number();
    else if (kind === 3) reader.take(2);
    else {
      if (kind === 1) reader.byte();
      if (reader.byte() & 1) reader.number();
      reader.number();
    }
  }
  return functions;
}

// Calls a function with all parameters (`local.get`, `call`), then drops the first of them.
function wrapper(index, [parameters, borrowed], drop) {
  const call = Array.from({ length: parameters }, (_, parameter) => [0x20, parameter]).flat();
  const drops = borrowed.flatMap((what, parameter) => [0x20, parameter, 0x10, ...leb(drop(what))]);
  return [0, ...call, 0x10, ...leb(index), ...drops, 0x0b];
}

let wrapped = 0;

function coreModule(bytes) {
  const found = sections(bytes);
  const section = (id) => found.find((one) => one.id === id);
  const imported = section(2) ? imports(section(2).bytes) : [];
  const drop = (what) => imported.indexOf(`gatewright:policy/types@0.1.0 [resource-drop]${what}`);
  if (drop("exchange") < 0 || !section(7)) return bytes;

  const declared = new Reader(section(3).bytes);
  const types = Array.from({ length: declared.number() }, () => declared.number());
  const more = { types: [], bodies: [] };
  const reader = new Reader(section(7).bytes);
  const exports = [];
  for (let left = reader.number(); left > 0; left--) {
    const [name, kind, index] = [reader.name(), reader.byte(), reader.number()];
    const [, release, phase] = name.match(/^(cabi_post_)?gatewright:policy\/(on-[a-z-]+)@0\.1\.0#handle$/) ?? [];
    exports.push([name, kind, phase ? imported.length + types.length + more.types.length : index]);
    if (!phase) continue;
    const body = release ? [0, 0x0b] : wrapper(index, phases[phase], drop);
    more.types.push(types[index - imported.length]);
    more.bodies.push([...leb(body.length), ...body]);
    wrapped++;
  }

  section(3).bytes = Buffer.from([types, more.types].flat().reduce((all, type) => [...all, ...leb(type)], leb(types.length + more.types.length)));
  section(7).bytes = Buffer.concat([
    Buffer.from(leb(exports.length)),
    ...exports.map(([name, kind, index]) => {
      const encoded = Buffer.from(name);
      return Buffer.concat([Buffer.from(leb(encoded.length)), encoded, Buffer.from([kind, ...leb(index)])]);
    }),
  ]);
  const code = new Reader(section(10).bytes);
  const count = code.number() + more.bodies.length;
  section(10).bytes = Buffer.concat([Buffer.from(leb(count)), code.rest(), Buffer.from(more.bodies.flat())]);
  return assemble(bytes, found);
}

const [from, to] = process.argv.slice(2);
const rewritten = component(readFileSync(from));
if (wrapped === 0) throw new Error(`${from} has no phase of gatewright:policy@0.1.0`);
writeFileSync(to, rewritten);
