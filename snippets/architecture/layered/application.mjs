// --8<-- [start:application]
import { randomUUID } from 'node:crypto';
import { cancel, newOrder, pay, Refused } from './domain.mjs';

/** The use cases. The port is what they ask for: `unitOfWork(work)` calls
 * `work({ orders, products })`, keeps all that it wrote, or nothing, and may
 * call it again; `read(work)` is for one question. */
export function createOrders({ unitOfWork, read, newId = randomUUID }) {
  const change = (customer, id, rule, also = () => {}) =>
    unitOfWork(async (stores) => {
      const order = rule(await mine(stores, customer, id));
      await stores.orders.update(order);
      await also(stores, order);
      return order;
    });

  return {
    // --8<-- [start:place]
    place: (customer, { items, note }) =>
      unitOfWork(async ({ orders, products }) => {
        const prices = await products.prices(items.map(({ sku }) => sku));
        const owed = await orders.owed(customer);
        const fresh = { id: `ord_${newId()}`, customer, items, note };
        const order = newOrder(fresh, prices, owed);
        await products.take(items);
        await orders.insert(order);
        return order;
      }),
    // --8<-- [end:place]

    get: (customer, id) => read((stores) => mine(stores, customer, id)),
    pay: (customer, id) => change(customer, id, pay),
    cancel: (customer, id) =>
      change(customer, id, cancel, ({ products }, { items }) =>
        products.giveBack(items),
      ),
  };
}
// --8<-- [end:application]

// --8<-- [start:mine]
async function mine({ orders }, customer, id) {
  const order = await orders.get(id);
  // somebody else's is as unknown as one that never was
  if (order?.customer !== customer) {
    throw new Refused('unknown-order', 'You have no such order.');
  }
  return order;
}
// --8<-- [end:mine]
