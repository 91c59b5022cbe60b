// --8<-- [start:outbox]
import { setTimeout as sleep } from 'node:timers/promises';
import { atomically } from './atomically.mjs';
import { within } from './turns.mjs';

/** Stores the order and the event about it, or neither.
 * @param {{ db: import('node:sqlite').DatabaseSync }} deps
 * @param {{ id: string, customer: string, items: object[], total: number }}
 *   order */
export async function place({ db }, order) {
  atomically(db, () => {
    db.prepare(
      `INSERT INTO orders (id, customer, items, status, total, version)
       VALUES (?, ?, ?, 'open', ?, 1)`,
    ).run(order.id, order.customer, JSON.stringify(order.items), order.total);
    const event = JSON.stringify({ id: order.id, type: 'order-placed' });
    db.prepare('INSERT INTO outbox VALUES (?, ?)').run(order.id, event);
  });
}
// --8<-- [end:outbox]

// --8<-- [start:relay]
/** Publishes what waits, in order. A crash after `publish` does it twice:
 * whoever listens remembers the ids it has seen.
 * @param {{ db: import('node:sqlite').DatabaseSync, publish: Function,
 *   signal?: AbortSignal, patience?: number }} deps `patience` in ms */
export async function relay({ db, publish, signal, patience = 10_000 }) {
  const oldest = db.prepare('SELECT * FROM outbox ORDER BY rowid LIMIT 1');
  for (let row; !signal?.aborted && (row = oldest.get());) {
    const event = JSON.parse(row.event);
    // it throws, or hangs: the rest waits
    await within(patience, (late) => publish(event, { signal: late }));
    db.prepare('DELETE FROM outbox WHERE id = ?').run(row.id);
  }
}

/** Relays until `signal` aborts, in one process, and never twice at once.
 * @param {{ db: import('node:sqlite').DatabaseSync, publish: Function,
 *   signal: AbortSignal, logger?: Console, patience?: number }} deps */
export async function keepRelaying({ signal, logger = console, ...deps }) {
  while (!signal.aborted) {
    await relay({ signal, ...deps }).catch((error) =>
      logger.error({ error }, 'events are waiting'),
    );
    await sleep(1_000, null, { signal }).catch(() => {});
  }
}
// --8<-- [end:relay]
