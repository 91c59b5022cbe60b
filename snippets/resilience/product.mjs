// --8<-- [start:product]
import express from 'express';
import { UpstreamError, createCall } from './call.mjs';
import { requestDeadline } from './deadline.mjs';
import { errorHandler } from './errors.mjs';
import { createStale } from './stale.mjs';

const SKU = /^[a-z0-9-]{1,40}$/;

/** A page needs its price, also an old one; it can do without reviews. Each
 * service has places, a breaker and a budget of its own.
 * @param {{ prices: string, reviews: string, logger?: object, ms?: number }}
 *   deps two base URLs, and the limits of createCall() */
export function createApp({ prices, reviews, logger, ms = 2000, ...limits }) {
  const app = express();
  const price = createStale({ load: jsonFrom(prices, limits) });
  const stars = jsonFrom(reviews, limits);
  app.get('/health', (req, res) => res.json({ status: 'ok' }));
  app.use(requestDeadline({ ms }));

  app.get('/products/:sku', async (req, res) => {
    const { sku } = req.params;
    if (!SKU.test(sku)) return res.status(404).json({ error: 'no product' });
    const { signal } = req.deadline;
    const [paid, seen] = await Promise.allSettled([
      price(sku, { signal }),
      stars(sku, { signal }),
    ]);
    if (paid.status === 'rejected') throw paid.reason;
    const { value, stale } = paid.value;
    const reviewed = seen.status === 'fulfilled' ? seen.value : null;
    return res.json({ sku, price: value, stale, reviews: reviewed });
  });
  app.use(errorHandler({ logger }));
  return app;
}

// --8<-- [end:product]

// --8<-- [start:json]
function jsonFrom(base, limits) {
  const { call } = createCall(limits);
  return async (sku, { signal }) => {
    const { status, text } = await call(`${base}/${sku}`, { signal });
    try {
      if (status !== 200) throw new Error(`answered ${status}`);
      return JSON.parse(text);
    } catch (cause) {
      throw new UpstreamError('of no use', { cause });
    }
  };
}
// --8<-- [end:json]
