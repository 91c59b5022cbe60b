// --8<-- [start:tenant]
/** Says who it is, and then works. The connection remembers it longer. */
export function createTenants({ pool }) {
  return async (tenant, work) => {
    await pool.query("SELECT set_config('app.tenant', $1, false)", [tenant]);
    return work(pool);
  };
}
// --8<-- [end:tenant]
