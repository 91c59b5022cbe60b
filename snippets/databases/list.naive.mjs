// --8<-- [start:list]
/** The customer is a parameter, so nothing can be injected. Or can it? */
export function createList({ db }) {
  return async ({ customer, sort = 'created_at', limit = 20, page = 0 }) => {
    const text = `SELECT id, status, total FROM orders WHERE customer = $1
      ORDER BY ${sort} DESC LIMIT $2 OFFSET $3`;
    const values = [customer, limit, page * limit];
    return (await db.query(text, values)).rows;
  };
}
// --8<-- [end:list]
