import { attach } from './attach.mjs';

// --8<-- [start:account]
/** The same, for our own pages only: the Origin is checked, and a ticket,
 * which POST /ticket gives, takes the place of the cookie.
 * @param {import('node:http').Server} server
 * @param {{ tickets: { redeem: Function }, ordersOf: Function,
 *   origins: string[], logger?: Console }} deps */
export function attachOrders(server, { tickets, ordersOf, ...options }) {
  const sockets = attach(server, {
    ...options, // origins, logger, limits
    path: '/orders',
    authenticate: (req, url) =>
      tickets.redeem(url.searchParams.get('ticket')),
    onOpen: async (socket, user) =>
      sockets.send(socket, JSON.stringify(await ordersOf(user))),
  });
  return sockets;
}

/** A ticket for whoever has a session. No CORS headers, so only our own pages
 * can read the answer; POST, since it changes something.
 * @param {{ sessionOf: Function, tickets: { issue: Function },
 *   logger?: Console }} deps */
export function ticketRoute({ sessionOf, tickets, logger = console }) {
  return async (req, res) => {
    res.setHeader('Cache-Control', 'no-store');
    try {
      const session = req.method === 'POST' && (await sessionOf(req));
      if (!session) return res.writeHead(401).end();
      return res.end(await tickets.issue(session));
    } catch (error) {
      logger.error({ error }, 'ticket'); // a plain server would not catch it
      return res.writeHead(500).end();
    }
  };
}
// --8<-- [end:account]
