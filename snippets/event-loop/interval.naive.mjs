// --8<-- [start:interval]
let running = 0;
const { promise: finished, resolve: finish } = Promise.withResolvers();

async function syncAll() {
  running += 1;
  if (running === 5) finish(); // it is slow: four more have begun meanwhile
  await finished;
}

const timer = setInterval(async () => {
  await syncAll(); // the timer does not wait for this promise
}, 10);

await finished;
clearInterval(timer);
console.log(`runs at the same time: ${running}`);
// --8<-- [end:interval]
