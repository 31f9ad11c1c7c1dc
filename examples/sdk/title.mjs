// title: the title that an order has, from an order as JSON. Looks the articles up one by one, many
// orders at a time; the answers come in the order of the messages all the same.
import { setTimeout as pause } from 'node:timers/promises';

import { run } from '../../sdk/node/drop-function.js';

const ARTICLES = { 7: 'pen', 8: 'paper' };

async function article(number) {
  await pause(1); // as long as a database would take
  return ARTICLES[number] ?? 'unknown';
}

async function title({ order, articles }) {
  return { order, title: (await Promise.all(articles.map(article))).join(' and ') };
}

run(title, { message: 'json', onError: 'answer' });
