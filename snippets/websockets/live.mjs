// --8<-- [start:app]
import express from 'express';
import { ticketRoute } from './account.mjs';
import { attach } from './attach.mjs';
import { createFeed } from './feed.mjs';
import { memoryLog } from './log.mjs';
import { createTickets } from './tickets.mjs';

/** A feed for whoever has a session, by WebSocket once `app.attach(server)`
 * was called, and by SSE. `sessionOf(req)` gives `{ user, expiresAt }`. */
export function createApp({ signal, logger = console, ...deps } = {}) {
  const { log = memoryLog(), tickets = createTickets() } = deps;
  const { sessionOf = () => undefined, origins = [], beatMs } = deps;
  const feed = createFeed({ log, signal, logger, beatMs });
  const app = express();
  app.disable('x-powered-by');
  app.use('/ticket', ticketRoute({ sessionOf, tickets }));
  app.get('/feed', (req, res) => {
    const session = sessionOf(req);
    if (!session) return res.status(401).end();
    return feed.follow(streamOf(res, session), req.get('Last-Event-ID'));
  });

  app.attach = (server) =>
    attach(server, {
      path: '/feed',
      origins,
      logger,
      authenticate: (req, url) =>
        tickets.redeem(url.searchParams.get('ticket')),
      onOpen: (socket, user, url) =>
        feed.follow(socket, url.searchParams.get('after')),
    });
  app.publish = feed.publish;
  return app;
}
// --8<-- [end:app]

// --8<-- [start:sse]
/** A response that the feed takes for a socket: the same events by SSE. The
 * browser reconnects by itself, and sends the last id as Last-Event-ID. */
function streamOf(res, { expiresAt = Infinity }) {
  const left = Math.min(expiresAt - Date.now(), 2 ** 31 - 1);
  const expiry = setTimeout(() => res.end(), left);
  res.once('close', () => clearTimeout(expiry));
  res.set({
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
  });
  res.flushHeaders();
  return {
    OPEN: true,
    get readyState() {
      return res.writable;
    },
    get bufferedAmount() {
      return res.writableLength;
    },
    once: (event, listener) => res.once(event, listener),
    close: () => res.end(),
    send(text, done) {
      const { id } = JSON.parse(text);
      res.write(`${id ? `id: ${id}\n` : ''}data: ${text}\n\n`, done);
    },
  };
}
// --8<-- [end:sse]
