// --8<-- [start:transaction]
/** Read committed, PostgreSQL's default: all or nothing, but not alone. */
export async function transaction(pool, work) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((failed) => {
      broken = failed;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
// --8<-- [end:transaction]
