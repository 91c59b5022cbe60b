// --8<-- [start:feed]
import { limitsOf } from './limits.mjs';

const LIMITS = {
  batch: 100, // events read at once
  beatMs: 20_000,
  most: 10_000, // sockets and streams
};

/** Sends sockets what is appended to `log`, in order and each event once,
 * from where a socket left off. A slow one is only behind.
 * @param {{ log: { append: Function, read: Function, onAppend: Function },
 *   signal?: AbortSignal, logger?: Console, batch?: number,
 *   beatMs?: number, most?: number }} deps */
export function createFeed({ log, signal, logger = console, ...options }) {
  const { batch, beatMs, most } = limitsOf(LIMITS, options);
  const pumps = new Map(); // by socket
  let ended = false;
  const forget = log.onAppend(() => pumps.forEach((pump) => pump()));
  const beat = setInterval(() => {
    for (const [socket] of pumps) {
      if (socket.bufferedAmount === 0) socket.send('{"type":"beat"}');
    }
  }, beatMs);

  /** Sends everybody elsewhere, and takes nobody any more. */
  function end() {
    ended = true;
    clearInterval(beat);
    forget?.();
    for (const [socket] of pumps) socket.close(1012);
  }
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end();
  // --8<-- [end:feed]

  // --8<-- [start:pump]
  /** `cursor` is "epoch.seq" as the client last saw it, or nothing. */
  async function follow(socket, cursor) {
    if (ended) socket.close(1012);
    if (pumps.size >= most) socket.close(1013); // try again later
    if (socket.readyState !== socket.OPEN) return; // or gone while we asked
    let place = parse(cursor);
    let [rung, busy] = [true, false];
    async function pump() {
      rung = true;
      if (busy) return;
      busy = true;
      try {
        while (rung && socket.readyState === socket.OPEN) {
          rung = false; // before reading: a bell meanwhile is not lost
          const page = await log.read(place?.seq ?? Infinity, batch);
          const start = whatToSay(place, page);
          if (start) await sent(socket, { type: start, id: id(page) });
          const rows = start ? [] : page.rows;
          for (const { seq, data } of rows) {
            await sent(socket, { type: 'event', id: id(page, seq), data });
          }
          const { epoch, head } = page;
          place = { epoch, seq: start ? head : (rows.at(-1)?.seq ?? head) };
          rung ||= rows.length === batch;
        }
      } catch (error) {
        logger.error({ error }, 'feed');
        socket.close(1011); // it comes back, and resumes
      }
      busy = false;
    }
    pumps.set(socket, pump);
    socket.once('close', () => pumps.delete(socket));
    await pump();
  }
  return { publish: (data) => log.append(data), follow, end };
}
// --8<-- [end:pump]

// --8<-- [start:cursor]
const id = ({ epoch, head }, seq = head) => `${epoch}.${seq}`;

function parse(cursor) {
  const found = /^([\w-]{1,64})\.(\d{1,15})$/.exec(cursor ?? '');
  if (!found) return cursor ? { epoch: 'unknown', seq: 0 } : undefined;
  return { epoch: found[1], seq: Number(found[2]) };
}

/** 'ready' to one that is new, 'reset' to one that missed what is not kept:
 * it fetches the state again, and goes on from here. */
function whatToSay(place, { epoch, head, rows }) {
  if (!place) return 'ready';
  const next = rows.length > 0 ? rows[0].seq : head + 1;
  return place.epoch === epoch && next === place.seq + 1 ? '' : 'reset';
}

/** Resolves when the kernel has it, or never will. */
const sent = (socket, message) =>
  new Promise((resolve) => {
    socket.send(JSON.stringify(message), resolve);
  });
// --8<-- [end:cursor]
