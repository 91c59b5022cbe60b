// node resilience/orders.mjs FILE: takes orders, writes them to FILE later,
// streams, and leaves without losing what it has said yes to.
/* eslint-disable security/detect-non-literal-fs-filename --
   its own argument */
// --8<-- [start:orders]
import { open } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { WebSocketServer } from 'ws';
import { createShutdown } from './shutdown.mjs';

const { PORT = 3000, BEFORE_MS = '0' } = process.env;
const { JOB_MS = '50', SLOW_MS = '300' } = process.env;
const app = express();
const server = createServer(app);
const { leaving, signal, last, stop, listen } = createShutdown({
  server,
  beforeMs: Number(BEFORE_MS),
  quietMs: 100,
  patienceMs: 3000,
});
const file = await open(process.argv[2], 'a'); // plays the database
last('pool', () => file.close());
const jobs = new Set();
last('jobs', () => Promise.all(jobs));
listen();

async function work(id) {
  await sleep(Number(JOB_MS));
  await file.appendFile(`${id}\n`);
}
app.get('/readyz', (req, res) => res.sendStatus(leaving.aborted ? 503 : 200));
app.post('/orders/:id', (req, res) => {
  const job = work(req.params.id);
  jobs.add(job);
  job.catch((error) => stop(error, true)).finally(() => jobs.delete(job));
  res.sendStatus(202);
});
app.get('/slow', async (req, res) => {
  await sleep(Number(SLOW_MS));
  res.send('slow');
});
// --8<-- [end:orders]

// --8<-- [start:streams]
app.get('/events', (req, res) => {
  res.set('Content-Type', 'text/event-stream').write('data: hello\n\n');
  const goodbye = () => res.end('event: goodbye\ndata: come again\n\n');
  if (leaving.aborted) return goodbye(); // it came while we wait
  leaving.addEventListener('abort', goodbye, { once: true });
  res.once('close', () => leaving.removeEventListener('abort', goodbye));
});
const sockets = new WebSocketServer({ server, maxPayload: 1000 });
sockets.on('connection', (socket) => {
  socket.on('error', () => {});
  if (leaving.aborted) socket.close(1001, 'restart');
});
leaving.addEventListener('abort', () => {
  for (const socket of sockets.clients) socket.close(1001, 'restart');
});
const heart = setInterval(() => {}, 1000); // plays a timer of ours
signal.addEventListener('abort', () => clearInterval(heart));

server.listen(PORT, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
// --8<-- [end:streams]
