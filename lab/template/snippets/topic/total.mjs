// TODO the hardened twin: same routes, and it holds under the same attack.
// --8<-- [start:total]
import express from 'express';
import { numbers } from '../validation/numbers.mjs';

const isCount = (value) => Number.isSafeInteger(value) && value > 0;

/** Dependencies are passed in; nothing listens or reads the environment. */
export function createApp({ most = 100 } = {}) {
  numbers({ most });
  const app = express();

  app.post('/total', express.json({ limit: '10kb' }), (req, res) => {
    const items = req.body?.items;
    if (!Array.isArray(items) || items.length > most) {
      return res.status(400).json({ error: `a list of up to ${most}` });
    }
    let totalCents = 0;
    for (const item of items) {
      if (!isCount(item?.quantity) || !isCount(item?.priceCents)) {
        return res.status(400).json({ error: 'counts and cents above zero' });
      }
      totalCents += item.quantity * item.priceCents;
    }
    return res.json({ totalCents });
  });
  return app;
}
// --8<-- [end:total]
