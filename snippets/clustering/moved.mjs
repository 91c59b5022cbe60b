// node clustering/moved.mjs: which keys move when a fifth server joins four
// --8<-- [start:moved]
import { byModulo, createRing } from './ring.mjs';

const keys = Array.from({ length: 10_000 }, (_, n) => `user-${n}`);
const four = ['a', 'b', 'c', 'd'];
for (const [name, make] of Object.entries({ byModulo, createRing })) {
  const [before, after] = [make(four), make([...four, 'e'])];
  const moved = keys.filter((key) => before(key) !== after(key));
  const toNew = moved.filter((key) => after(key) === 'e');
  console.log(`${name}: ${moved.length} moved, ${toNew.length} to the new`);
}
// --8<-- [end:moved]
