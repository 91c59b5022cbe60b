// --8<-- [start:cli]
import { parseOrder } from '../edge.mjs';
import { createModels } from './models.mjs';
import { orderView } from './view.mjs';

export async function commands(deps) {
  const { Order } = deps.models ?? (await createModels(deps));
  return {
    async place(customer, body) {
      const { value, errors } = parseOrder(body);
      if (errors) throw new Error(errors[0].pointer);
      return orderView(await Order.place({ customer, ...value }));
    },
    pay: async (customer, id) => orderView(await Order.pay(customer, id)),
    cancel: async (customer, id) =>
      orderView(await Order.cancel(customer, id)),
  };
}
// --8<-- [end:cli]
