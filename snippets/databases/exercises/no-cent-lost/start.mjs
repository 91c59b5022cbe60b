// DATABASE_URL=… node start.mjs: moves money from one account to another.
import express from 'express';
import pg from 'pg';

const { PORT = '3000', DATABASE_URL } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
pool.on('error', (error) => console.error('connection lost', error.message));
await pool.query(`
  CREATE TABLE IF NOT EXISTS accounts (id text PRIMARY KEY, cents int);
  INSERT INTO accounts VALUES ('ann', 1000), ('bob', 1000), ('eve', 10)
    ON CONFLICT DO NOTHING`);

const refusal = (status, message) =>
  Object.assign(new Error(message), { status });

async function balance(client, id) {
  const text = 'SELECT cents FROM accounts WHERE id = $1';
  const { rows } = await client.query(text, [id]);
  if (!rows.length) throw refusal(404, 'There is no such account.');
  return rows[0].cents;
}

async function transfer(client, { from, to, cents }) {
  const [left, right] = [
    await balance(client, from),
    await balance(client, to),
  ];
  if (left < cents) throw refusal(409, 'Not enough money.');
  const text = 'UPDATE accounts SET cents = $2 WHERE id = $1';
  await client.query(text, [from, left - cents]);
  await client.query(text, [to, right + cents]);
  return { from, to, cents };
}

async function transaction(work) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  } finally {
    client.release();
  }
}

const app = express();
app.use(express.json());
app.post('/transfers', async (req, res) => {
  const { from, to, cents } = req.body;
  const isTransfer = typeof from === 'string' && typeof to === 'string';
  const isAmount = Number.isInteger(cents) && cents > 0 && cents < 1e6;
  if (!isTransfer || !isAmount || from === to)
    throw refusal(422, 'From one account to another, in whole cents.');
  const moved = await transaction((client) => transfer(client, req.body));
  res.status(201).json(moved);
});
app.use((error, req, res, next) => {
  if (res.headersSent) return next(error);
  const { status = 500, message } = error;
  return res.status(status).json({ message });
});
const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
process.once('SIGTERM', () => {
  server.close(() => pool.end());
  server.closeAllConnections();
});
