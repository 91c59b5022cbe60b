// Puts Express 4 in the place of Express: NODE_OPTIONS=--require=…/express4.cjs.
// `express4` is its alias in snippets/package.json. One hook serves `import` and
// `require`, in workers and child processes too. Required, not imported: `--import`
// lets the module loader start the program, and ticks then run after microtasks.
const { registerHooks } = require('node:module');

registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier.replace(/^express(?=$|\/)/, 'express4'), context),
});
