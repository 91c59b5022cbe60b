// --8<-- [start:turns]
/** Returns `queued(step)`: each step begins when the one before has ended. */
export function inTurn() {
  let last = Promise.resolve();
  return (step) => {
    const turn = last.then(step);
    last = turn.catch(() => {});
    return turn;
  };
}

const OVER = new Error('too late: it is over');

/** Waits `ms` milliseconds for `work(signal)` and no longer. The signal
 * aborts then, or when the work has ended: what it still does is too late. */
export async function within(ms, work) {
  const over = new AbortController();
  const { promise: late, reject } = Promise.withResolvers();
  const giveUp = () => reject(new Error(`not within ${ms} ms`));
  const timer = setTimeout(giveUp, ms);
  try {
    return await Promise.race([work(over.signal), late]);
  } finally {
    clearTimeout(timer);
    over.abort(OVER);
  }
}
// --8<-- [end:turns]
