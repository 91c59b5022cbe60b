// --8<-- [start:pool]
import express from 'express';
import pg from 'pg';

/** Orders of a shop, and a health check that is always green. */
export function createApp({ url } = {}) {
  const pool = new pg.Pool({ connectionString: url });
  const app = express();

  app.get('/orders/:id', async (req, res) => {
    const client = await pool.connect();
    const text = 'SELECT id, status FROM orders WHERE id = $1';
    const { rows } = await client.query(text, [req.params.id]);
    if (rows.length === 0) throw new Error('no such order');
    client.release(); // and if the line above has thrown?
    res.json(rows[0]);
  });

  app.get('/health', (req, res) => res.json({ ok: true }));

  app.use((error, req, res, next) => res.sendStatus(500));
  return app;
}
// --8<-- [end:pool]
