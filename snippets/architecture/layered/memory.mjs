// --8<-- [start:memory]
import { inTurn, within } from '../turns.mjs';
import { Refused } from './domain.mjs';

/** The port in memory: no mock, since it keeps the contract of the others. */
export function memoryStore({ patience = 5_000 } = {}) {
  const tea = { price: 450, stock: 20 };
  const pot = { price: 12_500, stock: 20 };
  // maps: an object would also have an order `constructor`
  let data = {
    orders: new Map(),
    products: new Map([['tea', tea]]).set('pot', pot),
  };
  const queued = inTurn();
  const on = (copy, work) =>
    within(patience, (over) => {
      const now = () => (over.throwIfAborted(), copy);
      return work({ orders: ordersIn(now), products: productsIn(now) });
    });

  return {
    unitOfWork: (work) =>
      queued(async () => {
        const copy = structuredClone(data);
        const result = await on(copy, work);
        data = copy; // or, if it threw, what was there before
        return result;
      }),
    read: async (work) => on(structuredClone(data), work),
    close: async () => {},
  };
}
// --8<-- [end:memory]

// --8<-- [start:orders]
const ordersIn = (now) => ({
  get: async (id) => structuredClone(now().orders.get(id) ?? null),
  insert: async (order) => {
    const { orders } = now();
    if (orders.has(order.id)) throw new Error(`there is an ${order.id}`);
    orders.set(order.id, structuredClone(order));
  },
  update: async (order) => {
    const { orders } = now();
    if (orders.get(order.id)?.version !== order.version - 1) {
      throw new Refused('changed', 'It is another by now.');
    }
    orders.set(order.id, structuredClone(order));
  },
  owed: async (customer) =>
    [...now().orders.values()]
      .filter((o) => o.customer === customer && o.status === 'open')
      .reduce((sum, { total }) => sum + total, 0),
});
// --8<-- [end:orders]

const productsIn = (now) => ({
  prices: async (skus) => {
    const { products } = now();
    const known = skus.filter((sku) => products.has(sku));
    return new Map(known.map((sku) => [sku, products.get(sku).price]));
  },
  take: async (items) => {
    const { products } = now();
    for (const { sku, quantity } of items) {
      const product = products.get(sku);
      if (quantity > product.stock) {
        throw new Refused('no-stock', 'There is not enough of it.');
      }
      product.stock -= quantity;
    }
  },
  giveBack: async (items) => {
    const { products } = now();
    for (const { sku, quantity } of items) {
      products.get(sku).stock += quantity;
    }
  },
});
