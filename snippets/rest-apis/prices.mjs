// --8<-- [start:prices]
import { Problem } from './problem.mjs';

const SHOP = { tea: 799, mug: 1250, kettle: 3900 }; // cents

/** `priceOf(skus, { signal })` gives a Map of those that are on sale. */
export function pricesIn(catalogue = new Map(Object.entries(SHOP))) {
  return async (skus) =>
    new Map(skus.flatMap((sku) => found(sku, catalogue.get(sku))));
}

/** The same from another service: `call` is a fetch that gives up in time. */
export function pricesFrom(url, call) {
  return async (skus, { signal } = {}) => {
    const query = new URLSearchParams(skus.map((sku) => ['sku', sku]));
    try {
      const answer = await call(`${url}?${query}`, { signal });
      if (!answer.ok) {
        await answer.body?.cancel(); // gives the connection back
        throw new Error(`prices: ${answer.status}`);
      }
      const prices = new Map(Object.entries(await answer.json()));
      return new Map(skus.flatMap((sku) => found(sku, prices.get(sku))));
    } catch (cause) {
      signal?.throwIfAborted(); // nobody waits for a reason
      // ours to answer for, not the client's; and worth another try
      const headers = { 'Retry-After': '5' };
      throw new Problem(503, 'No prices just now.', { headers, cause });
    }
  };
}

const found = (sku, cents) =>
  Number.isSafeInteger(cents) && cents >= 0 ? [[sku, cents]] : [];
// --8<-- [end:prices]
