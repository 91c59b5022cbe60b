import { attach } from './attach.mjs';

// --8<-- [start:account]
/** The same, for our own pages only: the Origin is checked, and a ticket,
 * which POST /ticket gives, takes the place of the cookie. */
export function attachOrders(server, { origins, tickets, ordersOf }) {
  const sockets = attach(server, {
    path: '/orders',
    origins,
    authenticate: (req, url) =>
      tickets.redeem(url.searchParams.get('ticket')),
    onOpen: async (socket, user) =>
      sockets.send(socket, JSON.stringify(await ordersOf(user))),
  });
  return sockets;
}

/** A ticket for whoever has a session. No CORS headers, so only our own pages
 * can read the answer; POST, since it changes something. */
export function ticketRoute({ sessionOf, tickets }) {
  return (req, res) => {
    const session = req.method === 'POST' && sessionOf(req);
    res.setHeader('Cache-Control', 'no-store');
    if (!session) return res.writeHead(401).end();
    return res.end(tickets.issue(session));
  };
}
// --8<-- [end:account]
