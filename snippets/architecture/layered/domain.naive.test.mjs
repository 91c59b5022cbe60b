// output: varies — the test runner prints how long it took
// --8<-- [start:covered]
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel, newOrder, pay } from './domain.mjs';

// runs every line and every branch, and asks little of what comes out
const prices = new Map([['tea', 450]]);
const order = newOrder({ items: [{ sku: 'tea', quantity: 1 }] }, prices, 0);

test('placing', () => assert.ok(order));
test('unknown', () => {
  const items = [{ sku: 'cup', quantity: 1 }];
  assert.throws(() => newOrder({ items }, prices, 0));
});
test('credit', () => {
  const items = [{ sku: 'tea', quantity: 999 }];
  assert.throws(() => newOrder({ items }, prices, 0));
});
test('paying and cancelling', () => {
  assert.ok(pay(order));
  assert.ok(cancel(order));
  assert.throws(() => pay(pay(order)));
});
// --8<-- [end:covered]
