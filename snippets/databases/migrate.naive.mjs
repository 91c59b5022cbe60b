// --8<-- [start:migrate]
import pg from 'pg';

/** Statement after statement, each waiting for as long as it takes. */
export async function migrate({ url, steps }) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const { sql } of steps) {
      for (const one of sql.split(';')) await client.query(one);
    }
  } finally {
    await client.end();
  }
}
// --8<-- [end:migrate]
