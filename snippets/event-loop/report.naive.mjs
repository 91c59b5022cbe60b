// --8<-- [start:report]
import express from 'express';
import { simulate } from './report.worker.mjs';

export function createApp() {
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.get('/report', async (req, res) => {
    res.json(await simulate({ runs: 4_000_000 }));
  });
  return app;
}
// --8<-- [end:report]
