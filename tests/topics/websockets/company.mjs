// How the exported functions of this topic are used politely; what a recipe holds is
// said in tests/guide/company/world.mjs.
import { createServer } from 'node:http';
import { memoryLog } from '../../../snippets/websockets/log.mjs';
import { createTickets } from '../../../snippets/websockets/tickets.mjs';
import {
  behind,
  express,
  get,
  once,
  require,
} from '../../guide/company/helpers.mjs';

const { WebSocket, WebSocketServer } = require('ws');

/** One message over a socket, or how the socket ended; it leaves after a while. */
async function firstMessage({ host, port }, where) {
  const socket = new WebSocket(`ws://${host}:${port}${where}`);
  const ended = once('close', socket).then(([code]) => `closed ${code}`);
  socket.on('error', () => {});
  const message = once('message', socket).then(([data]) => String(data));
  const late = setTimeout(() => socket.terminate(), 2000);
  const first = await Promise.race([message, ended]);
  clearTimeout(late);
  socket.terminate();
  return first;
}

export const recipes = {
  'websockets/acks.mjs#createInbox': {
    deps: () => ({ save: async () => 1 }),
    use: async (onMessage) => {
      const said = [];
      const socket = { send: (text) => said.push(text), close() {} };
      const work = onMessage(socket, '{"id":"00000001","text":"a"}', false);
      const late = new Promise((on) => setTimeout(on, 1000, 'no ack'));
      return Promise.race([work.then(() => said[0]), late]).catch(
        () => 'the socket is ended by attach()',
      );
    },
    numbers: {},
  },
  'websockets/account.mjs#ticketRoute': {
    deps: () => ({
      sessionOf: () => ({ user: 'ann' }),
      tickets: createTickets(),
    }),
    make: (ticketRoute, deps) =>
      behind([express.Router().use('/ticket', ticketRoute(deps))]),
    requests: [
      { method: 'POST', path: '/ticket', status: 200, asks: 'sessionOf' },
    ],
  },
  'websockets/account.mjs#attachOrders': {
    deps: () => {
      const tickets = createTickets();
      return {
        origins: [],
        tickets,
        issue: tickets.issue,
        ordersOf: async () => ['ord_1'],
      };
    },
    always: ['issue'], // ours, to get in
    make: (attachOrders, { issue, ...deps }) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return { server, issue, sockets: attachOrders(server, deps) };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    use: async ({ issue }, to) =>
      to.port
        ? firstMessage(to, `/orders?ticket=${await issue({ user: 'ann' })}`)
        : '["ord_1"]',
    close: ({ sockets }) => sockets.leave({ patienceMs: 100 }),
  },
  'websockets/attach.mjs#attach': {
    deps: () => ({
      path: '/echo',
      origins: [],
      authenticate: async () => ({ user: 'ann' }),
      onOpen: async (socket) => socket.send('hello'),
      onMessage: async () => {},
    }),
    make: (attach, deps) => {
      const server = createServer((req, res) => res.writeHead(204).end());
      return { server, sockets: attach(server, deps) };
    },
    serve: ({ server }) => server,
    requests: [get('/', 204)],
    use: (_, to) => (to.port ? firstMessage(to, '/echo') : 'hello'),
    close: ({ sockets }) => sockets.leave({ patienceMs: 100 }),
  },
  'websockets/client.mjs#follow': {
    deps: () => ({
      url: async () => 'ws://127.0.0.1:1/',
      onEvent: async () => {},
      spreadMs: 5,
      maxMs: 5,
    }),
    make: (follow, deps) => deps && ((signal) => follow({ ...deps, signal })),
    use: async (run) => {
      const controller = new AbortController();
      const running = run(controller.signal);
      setTimeout(() => controller.abort(), 100);
      await running;
      return 'ended';
    },
    deadline: true,
  },
  'websockets/feed.mjs#createFeed': {
    deps: () => ({ log: memoryLog() }),
    use: async (feed) => feed.publish({ n: 1 }).then(() => 'published'),
    numbers: { batch: 10, beatMs: 1000 },
  },
  'websockets/live.mjs#createApp': {
    deps: () => ({
      sessionOf: async () => ({ user: 'ann' }),
      log: memoryLog(),
      tickets: createTickets(),
    }),
    requests: [
      get('/feed', 200, { asks: 'sessionOf', stream: true }),
      { method: 'POST', path: '/ticket', status: 200, asks: 'sessionOf' },
    ],
  },
  'websockets/log.mjs#memoryLog': {
    use: async (log) => (await log.append({ n: 1 })) > 0,
    numbers: { keep: 10 },
  },
  'websockets/ticker.mjs#tick': {
    make: (tick) => () =>
      tick(new WebSocketServer({ noServer: true }), '[]') ?? 'ticked',
    use: async (run) => run(),
  },
  'websockets/tickets.mjs#createTickets': {
    use: async (tickets) =>
      tickets.redeem(tickets.issue({ user: 'ann' })).user,
    numbers: { ttlMs: 1000 },
  },
};

// what a recipe would have nothing to do with, by its reason
export const without = {
  'takes values and gives a value, at once and the same each time': `
    websockets/limits.mjs#limitsOf
    websockets/acks.mjs#createSender
  `,
  'needs Redis, which the tests of this topic take away from it': `
    websockets/log.mjs#redisLog
  `,
};
