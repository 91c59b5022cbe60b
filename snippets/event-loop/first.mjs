// output: varies — from the main module it depends on how long start-up took
// node event-loop/first.mjs [MS]: who is first after MS of other start-up?
// --8<-- [start:first]
const order = [];
setTimeout(() => order.push('setTimeout 0'), 0);
setImmediate(() => order.push('setImmediate'));
process.on('exit', () => console.log(order[0]));

const [milliseconds] = process.argv.slice(2);
// blocks the thread, as loading modules would
if (milliseconds) {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(nothing, 0, 0, Number(milliseconds));
}
// --8<-- [end:first]
