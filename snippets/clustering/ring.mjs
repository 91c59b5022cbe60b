// --8<-- [start:ring]
import { createHash } from 'node:crypto';

/** A number that depends on nothing but the text. */
const place = (text) =>
  createHash('sha1').update(text).digest().readUInt32BE();

/** The server of a key. Each server has many places on a ring, and a key goes
 * to the next place: a new server takes keys only where its places are.
 * @param {string[]} servers */
export function createRing(servers, { points = 100 } = {}) {
  const ring = servers
    .flatMap((server) =>
      Array.from({ length: points }, (_, n) => ({
        at: place(`${server}#${n}`),
        server,
      })),
    )
    .sort((a, b) => a.at - b.at);
  if (ring.length === 0) throw new TypeError('a ring needs a server');
  return function serverOf(key) {
    const at = place(key);
    let [low, high] = [0, ring.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ring[middle].at < at) low = middle + 1;
      else high = middle;
    }
    return ring[low % ring.length].server;
  };
}

export const byModulo = (servers) => (key) =>
  servers[place(key) % servers.length];
// --8<-- [end:ring]
