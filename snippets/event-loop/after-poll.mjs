// --8<-- [start:after-poll]
import { stat } from 'node:fs';

// The callback runs in the poll phase. Check (setImmediate) comes right after
// poll; timers come at the end of the turn.
stat('.', () => {
  setTimeout(() => console.log('3. timers: setTimeout 0'), 0);
  setImmediate(() => console.log('2. check: setImmediate'));
  console.log('1. poll: stat callback');
});
// --8<-- [end:after-poll]
