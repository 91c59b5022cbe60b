// --8<-- [start:atomically]
/** All that `work()` writes to SQLite, or nothing. It must not await: another
 * request would write into this one's transaction. */
export function atomically(db, work) {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    if (result instanceof Promise) throw new TypeError('work must not await');
    db.exec('COMMIT');
    return result;
  } catch (error) {
    rollback(db);
    throw error;
  }
}

/** It fails only when there is nothing left to take back: on a full disk, for
 * one, SQLite has done it already. That must not hide why. */
export function rollback(db) {
  try {
    db.exec('ROLLBACK');
  } catch {
    // whoever calls this has an error that says more
  }
}
// --8<-- [end:atomically]
