// --8<-- [start:oversell]
import { setTimeout as sleep } from 'node:timers/promises';

const charge = (customer) => sleep(5, `${customer}: sold`);
let stock = 1;

async function order(customer) {
  if (stock < 1) return `${customer}: sold out`;
  const done = await charge(customer); // everybody else gets to the check
  stock -= 1;
  return done;
}

console.log(await Promise.all(['ann', 'bob', 'cy'].map(order)));
console.log(`stock: ${stock}`);
// --8<-- [end:oversell]
