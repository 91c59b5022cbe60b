// The jobs are waited for in their turn, and pools are closed behind them.
/* eslint-disable security/detect-non-literal-fs-filename --
   its own argument */
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { createShutdown } from '../../shutdown.mjs';

const { PORT = '0', BATCH_MS = '1000', WRITE_MS = '200' } = process.env;
const { GRACE_MS = '10000' } = process.env; // then the platform kills it
const log = (event, fields) =>
  console.log(JSON.stringify({ event, ...fields }));
const logger = {
  info: (fields, event) => log(event, fields),
  error: (fields, event) =>
    log(event, { ...fields, error: fields.error?.message }),
};

const ledger = await open(join(process.argv[2], 'ledger'), 'a');
const waiting = [];
let [accepted, stored] = [0, 0];

const app = express();
const server = createServer(app);
const { leaving, last, listen } = createShutdown({
  server,
  logger,
  totalMs: Number(GRACE_MS),
  stepMs: Number(GRACE_MS),
  quietMs: 100,
});

let writing = Promise.resolve(); // one batch after the other
const flush = () => (writing = writing.then(writeBatch));
async function writeBatch() {
  const batch = waiting.splice(0);
  if (!batch.length) return;
  log('writing', { orders: batch.length });
  try {
    await sleep(Number(WRITE_MS)); // the way to the database
    await ledger.appendFile(`${batch.join('\n')}\n`);
    stored += batch.length;
    log('written', { orders: batch.length });
  } catch (error) {
    waiting.unshift(...batch); // the next batch tries again
    log('not written', { error: error.message });
  }
}
const timer = setInterval(flush, Number(BATCH_MS));

last('ledger', () => ledger.close());
last('orders', async () => {
  clearInterval(timer);
  await flush(); // behind the batch that is being written
  if (waiting.length) throw new Error(`${waiting.length} orders are lost`);
});
listen();

app.get('/readyz', (req, res) => res.sendStatus(leaving.aborted ? 503 : 200));
app.get('/stats', (req, res) => {
  res.json({ accepted, waiting: waiting.length, stored });
});
app.post('/orders/:id', (req, res) => {
  waiting.push(req.params.id);
  accepted += 1;
  res.sendStatus(202);
});

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
