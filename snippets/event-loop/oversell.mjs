// --8<-- [start:oversell]
import { setTimeout as query } from 'node:timers/promises';

let stock = 1;

async function order(customer) {
  // Check and act without an await between them: nothing can come in between.
  if (stock < 1) return `${customer}: sold out`;
  stock -= 1;
  try {
    await query(5); // charge the card
  } catch (error) {
    stock += 1; // give back what was only reserved
    throw error;
  }
  return `${customer}: sold`;
}

console.log(await Promise.all(['ann', 'bob', 'cy'].map(order)));
console.log(`stock: ${stock}`);
// --8<-- [end:oversell]
