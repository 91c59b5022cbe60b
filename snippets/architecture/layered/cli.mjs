// --8<-- [start:cli]
import { parseOrder } from '../edge.mjs';
import { createOrders } from './application.mjs';
import { sqliteStore } from './sqlite.mjs';

export async function commands(deps) {
  const store = deps.store ?? sqliteStore(deps);
  const { place, pay, cancel } = createOrders(store);
  return {
    async place(customer, body) {
      const { value, errors } = parseOrder(body);
      if (errors) throw new Error(errors[0].pointer);
      return place(customer, value);
    },
    ...{ pay, cancel },
  };
}
// --8<-- [end:cli]
