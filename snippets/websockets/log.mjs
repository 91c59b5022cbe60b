import { randomUUID } from 'node:crypto';
import { connect } from '../rate-limiting/connect.mjs';
import { limitsOf } from './limits.mjs';

// --8<-- [start:memory]
/** The last `keep` events, numbered, for one process.
 * @param {{ keep?: number, epoch?: string }} options */
export function memoryLog({ epoch = randomUUID(), ...options } = {}) {
  const { keep } = limitsOf({ keep: 1000 }, options);
  const rows = [];
  const bells = new Set();
  let head = 0;
  return {
    onAppend: listenersOf(bells),
    async append(data) {
      const text = textOf(data);
      head += 1;
      rows.push({ seq: head, data: JSON.parse(text) });
      if (rows.length > keep) rows.shift();
      bells.forEach((ring) => ring());
      return head;
    },
    async read(seq, limit) {
      const from = rows.findIndex((row) => row.seq > seq);
      const found = from < 0 ? [] : rows.slice(from, from + limit);
      return { epoch, head, rows: found };
    },
  };
}

const listenersOf = (bells) => (ring) => {
  bells.add(ring);
  return () => bells.delete(ring);
};

/** What is no JSON throws at its publisher. From the log it would end every
 * socket, and again each time that one came back. */
function textOf(data) {
  const text = JSON.stringify(data);
  if (text === undefined) throw new TypeError(`not JSON: ${typeof data}`);
  return text;
}
// --8<-- [end:memory]

// --8<-- [start:append]
const APPEND = `
  redis.call('SET', KEYS[1], ARGV[1], 'NX')
  local seq = redis.call('INCR', KEYS[2])
  redis.call('ZADD', KEYS[3], seq, seq .. ' ' .. ARGV[2])
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - ARGV[3])
  redis.call('PUBLISH', KEYS[3], seq)
  return seq`; // one step: no number without its event, none twice
// --8<-- [end:append]

// --8<-- [start:redis]
/** The same for all processes. Pub/sub only rings: who misses it reads at the
 * next one, after a reconnection, or within `everyMs`.
 * @param {{ url: string, signal?: AbortSignal, name?: string,
 *   logger?: Console, keep?: number, everyMs?: number }} options */
export async function redisLog({ url, signal, name = 'feed', ...options }) {
  const { logger = console } = options;
  const limits = limitsOf({ keep: 1000, everyMs: 5000 }, options);
  const keys = ['epoch', 'seq', 'events'].map((part) => `{${name}}:${part}`);
  const [epochKey, seqKey, eventsKey] = keys;
  const bells = new Set();
  const ring = () => bells.forEach((pump) => pump());

  signal?.throwIfAborted();
  const open = new AbortController(); // ends both if one cannot be made
  signal?.addEventListener('abort', () => open.abort());
  const redis = await connect({ url, signal: open.signal, logger });
  async function begin() {
    // a new or emptied Redis is another log: its numbers start again
    await redis.set(epochKey, randomUUID(), 'NX');
    ring();
  }
  redis.on('ready', () =>
    begin().catch((error) => logger.error({ error }, 'log')),
  );
  try {
    await begin();
    // subscribed, a connection can ask nothing
    const bell = await connect({ url, signal: open.signal, logger });
    bell.on('message', ring).on('ready', ring);
    await bell.subscribe(eventsKey);
  } catch (error) {
    open.abort();
    throw error;
  }
  const timer = setInterval(ring, limits.everyMs);
  open.signal.addEventListener('abort', () => clearInterval(timer));
  // --8<-- [end:redis]

  // --8<-- [start:read]
  return {
    onAppend: listenersOf(bells),
    async append(data) {
      const text = textOf(data);
      const args = [...keys, randomUUID(), text, limits.keep];
      return redis.eval(APPEND, keys.length, ...args);
    },
    async read(seq, limit) {
      const after = seq === Infinity ? '(+inf' : `(${seq}`;
      const asked = redis.multi().get(epochKey).get(seqKey);
      asked.zrangebyscore(eventsKey, after, '+inf', 'LIMIT', 0, limit);
      const [epoch, head, rows] = (await asked.exec()).map(valueOf);
      return {
        epoch: epoch ?? 'empty',
        head: Number(head ?? 0),
        rows: rows.map(rowOf),
      };
    },
  };
}

function valueOf([error, value]) {
  if (error) throw error;
  return value;
}

function rowOf(text) {
  const [seq] = text.split(' ', 1);
  return { seq: Number(seq), data: JSON.parse(text.slice(seq.length + 1)) };
}
// --8<-- [end:read]
