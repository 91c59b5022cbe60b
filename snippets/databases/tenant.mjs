// --8<-- [start:policy]
// The app's role must not own the table, nor be a superuser, nor have
// BYPASSRLS. FORCE is for the owner. Nobody set: no rows.
export const TENANT_SCHEMA = `
  CREATE TABLE invoices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL DEFAULT current_setting('app.tenant'),
    cents integer NOT NULL
  );
  ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
  ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
  CREATE POLICY own ON invoices
    USING (tenant = nullif(current_setting('app.tenant', true), ''))
    WITH CHECK (tenant = nullif(current_setting('app.tenant', true), ''));
`;
// --8<-- [end:policy]

// --8<-- [start:tenant]
import { Failure } from './errors.mjs';
import { transaction } from './transaction.mjs';

// true: until the end of the transaction, as SET LOCAL. It takes parameters
const AS = `SELECT set_config('app.tenant', $1, true)`;

/** `asTenant(tenant, work)` runs `work({ query })` in a transaction that sees
 * this tenant's rows; whoever gets the connection next sees none.
 * @param {{ db: { use: Function } }} deps */
export function createTenants({ db }) {
  return async function asTenant(tenant, work, options = {}) {
    const right = typeof tenant === 'string' && /^[\w-]{1,60}$/.test(tenant);
    if (!right) throw new Failure(401, 'Whose rows?');
    const inside = async (tx) => {
      await tx.query(AS, [tenant]);
      return work(tx);
    };
    return transaction(db, inside, options);
  };
}
// --8<-- [end:tenant]
