// node resilience/orders.naive.mjs FILE: says yes, and may forget it.
// --8<-- [start:orders]
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { WebSocketServer } from 'ws';

const { PORT = 3000, JOB_MS = '50', SLOW_MS = '300' } = process.env;
const app = express();
const server = createServer(app);
const file = await open(process.argv[2], 'a');

async function work(id) {
  await sleep(Number(JOB_MS));
  await file.appendFile(`${id}\n`);
}
app.post('/orders/:id', (req, res) => {
  work(req.params.id);
  res.sendStatus(202);
});
app.get('/slow', async (req, res) => {
  await sleep(Number(SLOW_MS));
  res.send('slow');
});
app.get('/events', (req, res) => {
  res.set('Content-Type', 'text/event-stream').write('data: hello\n\n');
});
new WebSocketServer({ server });

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  if (process.argv[3] === 'exit') process.exit(0);
});
server.listen(PORT, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
// --8<-- [end:orders]
