// --8<-- [start:tick]
const missed = new WeakMap(); // how many in a row, by socket

/** The same, to those who have read the last one. Who has not gets the next
 * list, which is newer anyway; who never reads is cut off. */
export function tick(wss, prices, { patience = 500 } = {}) {
  for (const socket of wss.clients) {
    if (socket.bufferedAmount === 0) {
      socket.send(prices);
      missed.delete(socket);
      continue;
    }
    const count = (missed.get(socket) ?? 0) + 1;
    missed.set(socket, count);
    if (count > patience) socket.terminate();
  }
}
// --8<-- [end:tick]
