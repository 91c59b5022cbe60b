import { WebSocketServer } from 'ws';

// --8<-- [start:account]
/** A customer's orders, live, by the session cookie, as any page has them. */
export function attachOrders(server, { sessionOf, ordersOf }) {
  const wss = new WebSocketServer({ server, path: '/orders' });
  wss.on('connection', async (socket, req) => {
    socket.on('error', () => {});
    const session = sessionOf(req);
    if (!session) return socket.close(4401, 'log in');
    return socket.send(JSON.stringify(await ordersOf(session.user)));
  });
}
// --8<-- [end:account]
