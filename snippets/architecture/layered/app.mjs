// --8<-- [start:app]
import { createOrders } from './application.mjs';
import { httpApp } from './http.mjs';
import { sqliteStore } from './sqlite.mjs';

/** The composition root: the only place that knows all the parts.
 * @param {{ authenticate?: Function, store?: object }} deps */
export async function createApp({ authenticate = () => null, ...deps } = {}) {
  const store = deps.store ?? sqliteStore(deps);
  const orders = createOrders(store);
  return httpApp({ ...deps, orders, authenticate });
}
// --8<-- [end:app]
