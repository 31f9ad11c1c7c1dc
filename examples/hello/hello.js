// Greets whoever a message names. Not node:readline: it also ends a line at a carriage return.
let rest = '';
process.stdin.setEncoding('utf8').on('data', (chunk) => {
  const names = (rest + chunk).split('\n');
  rest = names.pop();
  for (const name of names) process.stdout.write(`Hello, ${name}, from Node.js\n`);
});
