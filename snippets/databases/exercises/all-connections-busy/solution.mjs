// Whoever takes a client gives it back, by whichever way the work ends.
// needs: postgres
import { createServer } from 'node:http';
import express from 'express';
import pg from 'pg';

const { PORT = '0', DATABASE_URL, POOL = '10' } = process.env;
const { ACQUIRE_MS = '2000' } = process.env; // how long to wait for one
const log = (event, fields) =>
  console.log(JSON.stringify({ event, ...fields }));

const pool = new pg.Pool({
  connectionString: DATABASE_URL,
  max: Number(POOL),
  connectionTimeoutMillis: Number(ACQUIRE_MS),
});
pool.on('error', (error) => log('connection lost', { error: error.message }));
await pool.query(`
  CREATE TABLE IF NOT EXISTS products (sku text PRIMARY KEY, stock int);
  CREATE TABLE IF NOT EXISTS orders (sku text, at timestamptz DEFAULT now());
  INSERT INTO products VALUES ('tea', 1000000), ('rare', 3)
    ON CONFLICT DO NOTHING`);

const ignore = () => {}; // its queries fail, and are answered for

async function transaction(work) {
  const client = await pool.connect();
  client.on('error', ignore);
  let broken;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((failed) => (broken = failed));
    throw error;
  } finally {
    client.off('error', ignore);
    client.release(broken); // a broken one is closed, not given to the next
  }
}

const order = (sku) =>
  transaction(async (client) => {
    const { rows } = await client.query(
      'SELECT sku FROM products WHERE sku = $1',
      [sku],
    );
    if (!rows.length) throw new Error(`no product ${sku}`);
    const { rowCount } = await client.query(
      'UPDATE products SET stock = stock - 1 WHERE sku = $1 AND stock > 0',
      [sku],
    );
    if (!rowCount) return 'sold out';
    await client.query('INSERT INTO orders (sku) VALUES ($1)', [sku]);
    return 'ordered';
  });

const app = express();
app.get('/healthz', (req, res) => res.sendStatus(200));
app.get('/stats', (req, res) => {
  const { totalCount, idleCount, waitingCount } = pool;
  res.json({ total: totalCount, idle: idleCount, waiting: waitingCount });
});
app.get('/products/:sku', async (req, res) => {
  const { rows } = await pool.query(
    'SELECT stock FROM products WHERE sku = $1',
    [req.params.sku],
  );
  res.status(rows.length ? 200 : 404).json(rows[0] ?? null);
});
app.post('/products/:sku/orders', async (req, res) => {
  const result = await order(req.params.sku);
  res.status(result === 'ordered' ? 201 : 409).json({ result });
});
app.use((error, req, res, next) => {
  log('failed', { url: req.url, error: error.message });
  if (res.headersSent) return next(error);
  const known = error.message.startsWith('no product');
  return res.sendStatus(known ? 404 : 503);
});

const server = createServer(app);
server.listen(Number(PORT), '127.0.0.1', () => {
  log('database', { url: DATABASE_URL });
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
for (const name of ['SIGTERM', 'SIGINT'])
  process.once(name, () => {
    server.close();
    server.closeAllConnections();
    setTimeout(() => process.exit(0), 100); // whoever has what is cut off
  });
