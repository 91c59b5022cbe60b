// --8<-- [start:quotes]
import express from 'express';
import { createWork } from './work.mjs';

/** Takes whatever comes: the queue is as long as the flood. */
export function createApp({ work = createWork() } = {}) {
  const app = express();
  app.get('/quote', async (req, res) => {
    await work();
    res.json({ cents: 900 });
  });
  return app;
}
// --8<-- [end:quotes]
