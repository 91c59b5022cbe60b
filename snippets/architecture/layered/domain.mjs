// --8<-- [start:domain]
/** A rule says no. `reason` is for programs, the message for people; there
 * is no status and no error number here. */
export class Refused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

const CREDIT = 100_000; // cents that a customer may owe
const BEFORE = { paid: ['open'], cancelled: ['open', 'paid'] };

/** `prices` maps SKUs to cents, `owed` is what open orders come to. */
export function newOrder({ id, customer, items, note }, prices, owed) {
  let total = 0;
  for (const { sku, quantity } of items) {
    if (!prices.has(sku)) {
      throw new Refused('unknown-product', `There is no ${sku}.`);
    }
    total += quantity * prices.get(sku);
  }
  if (owed + total > CREDIT) {
    throw new Refused('credit', 'That is more than you may owe.');
  }
  return { id, customer, items, note, status: 'open', total, version: 1 };
}

export const pay = (order) => move(order, 'paid');
export const cancel = (order) => move(order, 'cancelled');

function move(order, status) {
  if (!BEFORE[status].includes(order.status)) {
    throw new Refused('transition', `It is ${order.status}.`);
  }
  return { ...order, status, version: order.version + 1 };
}
// --8<-- [end:domain]
