// What a handler can do to the protocol, in JavaScript. `sdk_probe.js sync|async [JSON of options]`
'use strict';
const { setTimeout: pause } = require('node:timers/promises');

const { run, ready } = require('../../../sdk/node/drop-function.js');

const { say, ...options } = { message: 'buffer', ...JSON.parse(process.argv[3] ?? '{}') };
let now = 0;
let peak = 0;
let release;
const released = new Promise((resolve) => (release = resolve));

function handle(message) {
  const [word, rest] = String(message).split(' ');
  if (word === 'noise') {
    console.log('noise');
    process.stdout.write('noise\n');
    return 'quiet';
  }
  if (word === 'fail') throw new RangeError('asked to fail');
  if (word === 'newline') return Buffer.from('a\nb');
  if (word === 'term') process.kill(process.pid, 'SIGTERM');
  if (word === 'big') return 'x'.repeat(Number(rest));
  if (options.message === 'json') return [message];
  return typeof message === 'string' ? `=${message}` : Buffer.concat([Buffer.from('='), message]);
}

async function handleAsync(message) {
  peak = Math.max(peak, ++now);
  try {
    await pause(0);
    if (String(message) === 'hold') await released;
    else if (String(message) === 'release') release();
    else if (String(message) === 'peak') return peak;
    return handle(message);
  } finally {
    now--;
  }
}

if (options.onError === 'blame') options.onError = (message, error) => `${message} because ${error.message}`;
if (say) ready(say);
run(process.argv[2] === 'sync' ? handle : handleAsync, options);
