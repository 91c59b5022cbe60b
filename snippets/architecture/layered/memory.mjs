// --8<-- [start:memory]
import { Refused } from './domain.mjs';

/** The port in memory: no mock, since it keeps the contract of the others. */
export function memoryStore() {
  const tea = { price: 450, stock: 20 };
  const pot = { price: 12_500, stock: 20 };
  let data = { orders: {}, products: { tea, pot } };

  const stores = (now) => ({
    orders: {
      get: async (id) => structuredClone(now.orders[id] ?? null),
      insert: async (order) => {
        now.orders[order.id] = order;
      },
      update: async (order) => {
        if (now.orders[order.id]?.version !== order.version - 1) {
          throw new Refused('changed', 'It is another by now.');
        }
        now.orders[order.id] = order;
      },
      owed: async (customer) =>
        Object.values(now.orders)
          .filter((o) => o.customer === customer && o.status === 'open')
          .reduce((sum, { total }) => sum + total, 0),
    },
    products: productsIn(now.products),
  });
  // --8<-- [end:memory]

  // --8<-- [start:unit]
  let last = Promise.resolve();
  const unitOfWork = (work) => {
    const turn = last.then(async () => {
      const copy = structuredClone(data);
      const result = await work(stores(copy));
      data = copy; // or, if it threw, what was there before
      return result;
    });
    last = turn.catch(() => {});
    return turn;
  };
  const read = async (work) => work(stores(structuredClone(data)));
  return { unitOfWork, read, close: async () => {} };
}
// --8<-- [end:unit]

// --8<-- [start:products]
const productsIn = (products) => ({
  prices: async (skus) => {
    const known = skus.filter((sku) => Object.hasOwn(products, sku));
    return new Map(known.map((sku) => [sku, products[sku].price]));
  },
  take: async (items) => {
    for (const { sku, quantity } of items) {
      products[sku].stock -= quantity;
      if (products[sku].stock < 0) {
        throw new Refused('no-stock', 'There is not enough of it.');
      }
    }
  },
  giveBack: async (items) => {
    for (const { sku, quantity } of items) products[sku].stock += quantity;
  },
});
// --8<-- [end:products]
