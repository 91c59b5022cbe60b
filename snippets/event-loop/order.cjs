// --8<-- [start:order]
setTimeout(() => console.log('timeout'), 0);
process.nextTick(() => console.log('tick'));
queueMicrotask(() => console.log('microtask'));
Promise.resolve().then(() => console.log('promise'));
console.log('main');
// --8<-- [end:order]
