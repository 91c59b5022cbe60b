// Each page has an end, the prices have places, and both are given back.
import express from 'express';

export function createApp(deps = {}) {
  const { priceOf = async () => 900, ms = 500, atOnce = 5 } = deps;
  const app = express();
  let underway = 0;

  app.get('/products/:sku', async (req, res) => {
    const { sku } = req.params;
    if (underway >= atOnce) return away(res);
    const stop = new AbortController();
    const { signal } = stop;
    const timer = setTimeout(() => stop.abort(new Error('late')), ms);
    res.once('close', () => stop.abort(new Error('gone'))); // or answered
    const over = new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    over.catch(() => {}); // also when nobody waits any more
    underway += 1;
    try {
      const asked = (async () => priceOf(sku, { signal }))();
      const cents = await Promise.race([asked, over]);
      if (cents === undefined) return res.sendStatus(404);
      return res.json({ sku, cents });
    } catch {
      return away(res);
    } finally {
      clearTimeout(timer);
      underway -= 1;
    }
  });
  return app;
}

function away(res) {
  if (res.destroyed) return undefined;
  return res.set('Retry-After', '1').status(503).json({ error: 'no price' });
}
