// --8<-- [start:contract]
import assert from 'node:assert/strict';

const order = (id, more = {}) => ({
  ...{ id, customer: 'ann', items: [{ sku: 'tea', quantity: 2 }] },
  ...{ note: 'ring', status: 'open', total: 900, version: 1, ...more },
});
const stop = new Error('stop');
const reason = (wanted) => (error) => error.reason === wanted;

/** What every store promises; each check gets one that is new. */
export const contract = {
  'an order comes back as it went in': async (store) => {
    await store.unitOfWork(({ orders }) => orders.insert(order('a')));
    const found = await store.read(({ orders }) => orders.get('a'));
    assert.deepEqual({ ...found }, order('a'));
    const id = 'constructor'; // what every object has
    assert.equal(await store.read(({ orders }) => orders.get(id)), null);
  },
  'what is owed is a number, of open orders': async (store) => {
    const owed = await store.unitOfWork(async ({ orders }) => {
      await orders.insert(order('a'));
      await orders.insert(order('b'));
      await orders.insert(order('c', { status: 'paid' }));
      await orders.insert(order('d', { customer: 'bob' }));
      return [await orders.owed('ann'), await orders.owed('eve')];
    });
    assert.deepEqual(owed, [1800, 0]);
  },
  'of two who change one version, one is refused': async (store) => {
    await store.unitOfWork(({ orders }) => orders.insert(order('a')));
    const paid = order('a', { status: 'paid', version: 2 });
    const update = () =>
      store.unitOfWork(({ orders }) => orders.update(paid));
    await update();
    await assert.rejects(update, reason('changed'));
  },
  // --8<-- [end:contract]
  'stock is never below zero, and comes back': async (store) => {
    const items = (quantity) => [{ sku: 'tea', quantity }];
    const take = (quantity) =>
      store.unitOfWork(({ products }) => products.take(items(quantity)));
    await take(20);
    await assert.rejects(() => take(1), reason('no-stock'));
    await store.unitOfWork(({ products }) => products.giveBack(items(3)));
    await take(3);
    await assert.rejects(() => take(1), reason('no-stock'));
  },
  'a unit that fails leaves nothing': async (store) => {
    const half = store.unitOfWork(async ({ orders, products }) => {
      await products.take([{ sku: 'tea', quantity: 20 }]);
      await orders.insert(order('a'));
      throw stop;
    });
    await assert.rejects(half, stop);
    await store.unitOfWork(async ({ orders, products }) => {
      assert.equal(await orders.get('a'), null);
      await products.take([{ sku: 'tea', quantity: 20 }]); // all there
    });
  },
  'units at the same time do not mix': async (store) => {
    const unit = (n) =>
      store.unitOfWork(async ({ orders }) => {
        await orders.insert(order(`o${n}`));
        if (n % 2) throw stop; // every second one takes it back
      });
    await Promise.allSettled([1, 2, 3, 4, 5, 6].map(unit));
    const owed = await store.unitOfWork(({ orders }) => orders.owed('ann'));
    assert.equal(owed, 2700);
  },
  'an id is taken once': async (store) => {
    const insert = () =>
      store.unitOfWork(({ orders }) => orders.insert(order('a')));
    await insert();
    await assert.rejects(insert);
  },
  'a unit that is over writes no more': async (store) => {
    const late = await store.unitOfWork(async (stores) => stores);
    await assert.rejects(() => late.orders.insert(order('a')));
    const found = await store.read(({ orders }) => orders.get('a'));
    assert.equal(found, null);
  },
  'prices are those of what there is': async (store) => {
    const skus = ['tea', 'cup', 'pot'];
    const prices = await store.unitOfWork(({ products }) =>
      products.prices(skus),
    );
    assert.deepEqual([...prices].sort(), [
      ['pot', 12_500],
      ['tea', 450],
    ]);
  },
};
