// --8<-- [start:limits]
import { once } from 'node:events';
import { STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';
import { tokenBucket } from '../rate-limiting/algorithms.mjs';

const LIMITS = {
  maxPayload: 64 * 1024, // bytes of one message
  rate: { perSecond: 20, burst: 40 }, // messages of one socket
  perUser: 5, // sockets
  maxBuffered: 2 ** 20, // bytes that wait for one socket
  heartbeatMs: 30_000,
  closeTimeout: 2000, // ms to answer a close
};
// --8<-- [end:limits]

// --8<-- [start:upgrade]
/** WebSockets on an http(s) server. `authenticate(req, url)` gives `{ user,
 * expiresAt }`, or nothing. The limits are for one process. */
export function attach(server, options) {
  const { path, origins, authenticate, onOpen, onMessage } = options;
  const { now = Date.now, logger = console } = options;
  const { maxPayload, rate, perUser, ...limits } = { ...LIMITS, ...options };
  const { maxBuffered, heartbeatMs, closeTimeout } = limits;
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload,
    closeTimeout,
  });
  const users = new Map(); // user -> that user's sockets

  async function upgrade(req, socket, head) {
    const broken = () => socket.destroy();
    socket.on('error', broken); // nobody else listens yet
    try {
      const url = new URL(req.url, 'http://internal');
      const { origin } = req.headers; // browsers always send it
      if (url.pathname !== path) return refuse(socket, 404);
      if (origin && !origins.includes(origin)) return refuse(socket, 403);
      const who = await authenticate(req, url);
      if (!who) return refuse(socket, 401);
      if (users.get(who.user)?.size >= perUser) return refuse(socket, 429);
      socket.off('error', broken);
      return wss.handleUpgrade(req, socket, head, (ws) =>
        accept(ws, who, url),
      );
    } catch (error) {
      logger.error({ error }, 'upgrade');
      return refuse(socket, 500);
    }
  }
  server.on('upgrade', upgrade);
  // --8<-- [end:upgrade]

  // --8<-- [start:accept]
  function accept(socket, { user, expiresAt = Infinity }, url) {
    const mine = users.get(user) ?? new Set();
    users.set(user, mine.add(socket));
    // a timer takes 31 bits: whoever has longer comes back after 24 days
    const left = Math.min(expiresAt - now(), 2 ** 31 - 1);
    const expiry = setTimeout(() => socket.close(4001, 'expired'), left);
    const allow = tokenBucket({
      limit: rate.perSecond,
      windowMs: 1000,
      burst: rate.burst,
    });
    function spend() {
      if (socket.readyState !== socket.OPEN) return false; // closing
      if (allow('')) return true;
      socket.close(1008, 'too many messages');
      socket.pause(); // what it goes on sending costs us nothing
      return false;
    }

    socket.on('error', ({ code }) =>
      logger.info({ user, code }, 'bad frame'),
    );
    socket.on('ping', spend); // ws answers them, and they are not free
    socket.on('pong', () => awaited.delete(socket));
    socket.on('message', async (data, isBinary) => {
      try {
        if (spend()) await onMessage?.(socket, data, isBinary, user);
      } catch (error) {
        logger.error({ error, user }, 'message');
        socket.close(1011);
      }
    });
    socket.once('close', () => {
      clearTimeout(expiry);
      mine.delete(socket);
      if (mine.size === 0) users.delete(user);
    });
    onOpen?.(socket, user, url);
  }
  // --8<-- [end:accept]

  // --8<-- [start:heartbeat]
  const awaited = new WeakSet(); // pinged, and not heard of since
  const heartbeat = setInterval(() => {
    for (const socket of wss.clients) {
      if (awaited.has(socket)) socket.terminate();
      else socket.ping();
      awaited.add(socket);
    }
  }, heartbeatMs);
  // --8<-- [end:heartbeat]

  // --8<-- [start:send]
  /** False if the socket is gone, or was too slow and is gone now. */
  function send(socket, data, how) {
    if (socket.readyState !== socket.OPEN) return false;
    const fits = socket.bufferedAmount <= maxBuffered;
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
  /** Tells everybody to come back later, and ends those who don't go. */
  async function leave({ code = 1012, patienceMs = 5000 } = {}) {
    const gone = once(wss, 'close');
    wss.close(); // whoever comes now gets 503
    clearInterval(heartbeat);
    for (const socket of wss.clients) socket.close(code);
    const late = setTimeout(() => {
      for (const socket of wss.clients) socket.terminate();
    }, patienceMs);
    await gone;
    clearTimeout(late);
    server.off('upgrade', upgrade);
  }
  // --8<-- [end:leave]

  return { clients: wss.clients, send, disconnect, leave };
}

// --8<-- [start:refuse]
function refuse(socket, code) {
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${code} ${STATUS_CODES[code]}\r\nConnection: close\r\n\r\n`,
  );
}
// --8<-- [end:refuse]
