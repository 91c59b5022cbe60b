// --8<-- [start:outbox]
/** Stores the order and what is to be told of it, or neither. */
export async function place({ db }, order) {
  db.exec('BEGIN IMMEDIATE');
  try {
    db.prepare(
      `INSERT INTO orders (id, customer, items, status, total, version)
       VALUES (?, ?, ?, 'open', ?, 1)`,
    ).run(order.id, order.customer, JSON.stringify(order.items), order.total);
    const event = JSON.stringify({ id: order.id, type: 'order-placed' });
    db.prepare('INSERT INTO outbox VALUES (?, ?)').run(order.id, event);
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}

/** Runs again and again, in one process. A crash after `publish` tells it
 * twice: whoever listens remembers the ids it has seen. */
export async function relay({ db, publish }) {
  const waiting = db.prepare('SELECT * FROM outbox ORDER BY rowid LIMIT 100');
  for (const { id, event } of waiting.all()) {
    await publish(JSON.parse(event)); // throws: the rest waits, in order
    db.prepare('DELETE FROM outbox WHERE id = ?').run(id);
  }
}
// --8<-- [end:outbox]
