'use strict';
// A function in JavaScript: say what one message becomes; reading, order, batches and the end are
// here.
//
//     const { run } = require('./drop-function.js'); // import { run } from './drop-function.js'
//
//     run((message) => message.toUpperCase());
//
// For Node.js 18.14 or later, without dependencies; copy it next to a program. Functions need none
// of this, see docs/sdk.md. Whatever a handler does, each message has one answer, in order (kind
// `async`: with its token), and what it writes to the console or to process.stdout goes to stderr.
// One chunk of stdin gives the messages that wait, and one write takes all their answers.
// What the exported functions do and take is said in drop-function.d.ts.

const { Buffer, isUtf8 } = require('node:buffer');
const { performance } = require('node:perf_hooks');

const MESSAGE_BYTES_MAX = 2 ** 30; // the largest payload_max that a node can have
const HOLD_LENGTH = 1 << 16; // of answers, before they are written
const HOLD_MS = 1; // of handlers, after which answers wait no more
const LENGTH_BYTES = 4;
const NEWLINE = 10;
const NCM = '\tncm\t'; // what a newline travels as ...
const NCM_ON = process.env.DROP_NEWLINE === 'ncm'; // ... if the flow says `newline: ncm`
const KINDS = ['line', 'frame', 'async', 'exec'];

const ownWrite = process.stdout.write.bind(process.stdout);
let running = false;

function run(handler, options = {}) {
  if (running) throw new Error('run() came a second time; a process is one function');
  const wire = new Wire(handler, options);
  running = true;
  keepStdout();
  return new Promise((resolve, reject) => new Loop(wire, resolve, reject).start());
}

function ready(text) {
  if (running) throw new Error('ready() after run() would be taken for an answer; call it before');
  keepStdout();
  ownWrite(line(text, 'the text of ready()'));
}

function emit(event) {
  if (running) throw new Error('emit() is for kind stream; a handler returns its answer');
  keepStdout();
  return ownWrite(line(encode(event, false), 'an event'));
}

function keepStdout() {
  process.stdout.write = process.stderr.write.bind(process.stderr);
}

// ---- What messages and answers look like: no I/O. A "text" is a string, or bytes in a Buffer.

function encode(result, asJson) {
  if (result instanceof Uint8Array)
    return Buffer.from(result.buffer, result.byteOffset, result.byteLength);
  if (!asJson && typeof result === 'string') return result;
  if (!asJson && (result === null || result === undefined)) return '';
  const json = JSON.stringify(result === undefined ? null : result);
  if (json === undefined) throw new TypeError(`a ${typeof result} is no answer`);
  return json;
}

// latin1 keeps every byte.
function replaced(text, from, to) {
  if (typeof text === 'string') return text.replaceAll(from, to);
  return Buffer.from(text.toString('latin1').replaceAll(from, to), 'latin1');
}

function joined(texts) {
  if (texts.length === 1) return texts[0];
  if (texts.every((text) => typeof text === 'string')) return texts.join('');
  return Buffer.concat(texts.map((text) => (typeof text === 'string' ? Buffer.from(text) : text)));
}

function cut(text, from, to) {
  return typeof text === 'string' ? text.slice(from, to) : text.subarray(from, to);
}

function line(text, what, message) {
  if (text.includes('\n')) {
    if (!NCM_ON) {
      const named = message === undefined ? '' : ` ${JSON.stringify(String(cut(message, 0, 60)))}`;
      const advice = 'use kind: frame, or newline: ncm in the flow';
      throw new RangeError(`${what}${named} has a newline; ${advice}`);
    }
    text = replaced(text, '\n', NCM);
  }
  return typeof text === 'string' ? `${text}\n` : joined([text, '\n']);
}

// What arrived is no message: nothing that follows can be understood.
class Fault extends Error {}

// Turns what was read into messages, messages into what the handler takes, and what it returns into
// answers.
class Wire {
  constructor(handler, { kind, message = 'string', concurrency = 256, onError = 'exit' }) {
    const given = process.env.DROP_KIND || kind || 'line';
    if (typeof handler !== 'function') throw new TypeError('the handler is no function');
    if (!KINDS.includes(given) || (kind && kind !== given))
      throw new RangeError(`the flow says kind ${given}; expected ${kind || KINDS.join(', ')}`);
    if (!['string', 'buffer', 'json'].includes(message))
      throw new RangeError(`message is ${message}; expected string, buffer or json`);
    if (!(concurrency >= 1))
      throw new RangeError(`concurrency is ${concurrency}; expected 1 or more`);
    if (typeof onError !== 'function' && !['exit', 'answer'].includes(onError))
      throw new RangeError(`onError is ${onError}; expected exit, answer or a function`);
    Object.assign(this, { handler, kind: given, message, concurrency, onError });
    this.parts = []; // of the message that is not complete ...
    this.held = 0; // ... and their bytes
    this.needed = LENGTH_BYTES; // of a frame, before there is anything to look at
    this.fault = null;
  }

  // The messages that the chunk completes: texts.
  feed(chunk) {
    this.parts.push(chunk);
    this.held += chunk.length;
    let messages = [];
    if (this.kind === 'frame') messages = this.frames();
    else if (this.kind !== 'exec') messages = this.lines(chunk);
    if (this.held > MESSAGE_BYTES_MAX + LENGTH_BYTES)
      this.fault ??= new Fault(`a message has more than ${MESSAGE_BYTES_MAX} bytes`);
    return messages;
  }

  // The messages that the end of stdin completes. Half a message is none.
  end() {
    if (this.kind === 'exec') return [Buffer.concat(this.parts)];
    if (this.held)
      this.fault ??= new Fault(`stdin ended inside a message, ${this.held} bytes are dropped`);
    return [];
  }

  // All of the parts: what is left of them is set again by whoever takes messages out.
  taken() {
    const data = this.parts.length === 1 ? this.parts[0] : Buffer.concat(this.parts);
    this.parts = [];
    this.held = 0;
    return data;
  }

  keep(rest) {
    this.parts.push(rest);
    this.held = rest.length;
  }

  lines(chunk) {
    const last = chunk.lastIndexOf(NEWLINE);
    if (last < 0) return [];
    const data = this.taken();
    const end = data.length - chunk.length + last;
    if (end + 1 < data.length) this.keep(data.subarray(end + 1));
    const whole = end + 1 < data.length ? data.subarray(0, end) : data;
    // Decoded and cut at once, which is many times quicker; no character contains a newline.
    if (this.message !== 'buffer' && isUtf8(whole))
      return whole.toString('utf8', 0, end).split('\n');
    const messages = [];
    for (let start = 0; start <= end; ) {
      const newline = data.indexOf(NEWLINE, start);
      messages.push(data.subarray(start, newline));
      start = newline + 1;
    }
    return messages;
  }

  frames() {
    if (this.held < this.needed) return [];
    const data = this.taken();
    const messages = [];
    let start = 0;
    this.needed = LENGTH_BYTES;
    while (start + LENGTH_BYTES <= data.length) {
      const body = start + LENGTH_BYTES;
      const end = body + data.readUInt32BE(start);
      if (end - body > MESSAGE_BYTES_MAX)
        this.fault = new Fault(`a message has ${end - body} bytes, more than ${MESSAGE_BYTES_MAX}`);
      if (this.fault || end > data.length) {
        this.needed = end - start;
        break;
      }
      messages.push(data.subarray(body, end));
      start = end;
    }
    if (start < data.length) this.keep(data.subarray(start));
    return messages;
  }

  // The message without its token.
  body(message) {
    if (this.kind !== 'async') return message;
    const at = message.indexOf('::');
    if (at < 0) throw new Fault('a message of kind async without TOKEN::');
    return cut(message, at + 2);
  }

  // What the handler gets.
  opened(message) {
    let text = this.body(message);
    if (NCM_ON && (this.kind === 'line' || this.kind === 'async')) text = replaced(text, NCM, '\n');
    if (this.message === 'buffer') return text;
    if (typeof text !== 'string' && !isUtf8(text))
      throw new TypeError("the message is not UTF-8; take bytes: message: 'buffer'");
    return this.message === 'json' ? JSON.parse(text.toString()) : text.toString();
  }

  // The answer as it is written: a text. Throws for a result that cannot be carried.
  sealed(message, result) {
    const text = encode(result, this.message === 'json');
    if (this.kind === 'exec') return text;
    if (this.kind === 'frame') {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt32BE(Buffer.byteLength(text));
      return joined([length, text]);
    }
    const answer = line(text, 'the answer to', message);
    if (this.kind === 'line') return answer;
    return joined([cut(message, 0, message.indexOf('::') + 2), answer]);
  }

  // The answer instead of the one that failed; or throws.
  failed(message, error) {
    if (error instanceof Fault || this.onError === 'exit') throw error;
    console.error(error);
    if (typeof this.onError === 'function')
      return this.sealed(message, this.onError(Buffer.from(this.body(message)), error));
    return this.sealed(message, { error: String(error) });
  }
}

// ---- Reading, running and writing

// A message that has no answer, and the end of the function.
class Leaving {
  constructor(error) {
    this.error = error;
  }
}

class Loop {
  constructor(wire, resolve, reject) {
    Object.assign(this, { wire, resolve, reject });
    this.inOrder = wire.kind !== 'async';
    this.backlog = []; // at most what one chunk gave ...
    this.at = 0; // ... and the first of it that was not begun
    this.slots = []; // of answers that wait for an earlier one, or for their handler
    this.open = 0; // messages that were begun and have no answer
    this.answers = [];
    this.held = 0; // the length of `answers`
    this.leaving = null;
    this.reads = true;
    this.ended = this.blocked = this.scheduled = this.over = false;
    this.terminate = () => this.end();
  }

  start() {
    process.stdin.on('data', (chunk) => {
      if (this.ended) return;
      this.add(this.wire.feed(chunk));
      this.ended = this.wire.fault !== null;
      this.work();
    });
    process.stdin.on('end', this.terminate);
    process.stdin.on('error', (error) => this.leave(error));
    process.stdout.on('error', (error) => this.leave(error.code === 'EPIPE' ? null : error));
    if (this.wire.kind !== 'exec') process.on('SIGTERM', this.terminate);
  }

  add(messages) {
    this.backlog = this.backlog.length ? this.backlog.concat(messages) : messages;
  }

  end() {
    if (this.ended) return;
    this.ended = true;
    this.add(this.wire.end());
    this.work();
  }

  // Begins what can be begun, writes what can be written, and reads on when nothing waits.
  work() {
    if (this.over) return;
    const many = this.backlog.length - this.at > 1;
    let since = many ? performance.now() : 0;
    while (this.at < this.backlog.length && this.open < this.wire.concurrency && !this.blocked) {
      this.begin(this.backlog[this.at++]);
      if (this.held > HOLD_LENGTH || (many && performance.now() - since > HOLD_MS)) {
        this.flush();
        since = performance.now();
      }
    }
    this.flush();
    const begun = this.at === this.backlog.length;
    const reads = begun && !this.ended;
    if (reads !== this.reads) process.stdin[reads ? 'resume' : 'pause']();
    this.reads = reads;
    if (begun && this.ended && !this.open && !this.blocked)
      this.leave(this.leaving ? this.leaving.error : this.wire.fault);
    if (!begun) return;
    this.backlog = [];
    this.at = 0;
  }

  begin(message) {
    this.open++;
    let outcome;
    try {
      const result = this.wire.handler(this.wire.opened(message));
      if (typeof result?.then === 'function') {
        this.wait(message, result);
        return;
      }
      outcome = this.wire.sealed(message, result);
    } catch (error) {
      outcome = this.failed(message, error);
    }
    if (this.inOrder && this.slots.length) this.slots.push({ outcome });
    else this.done(outcome);
  }

  async wait(message, promise) {
    const slot = { outcome: null };
    if (this.inOrder) this.slots.push(slot);
    try {
      slot.outcome = this.wire.sealed(message, await promise);
    } catch (error) {
      slot.outcome = this.failed(message, error);
    }
    if (!this.inOrder) this.done(slot.outcome);
    while (this.slots.length && this.slots[0].outcome !== null)
      this.done(this.slots.shift().outcome);
    if (this.scheduled) return;
    this.scheduled = true; // once for all that end in this turn
    setImmediate(() => {
      this.scheduled = false;
      this.work();
    });
  }

  failed(message, error) {
    try {
      return this.wire.failed(message, error);
    } catch (last) {
      return new Leaving(last);
    }
  }

  // In order, there are no answers behind one that failed.
  done(outcome) {
    this.open--;
    if (!(outcome instanceof Leaving)) {
      this.answers.push(outcome);
      this.held += outcome.length;
      return;
    }
    this.leaving ??= outcome;
    this.ended = true;
    this.backlog = [];
    this.at = 0;
    if (this.inOrder) {
      this.slots = [];
      this.open = 0;
    }
  }

  flush() {
    if (!this.answers.length || this.blocked || this.over) return;
    const data = joined(this.answers);
    this.answers = [];
    this.held = 0;
    if (ownWrite(data)) return;
    this.blocked = true;
    process.stdout.once('drain', () => {
      this.blocked = false;
      this.work();
    });
  }

  // When all is written, which a rejection that ends the process would not wait for.
  leave(error) {
    if (this.over) return;
    this.over = true;
    process.stdin.destroy();
    process.off('SIGTERM', this.terminate);
    const settle = () => (error ? this.reject(error) : this.resolve());
    if (process.stdout.destroyed || process.stdout.errored) settle();
    else ownWrite('', settle);
  }
}

module.exports = { run, ready, emit };
