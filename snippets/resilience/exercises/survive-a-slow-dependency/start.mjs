// A shop that waits for its price service as long as that takes.
import express from 'express';

export function createApp({ priceOf = async () => 900 } = {}) {
  const app = express();

  app.get('/products/:sku', async (req, res) => {
    const { sku } = req.params;
    const cents = await priceOf(sku, {});
    if (cents === undefined) return res.sendStatus(404);
    return res.json({ sku, cents });
  });
  return app;
}
