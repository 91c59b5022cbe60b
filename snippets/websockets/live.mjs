// --8<-- [start:app]
import express from 'express';
import { ticketRoute } from './account.mjs';
import { attach } from './attach.mjs';
import { createFeed } from './feed.mjs';
import { memoryLog } from './log.mjs';
import { createTickets } from './tickets.mjs';

/** A feed for whoever has a session, by WebSocket once `app.attach(server)`
 * was called, and by SSE. `sessionOf(req)` gives `{ user, expiresAt }`.
 * @param {{ sessionOf?: Function, origins?: string[], log?: object,
 *   tickets?: object, beatMs?: number, signal?: AbortSignal,
 *   leaving?: AbortSignal, logger?: Console }} options */
export function createApp(options = {}) {
  const { signal, leaving = signal, logger = console, ...deps } = options;
  const { log = memoryLog(), tickets = createTickets() } = deps;
  const { sessionOf = () => undefined, origins, beatMs = 20_000 } = deps;
  const feed = createFeed({ log, signal: leaving, logger, beatMs });
  const app = express();
  app.disable('x-powered-by');
  app.use('/ticket', ticketRoute({ sessionOf, tickets, logger }));
  app.get('/feed', async (req, res) => {
    const session = await sessionOf(req);
    const ended = !session || session.expiresAt <= Date.now();
    if (ended) return res.status(401).end();
    const stream = streamOf(res, session, 3 * beatMs);
    return feed.follow(stream, req.get('Last-Event-ID'));
  });
  app.use((error, req, res, next) => {
    logger.error({ error }, 'live');
    return res.headersSent ? next(error) : res.status(500).end();
  });
  // --8<-- [end:app]

  // --8<-- [start:attach]
  app.attach = (server) => {
    const sockets = attach(server, {
      path: '/feed',
      origins,
      logger,
      authenticate: (req, url) =>
        tickets.redeem(url.searchParams.get('ticket')),
      onOpen: (socket, user, url) =>
        feed.follow(socket, url.searchParams.get('after')),
    });
    const leave = (how) => {
      feed.end(); // streams, too: a server that drains would wait for them
      return sockets.leave(how);
    };
    return { ...sockets, leave };
  };
  app.publish = feed.publish;
  return app;
}
// --8<-- [end:attach]

// --8<-- [start:sse]
/** A response that the feed takes for a socket: the same events by SSE. The
 * browser reconnects by itself, and sends the last id as Last-Event-ID. */
function streamOf(res, { expiresAt = Infinity }, stallMs) {
  const left = Math.min(expiresAt - Date.now(), 2 ** 31 - 1);
  const expiry = setTimeout(() => stream.close(), left);
  res.once('close', () => clearTimeout(expiry));
  res.setTimeout(stallMs, () => res.destroy()); // no beat passed: who reads?
  res.set({
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no', // nginx would collect some kilobytes first
    Connection: 'close', // or a drained server waits for the idle connection
  });
  res.flushHeaders();
  const stream = {
    OPEN: true,
    get readyState() {
      return !res.writableEnded && !res.destroyed;
    },
    get bufferedAmount() {
      return res.writableLength;
    },
    once: (event, listener) => res.once(event, listener),
    send(text, done) {
      if (!stream.readyState) return done?.(); // ended in mid-page
      const { id } = JSON.parse(text);
      return res.write(`${id ? `id: ${id}\n` : ''}data: ${text}\n\n`, done);
    },
    close() {
      if (!stream.readyState) return;
      const retry = Math.round(5000 * Math.random()); // ms: not all at once
      res.end(`retry: ${retry}\ndata: {"type":"bye"}\n\n`);
    },
  };
  return stream;
}
// --8<-- [end:sse]
