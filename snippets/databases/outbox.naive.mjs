// --8<-- [start:outbox]
/** Reads what is new since the last time. */
export function createOutbox({ db, publish }) {
  let last = 0;
  async function relay() {
    const text = 'SELECT id, event FROM outbox WHERE id > $1 ORDER BY id';
    const { rows } = await db.query(text, [last]);
    for (const row of rows) {
      await publish(row);
      last = row.id;
    }
    return { published: rows.length };
  }
  return { relay };
}
// --8<-- [end:outbox]
