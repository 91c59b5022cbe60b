// --8<-- [start:app]
import { createOrders } from './application.mjs';
import { httpApp } from './http.mjs';
import { postgresStore } from './postgres.mjs';
import { sqliteStore } from './sqlite.mjs';

/** The composition root: the only place that knows all the parts.
 * @param {{ authenticate?: Function, store?: object }} deps */
export async function createApp({ authenticate = () => null, ...deps } = {}) {
  const url = deps.url ?? process.env.DATABASE_URL;
  const open = url ? postgresStore : sqliteStore;
  const store = deps.store ?? (await open({ ...deps, url }));
  const orders = createOrders(store);
  return httpApp({ ...deps, orders, authenticate });
}
// --8<-- [end:app]
