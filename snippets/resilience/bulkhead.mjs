// --8<-- [start:refused]
import { WAIT, numbers } from '../validation/numbers.mjs';
import { ClientGone, deadline } from './deadline.mjs';

export class Refused extends Error {
  name = 'Refused';
  status = 503;
}

// --8<-- [end:refused]

// --8<-- [start:bulkhead]
/** `enter(task, { signal, importance })`: at most `atOnce` tasks run and
 * `waiting` wait, the important ones in front. Who comes to a full queue is
 * refused at once, or takes the place of somebody less important. Nobody
 * waits longer than `patienceMs`, nor holds a place longer than `mostMs`.
 * @param {{ atOnce?: number, waiting?: number, patienceMs?: number,
 *   mostMs?: number }} [options] */
export function createBulkhead(options = {}) {
  const {
    atOnce = 10,
    waiting = 0,
    patienceMs = 500,
    mostMs = 30_000,
  } = options;
  numbers({ atOnce });
  numbers({ waiting }, { least: 0 });
  numbers({ patienceMs, mostMs }, WAIT);
  const queue = [];
  let running = 0;

  async function enter(task, { signal, importance = 0 } = {}) {
    signal?.throwIfAborted();
    if (running < atOnce) running += 1;
    else await turn(signal, importance);
    const time = deadline(mostMs, { signal });
    try {
      return await time.run(task);
    } finally {
      time.end();
      const next = queue.shift();
      if (next) next.go();
      else running -= 1;
    }
  }
  // --8<-- [end:bulkhead]

  // --8<-- [start:turn]
  function turn(signal, importance) {
    const refused = () => new Refused('too many at once');
    if (queue.length >= waiting) {
      const last = queue.at(-1);
      if (!last || last.importance >= importance) throw refused();
      last.fail(refused());
    }
    return new Promise((resolve, reject) => {
      const settle = (how) => (value) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', gone);
        how(value);
      };
      const fail = settle((error) => {
        queue.splice(queue.indexOf(one), 1);
        reject(error);
      });
      const gone = () => fail(signal.reason);
      const one = { importance, go: settle(resolve), fail };
      const timer = setTimeout(() => fail(refused()), patienceMs);
      signal?.addEventListener('abort', gone, { once: true });
      const behind = queue.findIndex(
        (other) => other.importance < importance,
      );
      queue.splice(behind < 0 ? queue.length : behind, 0, one);
    });
  }
  return { enter, now: () => ({ running, waiting: queue.length }) };
}
// --8<-- [end:turn]

// --8<-- [start:shed]
/** Middleware that answers 503 at once where waiting would be in vain. What
 * `importanceOf(req)` gives decides who waits in front, and who goes.
 * @param {{ importanceOf?: (req: object) => number, atOnce?: number,
 *   waiting?: number, patienceMs?: number }} [options] */
export function createShedding({ importanceOf = () => 0, ...limits } = {}) {
  const { enter } = createBulkhead(limits);
  return (req, res, next) => {
    const gone = new AbortController();
    const answered = new Promise((resolve) => res.once('close', resolve));
    res.once('close', () => gone.abort(new ClientGone('it hung up')));
    const rank = Number(importanceOf(req));
    const importance = Number.isNaN(rank) ? 0 : rank;
    let begun = false;
    const serve = () => {
      begun = true;
      next();
      return answered; // the place is held until then
    };
    enter(serve, { signal: gone.signal, importance }).catch((error) => {
      if (begun || gone.signal.aborted) return; // others answer, or nobody
      if (!(error instanceof Refused)) return next(error);
      res.set('Retry-After', '1').status(503).json({ error: 'busy' });
    });
  };
}
// --8<-- [end:shed]
