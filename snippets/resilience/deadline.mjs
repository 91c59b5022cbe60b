// --8<-- [start:errors]
import { WAIT, numbers } from '../validation/numbers.mjs';

export class DeadlineError extends Error {
  name = 'DeadlineError';
  status = 504;
  mayPass = true; // another try may be faster
}

export class ClientGone extends Error {
  name = 'ClientGone';
  status = 499; // as nginx logs it
}
// --8<-- [end:errors]

// --8<-- [start:deadline]
/** One end in time for all that a request asks. `signal` goes to whatever can
 * stop; `left()` is how many ms there are; `run(task)` waits no longer, also
 * for a task that does not look at its signal. `end()` frees timer and
 * listener, so that a `signal` that lives long does not collect them.
 * @param {number} ms @param {{ signal?: AbortSignal }} [options] */
export function deadline(ms, { signal: outer } = {}) {
  numbers({ ms }, WAIT);
  const controller = new AbortController();
  const { signal } = controller;
  const until = performance.now() + ms;
  const left = () => Math.max(0, until - performance.now());
  const within = (most) =>
    deadline(Math.min(most, Math.ceil(left())), { signal });

  function end(reason) {
    clearTimeout(timer);
    outer?.removeEventListener('abort', follow);
    if (reason !== undefined) controller.abort(reason);
  }
  const follow = () => end(outer.reason ?? new DeadlineError('given up'));
  const late = () => end(new DeadlineError(`not within ${ms} ms`));
  const timer = setTimeout(late, ms);
  outer?.addEventListener('abort', follow, { once: true });
  if (outer?.aborted) follow();

  async function run(task) {
    signal.throwIfAborted();
    let stop;
    const over = new Promise((_, reject) => {
      stop = () => reject(signal.reason);
      signal.addEventListener('abort', stop, { once: true });
    });
    const work = (async () => task({ signal, left }))();
    const done = Promise.race([work, over]); // both are listened to
    return done.finally(() => signal.removeEventListener('abort', stop));
  }
  return { signal, left, within, run, end };
}
// --8<-- [end:deadline]

// --8<-- [start:request]
const HEADER = 'X-Request-Timeout-Ms'; // relative: two clocks never agree

/** `req.deadline`, of at most `ms`: a caller may ask for less and never for
 * more. It is over when the answer is out, and aborts if the client goes.
 * @param {{ ms?: number }} [options] */
export function requestDeadline({ ms = 2000 } = {}) {
  numbers({ ms }, WAIT);
  return (req, res, next) => {
    const asked = req.headers[HEADER.toLowerCase()];
    const least = /^\d{1,9}$/.test(asked) ? Number(asked) : ms;
    const mine = deadline(Math.min(ms, least));
    res.once('close', () => {
      const gone = !res.writableFinished;
      mine.end(gone ? new ClientGone('it hung up') : undefined);
    });
    req.deadline = mine;
    next();
  };
}

/** What tells the next service how much time is left. */
export const deadlineHeader = ({ left }) => ({
  [HEADER]: String(Math.floor(left())),
});
// --8<-- [end:request]
