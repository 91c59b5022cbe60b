// Both rows are locked, in one order; the key lives in the same transaction.
import express from 'express';
import pg from 'pg';

const { PORT = '3000', DATABASE_URL } = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
pool.on('error', (error) => console.error('connection lost', error.message));
await pool.query(`
  CREATE TABLE IF NOT EXISTS accounts (id text PRIMARY KEY, cents int);
  INSERT INTO accounts VALUES ('ann', 1000), ('bob', 1000), ('eve', 10)
    ON CONFLICT DO NOTHING;
  CREATE TABLE IF NOT EXISTS keys (key text PRIMARY KEY, answer json)`);

const refusal = (status, message) =>
  Object.assign(new Error(message), { status });

async function transfer(client, { from, to, cents }) {
  const { rows } = await client.query(
    `SELECT id, cents FROM accounts WHERE id IN ($1, $2)
     ORDER BY id FOR UPDATE`, // whoever comes second waits here
    [from, to],
  );
  if (rows.length < 2) throw refusal(404, 'There is no such account.');
  const left = rows.find(({ id }) => id === from).cents;
  if (left < cents) throw refusal(409, 'Not enough money.');
  const text = 'UPDATE accounts SET cents = cents + $2 WHERE id = $1';
  await client.query(text, [from, -cents]);
  await client.query(text, [to, cents]);
  return { from, to, cents };
}

/** The key is there when the transfer is, or neither. */
async function once(client, key, work) {
  const { rowCount } = await client.query(
    'INSERT INTO keys (key) VALUES ($1) ON CONFLICT DO NOTHING',
    [key], // waits for another one with this key that is under way
  );
  if (!rowCount) {
    const text = 'SELECT answer FROM keys WHERE key = $1';
    return (await client.query(text, [key])).rows[0].answer;
  }
  const answer = await work();
  const text = 'UPDATE keys SET answer = $2 WHERE key = $1';
  await client.query(text, [key, JSON.stringify(answer)]);
  return answer;
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
  const key = req.get('Idempotency-Key');
  const moved = await transaction((client) => {
    const work = () => transfer(client, req.body);
    return key ? once(client, key, work) : work();
  });
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
