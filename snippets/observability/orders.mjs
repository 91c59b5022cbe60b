// --8<-- [start:orders]
import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

/** Orders in memory; a database would answer in a later turn too. */
export function createOrders({ logger }) {
  const kept = new Map();
  return {
    async get(id) {
      await turn();
      return kept.get(id) ?? null;
    },
    async insert({ items, note }) {
      await turn();
      const id = `ord_${randomUUID()}`;
      const order = { id, status: 'open', items, note, version: 1 };
      kept.set(id, order);
      logger.info({ order }, 'order kept'); // it has no request to ask
      return order;
    },
  };
}
// --8<-- [end:orders]
