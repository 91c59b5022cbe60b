// --8<-- [start:tick]
/** The price list, to everybody, many times a second. */
export function tick(wss, prices) {
  for (const socket of wss.clients) socket.send(prices);
}
// --8<-- [end:tick]
