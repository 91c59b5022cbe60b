// TODO the version that many write, with the fault that the page attacks.
// --8<-- [start:total]
import express from 'express';

export function createApp() {
  const app = express();

  app.post('/total', express.json(), (req, res) => {
    let totalCents = 0;
    for (const { quantity, priceCents } of req.body.items) {
      totalCents += quantity * priceCents;
    }
    res.json({ totalCents });
  });
  return app;
}
// --8<-- [end:total]
