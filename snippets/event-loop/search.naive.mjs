// --8<-- [start:search]
import express from 'express';

const WORDS = /^([a-zA-Z0-9]+\s?)+$/;

export function createApp({ find = async () => [] } = {}) {
  const app = express();
  app.get('/health', (req, res) => res.json({ ok: true }));

  app.get('/search', async (req, res) => {
    if (!WORDS.test(req.query.q)) return res.sendStatus(400);
    return res.json(await find(req.query.q));
  });
  return app;
}
// --8<-- [end:search]
