// --8<-- [start:stall]
import express from 'express';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Answers at once, but stands still once, after the first request. */
export function createApp({ afterMs = 500, stallMs = 1000 } = {}) {
  const app = express();
  let planned;
  app.get('/orders', (req, res) => {
    planned ??= setTimeout(
      () => Atomics.wait(sleeper, 0, 0, stallMs),
      afterMs,
    );
    res.json([]);
  });
  return app;
}
// --8<-- [end:stall]
