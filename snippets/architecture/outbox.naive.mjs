// --8<-- [start:outbox]
/** Stores, then tells: two systems, one after the other. */
export async function place({ db, publish }, order) {
  db.prepare(
    `INSERT INTO orders (id, customer, items, status, total, version)
     VALUES (?, ?, ?, 'open', ?, 1)`,
  ).run(order.id, order.customer, JSON.stringify(order.items), order.total);
  await publish({ id: order.id, type: 'order-placed' });
}
// --8<-- [end:outbox]
