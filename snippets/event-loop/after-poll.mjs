// --8<-- [start:after-poll]
import { readFile } from 'node:fs';

// The callback runs in the poll phase. Check (setImmediate) comes right after
// poll; timers have to wait for the loop to come round.
readFile(new URL(import.meta.url), () => {
  setTimeout(() => console.log('3. timers: setTimeout 0'), 0);
  setImmediate(() => console.log('2. check: setImmediate'));
  console.log('1. poll: readFile callback');
});
// --8<-- [end:after-poll]
