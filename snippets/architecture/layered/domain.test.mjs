// output: varies — the test runner prints how long it took
// --8<-- [start:rules]
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel, newOrder, pay } from './domain.mjs';

const prices = new Map([['tea', 450]]).set('pot', 12_500);
const fresh = (items, owed = 0) =>
  newOrder({ id: 'a', customer: 'ann', items, note: 'ring' }, prices, owed);
const order = fresh([{ sku: 'tea', quantity: 1 }]);
const refused = (work, reason, message) =>
  assert.throws(work, (error) => {
    assert.equal(error.message, message);
    return error.reason === reason;
  });

test('a total is the sum of quantity times price', () => {
  const items = [{ sku: 'tea', quantity: 2 }].concat({
    ...{ sku: 'pot', quantity: 3 },
  });
  const rest = { id: 'a', customer: 'ann', note: 'ring', version: 1 };
  const wanted = { ...rest, items, status: 'open', total: 38_400 };
  assert.deepEqual(fresh(items), wanted);
});

test('what is not on sale is refused', () => {
  const items = [{ sku: 'cup', quantity: 1 }];
  refused(() => fresh(items), 'unknown-product', 'There is no cup.');
});

test('a customer owes at most a thousand euros', () => {
  const items = [{ sku: 'pot', quantity: 4 }]; // 50 000 cents
  const detail = 'That is more than you may owe.';
  assert.equal(fresh(items, 50_000).total, 50_000);
  refused(() => fresh(items, 50_001), 'credit', detail);
});
// --8<-- [end:rules]

// --8<-- [start:moves]
const MOVES = [
  ['open', pay, 'paid'],
  ['open', cancel, 'cancelled'],
  ['paid', pay, null],
  ['paid', cancel, 'cancelled'],
  ['shipped', pay, null],
  ['shipped', cancel, null],
  ['cancelled', pay, null],
  ['cancelled', cancel, null],
];
for (const [status, move, after] of MOVES) {
  test(`${move.name} of what is ${status}: ${after ?? 'refused'}`, () => {
    const before = { ...order, status };
    const moved = () => move(before);
    if (!after) return refused(moved, 'transition', `It is ${status}.`);
    assert.deepEqual(moved(), { ...order, status: after, version: 2 });
    return assert.equal(before.status, status); // the old one is as it was
  });
}
// --8<-- [end:moves]
