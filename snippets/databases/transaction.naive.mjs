// --8<-- [start:transaction]
/** Each query of a pool takes the connection that is free just then. */
export async function transaction(pool, work) {
  await pool.query('BEGIN');
  try {
    const result = await work(pool);
    await pool.query('COMMIT');
    return result;
  } catch (error) {
    await pool.query('ROLLBACK');
    throw error;
  }
}
// --8<-- [end:transaction]
