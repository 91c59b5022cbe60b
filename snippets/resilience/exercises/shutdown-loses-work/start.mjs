// node start.mjs FOLDER: takes orders and writes them to FOLDER/ledger, in
// batches, because the database is far away.
/* eslint-disable security/detect-non-literal-fs-filename --
   its own argument */
import { EventEmitter } from 'node:events';
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';

const { PORT = '0', BATCH_MS = '1000', WRITE_MS = '200' } = process.env;
const { GRACE_MS = '10000' } = process.env; // then the platform kills it
const log = (event, fields) =>
  console.log(JSON.stringify({ event, ...fields }));

const ledger = await open(join(process.argv[2], 'ledger'), 'a');
const lifecycle = new EventEmitter();
const waiting = [];
let [accepted, stored, leaving] = [0, 0, undefined];

async function flush() {
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

lifecycle.on('stopping', async () => {
  clearInterval(timer);
  await flush(); // the last batch
});

const app = express();
app.get('/readyz', (req, res) => res.sendStatus(leaving ? 503 : 200));
app.get('/stats', (req, res) => {
  res.json({ accepted, waiting: waiting.length, stored });
});
app.post('/orders/:id', (req, res) => {
  waiting.push(req.params.id);
  accepted += 1;
  res.sendStatus(202);
});

const server = createServer(app);
async function leave(why) {
  log('leaving', { why, accepted, stored });
  const late = () => process.exit(1);
  setTimeout(late, Number(GRACE_MS)).unref();
  await new Promise((resolve) => server.close(resolve)); // all are answered
  lifecycle.emit('stopping'); // buffers are written
  await ledger.close(); // the database goes last
  log('left');
  process.exit(0);
}
for (const name of ['SIGTERM', 'SIGINT'])
  process.on(name, () => (leaving ??= leave(name)));

server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
