// --8<-- [start:drained]
// Two timers are due in the same phase. Between their callbacks both queues
// are emptied: first the ticks, then the microtasks.
setTimeout(() => {
  console.log('timer 1');
  Promise.resolve().then(() => console.log('  microtask of timer 1'));
  process.nextTick(() => console.log('  tick of timer 1'));
}, 0);
setTimeout(() => console.log('timer 2'), 0);
// --8<-- [end:drained]
