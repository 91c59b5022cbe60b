// --8<-- [start:oversell]
import { setTimeout as sleep } from 'node:timers/promises';

async function charge(customer) {
  await sleep(5);
  if (customer === 'dan') throw new Error('dan: card refused');
  return `${customer}: sold`;
}

let stock = 1;

async function order(customer) {
  // Check and act without an await between them: nothing can come in between.
  if (stock < 1) return `${customer}: sold out`;
  stock -= 1;
  try {
    return await charge(customer);
  } catch (error) {
    stock += 1; // give back what was only reserved
    throw error;
  }
}

console.log(await Promise.all(['ann', 'bob', 'cy'].map(order)));
stock = 1;
console.log(await order('dan').catch((error) => error.message));
console.log(`stock: ${stock}`);
// --8<-- [end:oversell]
