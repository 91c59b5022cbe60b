// --8<-- [start:starvation]
/** Re-arms itself until a 10 ms timer fires, for one second at most. */
function spin(schedule) {
  return new Promise((resolve) => {
    let timerFired = false;
    setTimeout(() => (timerFired = true), 10);
    const giveUp = performance.now() + 1000;
    (function again() {
      if (timerFired || performance.now() > giveUp) resolve(timerFired);
      else schedule(again);
    })();
  });
}

for (const schedule of [setImmediate, process.nextTick, queueMicrotask]) {
  const fired = await spin(schedule);
  console.log(`${schedule.name}: the timer ${fired ? 'fired' : 'starved'}`);
}
// --8<-- [end:starvation]
