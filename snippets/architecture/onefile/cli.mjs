// --8<-- [start:cli]
import { openShop } from './app.cli.mjs';

export function commands(deps) {
  const shop = openShop(deps);
  return {
    place: (customer, body) => shop.place(body, { id: customer }),
    pay: (customer, id) => shop.pay(id, { id: customer }),
    cancel: (customer, id) => shop.cancel(id, { id: customer }),
  };
}
// --8<-- [end:cli]
