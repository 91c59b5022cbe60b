// --8<-- [start:limits]
import { once } from 'node:events';
import { STATUS_CODES } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { tokenBucket } from '../rate-limiting/algorithms.mjs';
import { limitsOf } from './limits.mjs';

const LIMITS = {
  maxPayload: 64 * 1024, // bytes of one message
  perSecond: 20, // messages of one socket
  burst: 40,
  perUser: 5, // sockets
  perProcess: 10_000, // sockets, and handshakes that are being decided
  handshakes: 500, // a second: a crowd that comes back is let in bit by bit
  maxBuffered: 2 ** 20, // bytes that wait for one socket
  authenticateMs: 5000,
  heartbeatMs: 30_000,
  closeTimeout: 2000, // ms to answer a close
};
// --8<-- [end:limits]

// --8<-- [start:upgrade]
/** WebSockets at `path` of an http(s) server. `authenticate(req, url)` gives
 * `{ user, expiresAt }`, or nothing. All callbacks may be async, and fail.
 * The limits are for one process.
 * @param {import('node:http').Server} server
 * @param {{ path: string, authenticate: Function, origins?: string[],
 *   onOpen?: Function, onMessage?: Function, logger?: Console,
 *   now?: () => number } & Partial<typeof LIMITS>} options */
export function attach(server, options) {
  const { path, origins = [], authenticate, onOpen, onMessage } = options;
  const { now = Date.now, logger = console } = options;
  const { maxPayload, closeTimeout, ...limits } = limitsOf(LIMITS, options);
  // a text has includes(), too: part of an origin would do
  if (!Array.isArray(origins)) throw new TypeError('origins: not a list');
  if (!authenticate) throw new TypeError('authenticate: missing');
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload,
    closeTimeout,
  });
  const users = new Map(); // user -> that user's sockets
  const undecided = new Set();
  const perSecond = { limit: limits.handshakes, windowMs: 1000 };
  const admit = tokenBucket(perSecond);
  const depart = route(server, path, upgrade);
  // --8<-- [end:upgrade]

  // --8<-- [start:decide]
  async function upgrade(req, socket, head) {
    const late = setTimeout(refuse, limits.authenticateMs, socket, 503);
    const decided = () => {
      clearTimeout(late);
      undecided.delete(socket);
    };
    undecided.add(socket);
    socket.once('close', decided); // authenticate may never answer
    try {
      const url = new URL(req.url, 'http://internal');
      const { origin } = req.headers; // browsers always send it
      if (origin && !origins.includes(origin)) return refuse(socket, 403);
      const all = wss.clients.size + undecided.size;
      if (all > limits.perProcess || !admit('')) return refuse(socket, 503);
      const who = await authenticate(req, url);
      if (!who || who.expiresAt <= now()) return refuse(socket, 401);
      const mine = users.get(userOf(who));
      if (mine?.size >= limits.perUser) return refuse(socket, 429);
      decided();
      return wss.handleUpgrade(req, socket, head, (ws) =>
        accept(ws, who, url),
      );
    } catch (error) {
      logger.error({ error }, 'upgrade');
      return refuse(socket, 500);
    } finally {
      decided();
    }
  }
  // --8<-- [end:decide]

  // --8<-- [start:accept]
  function accept(socket, { user, expiresAt = Infinity }, url) {
    const mine = users.get(user) ?? new Set();
    users.set(user, mine.add(socket));
    // a timer takes 31 bits: whoever has longer comes back after 24 days
    const left = Math.min(expiresAt - now(), 2 ** 31 - 1);
    const expiry = setTimeout(() => socket.close(4001, 'expired'), left);
    socket.once('close', () => {
      clearTimeout(expiry);
      mine.delete(socket);
      if (mine.size === 0) users.delete(user);
    });
    socket.on('error', ({ code }) =>
      logger.info({ user, code }, 'bad frame'),
    );
    const fail = (error) => {
      logger.error({ error, user }, 'socket');
      socket.close(1011);
    };
    listen(socket, user, fail);
    (async () => onOpen?.(socket, user, url))().catch(fail);
  }
  // --8<-- [end:accept]

  // --8<-- [start:messages]
  function listen(socket, user, fail) {
    const { perSecond: limit, burst } = limits;
    const allow = tokenBucket({ limit, windowMs: 1000, burst });
    const inbox = []; // what came with the message that is being handled
    let flooded = false;
    function spend() {
      if (flooded || socket.readyState !== socket.OPEN) return false;
      if (allow('')) return true;
      flooded = true;
      socket.pause(); // what it goes on sending costs us nothing
      if (inbox.length === 0) rest();
      return false;
    }
    async function handle() {
      try {
        for (const [data, isBinary] of inbox) {
          const work = onMessage?.(socket, data, isBinary, user);
          if (!work?.then) continue; // done at once
          socket.pause(); // in order, and the rest waits with its sender
          await work;
        }
      } catch (error) {
        fail(error);
      }
      rest();
    }
    function rest() {
      inbox.length = 0;
      if (flooded) socket.close(1008, 'too many messages');
      else socket.resume();
    }

    socket.on('message', (data, isBinary) => {
      if (spend() && inbox.push([data, isBinary]) === 1) handle();
    });
    socket.on('ping', spend); // ws answers them, and they are not free
    // nor is a pong that nobody asked for
    socket.on('pong', () => awaited.delete(socket) || spend());
  }
  // --8<-- [end:messages]

  // --8<-- [start:heartbeat]
  const awaited = new WeakSet(); // pinged, and not heard of since
  const heartbeat = setInterval(() => {
    for (const socket of wss.clients) {
      if (awaited.has(socket)) socket.terminate();
      else socket.ping();
      awaited.add(socket);
    }
  }, limits.heartbeatMs);
  // --8<-- [end:heartbeat]

  // --8<-- [start:send]
  /** False if the socket is gone, or was too slow and is gone now. */
  function send(socket, data, how) {
    if (socket.readyState !== socket.OPEN) return false;
    const fits = socket.bufferedAmount <= limits.maxBuffered;
    if (fits) socket.send(data, how);
    else socket.terminate(); // close() would queue behind what it won't read
    return fits;
  }

  /** Ends all of a user's sockets: at logout, or when rights change. */
  function disconnect(user) {
    for (const socket of users.get(user) ?? []) socket.close(4001, 'logout');
  }
  // --8<-- [end:send]

  // --8<-- [start:leave]
  /** Tells everybody to come back later, at most `perSecond` of them, and
   * ends those who don't go. All of it takes clients / perSecond and
   * `patienceMs`: the platform's grace period must be longer. */
  async function leave(how = {}) {
    const { code = 1012, patienceMs = 5000, perSecond = Infinity } = how;
    const gone = once(wss, 'close');
    depart(); // whoever comes now gets 503
    wss.close();
    for (const socket of undecided) refuse(socket, 503);
    const batch = Math.max(1, Math.floor(perSecond / 20));
    let told = 0;
    for (const socket of wss.clients) {
      socket.close(code);
      told += 1;
      if (told % batch === 0) await sleep((1000 * batch) / perSecond);
    }
    clearInterval(heartbeat);
    const late = setTimeout(() => {
      for (const socket of wss.clients) socket.terminate();
    }, patienceMs);
    await gone;
    clearTimeout(late);
  }
  // --8<-- [end:leave]

  return { clients: wss.clients, send, disconnect, leave };
}

// --8<-- [start:route]
const served = new WeakMap(); // server -> path -> who upgrades there
const left = (req, socket) => refuse(socket, 503);

/** One listener for all paths of a server, since Node asks every listener:
 * with one for each path, the first would refuse what is for the second. */
function route(server, path, upgrade) {
  const paths = served.get(server) ?? new Map();
  const free = (paths.get(path) ?? left) === left;
  if (!free || !path.startsWith('/'))
    throw new Error(`${path}: not a free path`);
  paths.set(path, upgrade);
  if (!served.has(server)) {
    served.set(server, paths);
    // otherwise Node takes a plain request that offers h2c for one of ours
    server.shouldUpgradeCallback = ({ headers }) =>
      headers.upgrade?.toLowerCase() === 'websocket';
    server.on('upgrade', (req, socket, head) => {
      socket.on('error', () => socket.destroy()); // nobody else listens yet
      const [pathname] = req.url.split('?', 1);
      const there = paths.get(pathname);
      if (there) there(req, socket, head);
      else refuse(socket, 404);
    });
  }
  return () => paths.set(path, left);
}
// --8<-- [end:route]

// --8<-- [start:refuse]
function refuse(socket, code) {
  if (!socket.writable) return; // refused already, or gone
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nConnection: close\r\n\r\n`,
  );
}

/** The key of all that is counted by user: an object never equals another. */
function userOf({ user }) {
  if (typeof user === 'string' || typeof user === 'number') return user;
  throw new TypeError('authenticate: `user` is neither a text nor a number');
}
// --8<-- [end:refuse]
