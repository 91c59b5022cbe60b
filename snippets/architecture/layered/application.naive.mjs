// --8<-- [start:place]
import { randomUUID } from 'node:crypto';
import { newOrder } from './domain.mjs';

/** Each repository call is a transaction of its own, as it is when the
 * repositories open them. */
export function createOrders({ unitOfWork }) {
  const products = (work) => unitOfWork((stores) => work(stores.products));
  const orders = (work) => unitOfWork((stores) => work(stores.orders));

  return {
    async place(customer, { items, note }) {
      const skus = items.map(({ sku }) => sku);
      const prices = await products((store) => store.prices(skus));
      const owed = await orders((store) => store.owed(customer));
      const fresh = { id: `ord_${randomUUID()}`, customer, items, note };
      const order = newOrder(fresh, prices, owed);
      await products((store) => store.take(items));
      await orders((store) => store.insert(order));
      return order;
    },
  };
}
// --8<-- [end:place]
