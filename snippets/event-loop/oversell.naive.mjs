// --8<-- [start:oversell]
import { setTimeout as query } from 'node:timers/promises';

let stock = 1;

async function order(customer) {
  if (stock < 1) return `${customer}: sold out`;
  await query(5); // charge the card; meanwhile everybody else gets here
  stock -= 1;
  return `${customer}: sold`;
}

console.log(await Promise.all(['ann', 'bob', 'cy'].map(order)));
console.log(`stock: ${stock}`);
// --8<-- [end:oversell]
