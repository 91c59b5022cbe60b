import { randomUUID } from 'node:crypto';
import { connect } from '../rate-limiting/connect.mjs';

// --8<-- [start:memory]
/** The last `keep` events, numbered, for one process. */
export function memoryLog({ keep = 1000, epoch = randomUUID() } = {}) {
  const rows = [];
  const bells = new Set();
  let head = 0;
  return {
    onAppend: (ring) => bells.add(ring),
    async append(data) {
      head += 1;
      rows.push({ seq: head, data });
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
 * next one, after a reconnection, or within `everyMs`. */
export async function redisLog({ url, signal, name = 'feed', ...options }) {
  const { keep = 1000, everyMs = 5000, logger = console } = options;
  const redis = await connect({ url, signal });
  const bell = await connect({ url, signal }); // subscribed, it can't ask
  const keys = ['epoch', 'seq', 'events'].map((part) => `{${name}}:${part}`);
  const [epochKey, seqKey, eventsKey] = keys;
  const bells = new Set();
  const ring = () => bells.forEach((pump) => pump());
  async function begin() {
    // a new or emptied Redis is another log: its numbers start again
    await redis.set(epochKey, randomUUID(), 'NX');
    ring();
  }
  await begin();
  redis.on('ready', () => begin().catch((error) => logger.error({ error })));
  bell.on('message', ring).on('ready', ring);
  await bell.subscribe(eventsKey);
  const timer = setInterval(ring, everyMs);
  signal?.addEventListener('abort', () => clearInterval(timer));
  // --8<-- [end:redis]

  // --8<-- [start:read]
  return {
    onAppend: (pump) => bells.add(pump),
    append: (data) =>
      redis.eval(
        APPEND,
        3,
        ...keys,
        randomUUID(),
        JSON.stringify(data),
        keep,
      ),
    async read(seq, limit) {
      const after = seq === Infinity ? '(+inf' : `(${seq}`;
      const asked = redis.multi().get(epochKey).get(seqKey);
      asked.zrangebyscore(eventsKey, after, '+inf', 'LIMIT', 0, limit);
      const [epoch, head, rows] = await asked.exec();
      return {
        epoch: epoch[1] ?? 'empty',
        head: Number(head[1] ?? 0),
        rows: rows[1].map(rowOf),
      };
    },
  };
}

function rowOf(text) {
  const [seq] = text.split(' ', 1);
  return { seq: Number(seq), data: JSON.parse(text.slice(seq.length + 1)) };
}
// --8<-- [end:read]
