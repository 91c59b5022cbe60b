// output: varies — it prints how long things took
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createOrders } from './layered/application.mjs';
import * as domain from './layered/domain.mjs';
import { memoryStore } from './layered/memory.mjs';
import { sqliteStore } from './layered/sqlite.mjs';

// one interface to each level: place(items) and pay() give an order or throw
const inDomain = async () => {
  const prices = new Map([['tea', 450]]).set('pot', 12_500);
  let [order, owed] = [null, 0];
  return {
    async place(items) {
      order = domain.newOrder({ id: 'a', items }, prices, owed);
      owed += order.total;
      return order;
    },
    pay: async () => (order = domain.pay(order)),
  };
};

const inApplication = (store) => async () => {
  const orders = createOrders(store());
  let id;
  return {
    async place(items) {
      const order = await orders.place('ann', { items });
      id = order.id;
      return order;
    },
    pay: () => orders.pay('ann', id),
  };
};

const overHttp = (version) => async () => {
  const { createApp } = await import(`./${version}/app.mjs`);
  const app = await createApp({ authenticate: () => ({ id: 'ann' }) });
  const server = createServer(app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${server.address().port}/orders`;
  const post = async (path, body) => {
    const headers = { 'Content-Type': 'application/json' };
    const content = { method: 'POST', headers, body: JSON.stringify(body) };
    const answer = await fetch(url + path, content);
    if (!answer.ok) throw new Error(`${answer.status}`);
    return answer.json();
  };
  let id;
  return {
    async place(items) {
      const order = await post('', { items });
      id = order.id;
      return order;
    },
    pay: () => post(`/${id}/payment`, {}),
    close: () => (server.close(), server.closeAllConnections()),
  };
};

const fails = (promise) =>
  promise.then(
    () => false,
    () => true,
  );
const of = (sku, quantity) => [{ sku, quantity }];

// --8<-- [start:rules]
const RULES = {
  'a total comes from the catalogue': async ({ place }) =>
    (await place([...of('tea', 2), ...of('pot', 1)])).total === 13_400,
  'what is unknown is refused': ({ place }) => fails(place(of('cup', 1))),
  'an order is paid once': async ({ place, pay }) => {
    await place(of('tea', 1));
    return (await pay()).status === 'paid' && fails(pay());
  },
};
const LEVELS = {
  'domain: no double': inDomain,
  'application, store in memory: one': inApplication(memoryStore),
  'application, SQLite: no double': inApplication(sqliteStore),
  'HTTP and SQLite, layered: no double': overHttp('layered'),
  'HTTP and SQLite, MVC: no double': overHttp('mvc'),
  'HTTP and SQLite, one file: no double': overHttp('onefile'),
};
// --8<-- [end:rules]

const took = Object.fromEntries(Object.keys(LEVELS).map((l) => [l, []]));
for (let round = 0; round < 7; round += 1) {
  for (const [level, open] of Object.entries(LEVELS)) {
    for (const [name, rule] of Object.entries(RULES)) {
      const begun = performance.now();
      const shop = await open();
      const holds = await rule(shop);
      shop.close?.();
      if (round) took[level].push(performance.now() - begun);
      if (!holds) throw new Error(`${level}: not so: ${name}`);
    }
  }
}
for (const [level, times] of Object.entries(took)) {
  const median = times.sort((a, b) => a - b)[times.length >> 1];
  console.log(
    `${level}; ${times.length} checks, ${median.toFixed(3)} ms each`,
  );
}
