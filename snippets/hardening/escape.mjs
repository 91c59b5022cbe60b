// --8<-- [start:escape]
import vm from 'node:vm';

const walk = (from) => `${from}.constructor.constructor('return process')()`;
const noStrings = { contextCodeGeneration: { strings: false } };
const bare = Object.create(null);
const lent = Object.assign(Object.create(null), { log() {} });

const attempts = {
  'an empty context': () => vm.runInNewContext(walk('this')),
  'no code from strings in it': () =>
    vm.runInNewContext(walk('this'), {}, noStrings),
  'a global without prototype': () => vm.runInNewContext(walk('this'), bare),
  'the same, and a function lent to it': () =>
    vm.runInNewContext(walk('log'), lent, noStrings),
  'new Function': () => new Function('return process')(),
  'setTimeout(string)': () => setTimeout('process.exit(9)'),
};

for (const [name, attempt] of Object.entries(attempts)) {
  try {
    const reached = attempt().pid === process.pid;
    console.log(`${name}: ${reached ? 'has our process' : 'held'}`);
  } catch (error) {
    console.log(`${name}: ${error.code ?? error.message}`);
  }
}
// --8<-- [end:escape]
