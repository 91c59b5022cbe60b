// --8<-- [start:order]
import { z } from 'zod';
import { mergePatch } from '../rest-apis/patch.mjs';
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

/** For PATCH: judged is the order as it will be, since two right halves may
 * make a wrong whole. In a merge patch null takes a field away. */
export const parseOrderPatch = (patch, order) =>
  parseOrder(mergePatch(order, patch));
// --8<-- [end:order]
