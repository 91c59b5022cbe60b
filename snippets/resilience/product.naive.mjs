// --8<-- [start:product]
import express from 'express';

/** Asks two services for each page, and waits for both. */
export function createApp({ prices, reviews } = {}) {
  const app = express();
  app.get('/health', (req, res) => res.json({ status: 'ok' }));

  app.get('/products/:sku', async (req, res) => {
    const { sku } = req.params;
    const price = await fetch(`${prices}/${sku}`);
    const stars = await fetch(`${reviews}/${sku}`);
    res.json({ sku, price: await price.json(), reviews: await stars.json() });
  });
  return app;
}
// --8<-- [end:product]
