// --8<-- [start:order]
import { z } from 'zod';
import { parserOf } from './parser.mjs';
import { TEXT } from './rules.mjs';

const Item = z.strictObject({
  sku: z.string().regex(/^[a-z0-9][a-z0-9-]{0,39}$/),
  quantity: z.int().min(1).max(999),
});

/** What a client may say of an order. Its id, customer, status, total and
 * version are the server's: not stripped, refused. */
const Order = z.strictObject({
  items: z.array(Item).min(1).max(50).superRefine(eachSkuOnce),
  note: z.string().max(500).regex(TEXT).optional(),
});

// a rule about several fields stands with the fields' own
function eachSkuOnce(items, context) {
  const seen = new Set();
  for (const [index, { sku }] of items.entries()) {
    if (seen.has(sku)) {
      const message = 'Already in the order';
      context.addIssue({ code: 'custom', path: [index, 'sku'], message });
    }
    seen.add(sku);
  }
}

/** `{ value }` or `{ errors: [{ pointer, detail }] }`. */
export const parseOrder = parserOf(Order);

/** For PATCH: the same fields by the same rules, none of them required. */
export const parseOrderPatch = parserOf(Order.partial());
// --8<-- [end:order]
