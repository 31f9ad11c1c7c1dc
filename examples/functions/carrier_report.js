// carrier_report: the totals of by_carrier as a league table for people, the most late first:
// `flights=26398 | 36.1% late  1442/3996  ExpressJet Airlines Inc. | ...`
// It keeps nothing between messages, so it may have any number of workers.

const fs = require('fs');
const path = require('path');

const airlines = path.join(__dirname, '..', 'data', 'airlines.csv');
const names = new Map(
  fs.readFileSync(airlines, 'utf8').trim().split('\n').map((line) => line.split(',')),
);

function report(totals) {
  const [flights, ...carriers] = totals.split(' ');
  const rows = carriers.map((carrier) => {
    const [code, late, all] = carrier.split(/[=/]/);
    return { name: names.get(code) || code, late, all, share: late / all };
  });
  rows.sort((a, b) => b.share - a.share || b.all - a.all);
  const cells = rows.map(
    ({ name, late, all, share }) => `${(100 * share).toFixed(1)}% late  ${late}/${all}  ${name}`,
  );
  return [flights, ...cells].join(' | ');
}

// Not node:readline: it also ends a line at a carriage return and at U+2028.
let rest = '';
process.stdin.setEncoding('utf8').on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) process.stdout.write(`${report(line)}\n`);
});
