// TODO a program: it runs with `node file`, prints what matters, and ends.
// --8<-- [start:cents]
const inEuros = [0.1, 0.1, 0.1];
const inCents = [10, 10, 10];
const sum = (amounts) => amounts.reduce((a, b) => a + b);

console.log(`euros: ${sum(inEuros)}, exact: ${sum(inEuros) === 0.3}`);
console.log(`cents: ${sum(inCents)}, exact: ${sum(inCents) === 30}`);
// --8<-- [end:cents]
